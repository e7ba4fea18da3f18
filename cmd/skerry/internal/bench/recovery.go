package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
)

// Recovery measures how long the first answer of a long entity takes when it
// has to be rebuilt from all of its events.
type Recovery struct {
	Setup
	// Events of the entity.
	Events int
	// Runs is how often a host is started and asked.
	Runs int
}

// RecoveryFigures is the result; the times are medians, in milliseconds.
type RecoveryFigures struct {
	Journal string `json:"journal"`
	Events  int    `json:"events"`
	Payload int    `json:"payload_bytes"`
	// RecoveryMS is from the query to its answer, recovery included.
	RecoveryMS float64 `json:"recovery_ms"`
	// AnswerMS is the same query again, when the entity is live.
	AnswerMS float64   `json:"answer_ms"`
	RunsMS   []float64 `json:"runs_ms"`
	Machine
}

// Check tells what is wrong with the measurement.
func (r Recovery) Check() error {
	switch {
	case r.Events < 1 || r.Events > maxEntities:
		return fmt.Errorf("%d events: use 1 to %d", r.Events, maxEntities)
	case r.Runs < 1:
		return fmt.Errorf("%d runs: use 1 or more", r.Runs)
	case r.Journal == Memory:
		return fmt.Errorf("the journal %s ends with its process: measure recovery on %s or %s", Memory, Pebble, Cassandra)
	}
	return r.Setup.check()
}

// Run writes the entity once and recovers it in a new host, as often as asked.
func (r Recovery) Run(ctx context.Context) (f RecoveryFigures, err error) {
	if err := r.Check(); err != nil {
		return f, err
	}
	dir, remove, err := r.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := r.write(ctx, dir); err != nil {
		return f, err
	}
	f = RecoveryFigures{Journal: r.Journal, Events: r.Events, Payload: r.Payload}
	var again []float64
	for range r.Runs {
		first, second, err := r.recover(ctx, dir)
		if err != nil {
			return f, err
		}
		f.RunsMS = append(f.RunsMS, milliseconds(first))
		again = append(again, milliseconds(second))
	}
	f.RecoveryMS, f.AnswerMS, f.Machine = median(f.RunsMS), median(again), ThisMachine()
	return f, nil
}

const longEntity = "long"

// writers is how many commands are under way while data is written; it only
// makes that faster.
const writers = 512

func (r Recovery) write(ctx context.Context, dir string) (err error) {
	n, err := r.start(ctx, dir, ledgers, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	payload := randomBytes(r.Payload)
	return inParallel(ctx, r.Events, func(ctx context.Context, _ int) error {
		return put(ctx, n, longEntity, payload)
	})
}

// recover starts a host whose type ignores the snapshots, and asks twice.
func (r Recovery) recover(ctx context.Context, dir string) (first, second time.Duration, err error) {
	n, err := r.start(ctx, dir, recounts, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if first, err = r.ask(ctx, n); err != nil {
		return 0, 0, err
	}
	second, err = r.ask(ctx, n)
	return first, second, err
}

func (r Recovery) ask(ctx context.Context, n *node) (time.Duration, error) {
	begin := time.Now()
	got, err := recountBalance.Ask(ctx, recounts.Ref(n, longEntity), &emptypb.Empty{})
	took := time.Since(begin)
	if err == nil && got.GetValue() != int64(r.Events) {
		err = fmt.Errorf("the recovered entity counts %d events, %d were stored", got.GetValue(), r.Events)
	}
	return took, err
}
