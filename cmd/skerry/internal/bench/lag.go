package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/readside"
)

// Lag measures how long after a command's answer its row can be read, at a steady rate.
type Lag struct {
	ReadSide
	// Rate is commands per second; each is one event. They are sent at their times, whether or not
	// those before are done.
	Rate int
	// Warm is how long the rate is kept before it is measured, For how long after that.
	Warm, For time.Duration
}

// LagFigures is the result, or the medians of several runs of it.
type LagFigures struct {
	Journal  string `json:"journal"`
	Store    string `json:"readside"`
	Rate     int    `json:"rate"`
	Entities int    `json:"entities"`
	// Measured counts the events.
	Measured uint64  `json:"events"`
	P50      float64 `json:"lag_p50_ms"`
	P99      float64 `json:"lag_p99_ms"`
	P999     float64 `json:"lag_p999_ms"`
	Max      float64 `json:"lag_max_ms"`
	// AnswerP50 and AnswerP99 are the times from sending a command to its answer.
	AnswerP50 float64 `json:"answer_p50_ms"`
	AnswerP99 float64 `json:"answer_p99_ms"`
	Machine
	Runs []LagFigures `json:"runs,omitempty"`
}

// maxRate bounds the load and so the goroutines of a run that falls behind.
const maxRate = 100_000

// Check tells what is wrong with the measurement.
func (l Lag) Check() error {
	switch {
	case l.Rate < 1 || l.Rate > maxRate:
		return fmt.Errorf("a rate of %d events a second: use 1 to %d", l.Rate, maxRate)
	case l.For <= 0:
		return fmt.Errorf("a measurement of %v: use a positive time", l.For)
	case l.Warm < 0:
		return fmt.Errorf("a warm-up of %v: use 0 or more", l.Warm)
	}
	return l.check()
}

// Run measures once, on a host, a journal and a read model of its own.
func (l Lag) Run(ctx context.Context) (f LagFigures, err error) {
	if err := l.Check(); err != nil {
		return f, err
	}
	dir, remove, err := l.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	n, err := l.start(ctx, dir, ledgers, nil)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	m, err := openModel(ctx, dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	runner, err := l.follow(ctx, n, m)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, stopRunner(runner)) }()
	p := &pacer{lag: l, node: n, model: m, runner: runner, payload: randomBytes(l.Payload)}
	if err := p.run(ctx); err != nil {
		return f, err
	}
	return p.figures(), m.counted(ctx, p.sent)
}

func (p *pacer) figures() LagFigures {
	return LagFigures{
		Journal: p.lag.Journal, Store: p.lag.Store, Rate: p.lag.Rate, Entities: p.lag.Entities, Measured: p.visible.total,
		P50: milliseconds(p.visible.quantile(0.5)), P99: milliseconds(p.visible.quantile(0.99)),
		P999: milliseconds(p.visible.quantile(0.999)), Max: milliseconds(p.visible.max),
		AnswerP50: milliseconds(p.answered.quantile(0.5)), AnswerP99: milliseconds(p.answered.quantile(0.99)),
		Machine: ThisMachine(),
	}
}

// pacer sends commands at a rate and looks for the row of each.
type pacer struct {
	lag     Lag
	node    *node
	model   model
	runner  *readside.Runner
	payload []byte
	sent    uint64

	mu                sync.Mutex
	visible, answered histogram
}

// pace is how often the pacer wakes; it sends what is due by then.
const pace = time.Millisecond

func (p *pacer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	defer working.Wait()
	begin := time.Now()
	measured := begin.Add(p.lag.Warm)
	whole := p.lag.Warm + p.lag.For
	for elapsed := time.Duration(0); elapsed < whole; {
		elapsed = min(time.Since(begin), whole) // so that all are sent, also by a machine that stood still at the end
		for due := uint64(elapsed.Seconds() * float64(p.lag.Rate)); p.sent < due; p.sent++ {
			id := entityID(int(p.sent) % p.lag.Entities)
			working.Go(func() {
				if err := p.once(ctx, id, measured); err != nil {
					cancel(err)
				}
			})
		}
		if err := pause(ctx, pace); err != nil {
			return err
		}
	}
	working.Wait()
	return context.Cause(ctx)
}

// once sends a command, and after its answer waits until another connection reads the row.
func (p *pacer) once(ctx context.Context, id string, measured time.Time) error {
	begin := time.Now()
	var r entity.Receipt
	if _, err := deposit.Ask(ctx, ledgers.Ref(p.node, id), wrapperspb.Bytes(p.payload), entity.Receive(&r)); err != nil {
		return fmt.Errorf("a command to %s failed, so nothing was measured: %w", id, err)
	}
	answered := time.Now()
	if err := p.runner.WaitFor(ctx, processorName, r.Token); err != nil {
		return fmt.Errorf("wait for the row of %s: %w", id, err)
	}
	var version uint64
	if err := p.model.Read().QueryRowContext(ctx, versionOf, id).Scan(&version); err != nil {
		return fmt.Errorf("read the row of %s: %w", id, err)
	}
	visible := time.Now()
	if version < r.Version {
		return fmt.Errorf("the processor has passed version %d of %s, but its row has version %d", r.Version, id, version)
	}
	if begin.Before(measured) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered.record(answered.Sub(begin))
	p.visible.record(visible.Sub(answered))
	return nil
}

// MedianLag returns the run in the middle by its p99, with all runs. runs is not empty.
func MedianLag(runs []LagFigures) LagFigures {
	if len(runs) == 1 {
		return runs[0]
	}
	var all []float64
	for _, r := range runs {
		all = append(all, r.P99)
	}
	middle := median(all)
	for _, r := range runs {
		if r.P99 == middle {
			r.Runs = runs
			return r
		}
	}
	return runs[0]
}
