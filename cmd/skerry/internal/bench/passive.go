package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// Passive measures what is left in memory of entities that are no longer live. The
// store below has pools of 4 MiB, so that what grows is the host.
type Passive struct {
	Setup
	// Entities go passive, each after one command.
	Entities int
}

// PassiveFigures is the result.
type PassiveFigures struct {
	Journal  string `json:"journal"`
	Entities int    `json:"entities"`
	// HeapBefore is that of a warm host without live entities, HeapAfter the same
	// host's when all entities have been live once. Both are twice collected.
	HeapBefore int64 `json:"heap_before_bytes"`
	HeapAfter  int64 `json:"heap_after_bytes"`
	Growth     int64 `json:"growth_bytes"`
	// Seconds is the time from the first command until all had gone passive.
	Seconds float64 `json:"seconds"`
	Machine
}

// Check tells what is wrong with the measurement.
func (p Passive) Check() error {
	switch {
	case p.Entities < 1 || p.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", p.Entities, maxEntities)
	case p.Journal == Memory:
		return fmt.Errorf("the journal %s keeps all in the heap that is to be measured: use %s", Memory, Pebble)
	}
	return p.Setup.check()
}

const (
	// idleAfter lets entities go passive soon.
	idleAfter = time.Second
	// warmEntities fill what the host and the store keep for good: buffers, tables, pools.
	warmEntities = 20_000
)

// Run makes all entities live, each by one command, and waits until none is.
func (p Passive) Run(ctx context.Context) (f PassiveFigures, err error) {
	if err := p.Check(); err != nil {
		return f, err
	}
	p.small = true
	dir, remove, err := p.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	n, err := p.start(ctx, dir, ledgers, func(c *entity.Config) { c.IdleAfter = idleAfter })
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()

	f = PassiveFigures{Journal: p.Journal, Entities: p.Entities}
	if f.HeapBefore, err = p.pass(ctx, n, "warm", warmEntities); err != nil {
		return f, err
	}
	begin := time.Now()
	if f.HeapAfter, err = p.pass(ctx, n, "cold", p.Entities); err != nil {
		return f, err
	}
	f.Seconds = time.Since(begin).Seconds()
	f.Growth, f.Machine = f.HeapAfter-f.HeapBefore, ThisMachine()
	return f, nil
}

// pass sends one command to each of a number of entities and returns the heap when they are passive.
func (p Passive) pass(ctx context.Context, n *node, prefix string, entities int) (int64, error) {
	payload := randomBytes(p.Payload)
	err := inParallel(ctx, entities, func(ctx context.Context, i int) error {
		return put(ctx, n, fmt.Sprintf("%s-%07d", prefix, i), payload)
	})
	if err != nil {
		return 0, fmt.Errorf("make %d entities live: %w", entities, err)
	}
	if err := untilPassive(ctx, n); err != nil {
		return 0, err
	}
	return heap(), nil
}

// passivePatience bounds the wait for the last entity to go.
const passivePatience = 2 * time.Minute

func untilPassive(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, passivePatience)
	defer cancel()
	for {
		live, err := liveEntities(ctx, n)
		if err != nil || live == 0 {
			return err
		}
		if err := pause(ctx, idleAfter/4); err != nil {
			return fmt.Errorf("%d entities are still live: %w", live, err)
		}
	}
}
