package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// CatchUp measures how fast a new processor takes in what the journal holds already.
type CatchUp struct {
	ReadSide
	Events, Runs int
}

// CatchUpFigures is the result. EventsPerSecond is the median of the runs.
type CatchUpFigures struct {
	Journal         string    `json:"journal"`
	Store           string    `json:"readside"`
	Events          int       `json:"events"`
	Entities        int       `json:"entities"`
	EventsPerSecond float64   `json:"events_per_s"`
	Runs            []float64 `json:"runs_events_per_s"`
	Machine
}

const maxCatchUp = 100_000_000

// Check tells what is wrong with the measurement.
func (c CatchUp) Check() error {
	switch {
	case c.Events < 1 || c.Events > maxCatchUp:
		return fmt.Errorf("%d events to catch up with: use 1 to %d", c.Events, maxCatchUp)
	case c.Runs < 1:
		return fmt.Errorf("%d runs: use 1 or more", c.Runs)
	}
	return c.check()
}

// Run fills the journal once, and lets a processor with an empty read model take it in, as often as it is told.
func (c CatchUp) Run(ctx context.Context) (f CatchUpFigures, err error) {
	if err := c.Check(); err != nil {
		return f, err
	}
	dir, remove, err := c.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	n, err := c.start(ctx, dir, ledgers, nil)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	payload := randomBytes(c.Payload)
	err = inParallel(ctx, c.Events, func(ctx context.Context, i int) error {
		return put(ctx, n, entityID(i%c.Entities), payload)
	})
	if err != nil {
		return f, fmt.Errorf("fill the journal: %w", err)
	}
	f = CatchUpFigures{Journal: c.Journal, Store: c.Store, Events: c.Events, Entities: c.Entities}
	for range c.Runs {
		took, err := c.once(ctx, n)
		if err != nil {
			return f, err
		}
		f.Runs = append(f.Runs, float64(c.Events)/took.Seconds())
	}
	f.EventsPerSecond, f.Machine = median(f.Runs), ThisMachine()
	return f, nil
}

// once takes the time from the processor's start until all events are in rows.
func (c CatchUp) once(ctx context.Context, n *node) (took time.Duration, err error) {
	dir, remove, err := c.scratch()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	m, err := openModel(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	begin := time.Now()
	runner, err := c.follow(ctx, n, m)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stopRunner(runner)) }()
	if err := runner.WaitFor(ctx, processorName, endOf(n)); err != nil {
		return 0, fmt.Errorf("wait for the processor: %w", err)
	}
	took = time.Since(begin)
	return took, m.counted(ctx, uint64(c.Events))
}
