package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Takeover measures how long a host takes to own a shard that another one has left with its pages far behind the
// log: the claim, reading the tail, and all that a start does.
type Takeover struct {
	Setup
	// TailBytes is about how much payload no page holds.
	TailBytes int
	// Runs is how often a host takes the shard over.
	Runs int
}

// TakeoverFigures is the result; the times are in milliseconds.
type TakeoverFigures struct {
	Journal   string `json:"journal"`
	TailBytes int    `json:"tail_bytes"`
	Events    int    `json:"events"`
	// TakeoverMS is the median time of a start on one shard, until it serves.
	TakeoverMS float64   `json:"takeover_ms"`
	RunsMS     []float64 `json:"runs_ms"`
	Machine
}

// maxTailBytes is far beyond what a host lets its pages be behind.
const maxTailBytes = 64 << 20

// Check tells what is wrong with the measurement.
func (t Takeover) Check() error {
	switch {
	case t.TailBytes < 1 || t.TailBytes > maxTailBytes:
		return fmt.Errorf("a tail of %d bytes: use 1 to %d", t.TailBytes, maxTailBytes)
	case t.Runs < 1:
		return fmt.Errorf("%d runs: use 1 or more", t.Runs)
	case t.Payload < 1:
		return fmt.Errorf("an empty payload makes no tail: use 1 byte or more")
	case t.Journal != Cassandra:
		return fmt.Errorf("the journal %s belongs to one process: measure take-over on %s", t.Journal, Cassandra)
	case t.Shards > 1:
		return fmt.Errorf("%d shards: take-over is measured on 1", t.Shards)
	}
	return t.Setup.check()
}

// Run writes a tail and lets hosts that flush nothing take it over, one after the other.
func (t Takeover) Run(ctx context.Context) (f TakeoverFigures, err error) {
	t.Shards = 1
	if err := t.Check(); err != nil {
		return f, err
	}
	dir, remove, err := t.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	f = TakeoverFigures{Journal: t.Journal, TailBytes: t.TailBytes, Events: t.TailBytes/t.Payload + 1}
	owner, err := t.start(ctx, dir, ledgers, unflushed)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, owner.stop()) }() // of the last owner: it leaves what it has not flushed
	if err := t.write(ctx, owner, f.Events); err != nil {
		return f, err
	}
	for run := range t.Runs {
		begin := time.Now()
		next, err := t.start(ctx, dir, ledgers, t.flushing(run == t.Runs-1))
		if err != nil {
			return f, err
		}
		f.RunsMS = append(f.RunsMS, milliseconds(time.Since(begin)))
		err = t.look(ctx, owner) // it is fenced, so its stop waits for nothing
		if err = errors.Join(err, owner.stop()); err != nil {
			return f, err
		}
		owner = next
	}
	f.TakeoverMS, f.Machine = median(f.RunsMS), ThisMachine()
	return f, nil
}

// write makes the tail.
func (t Takeover) write(ctx context.Context, n *node, events int) error {
	payload := randomBytes(t.Payload)
	return inParallel(ctx, events, func(ctx context.Context, i int) error { return put(ctx, n, entityID(i%1000), payload) })
}

// look makes an owner that was overtaken notice it.
func (t Takeover) look(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	for {
		switch err := put(ctx, n, entityID(0), []byte("late")); {
		case err == nil:
			return errors.New("an owner that was overtaken has answered")
		case errors.Is(err, entity.ErrUnavailable):
			return nil
		case !errors.Is(err, entity.ErrUnknownOutcome) || pause(ctx, pace) != nil: // else the database had no time to tell
			return fmt.Errorf("an owner that was overtaken: %w", err)
		}
	}
}

// flushing makes hosts keep the tail, but the last one.
func (t Takeover) flushing(last bool) func(*entity.Config) {
	if last {
		return nil
	}
	return unflushed
}

// errUnflushed keeps pages behind the log.
var errUnflushed = errors.New("pages are not written here")

// behind is a journal that writes no pages.
type behind struct{ logOnly }

// Derive implements journal.Store: it fails.
func (behind) Derive(context.Context, journal.Derived) error { return errUnflushed }

func unflushed(c *entity.Config) { c.Journal = behind{logOnly{c.Journal}} }
