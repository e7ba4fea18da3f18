package cluster_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// disk is the way of one process to the journal that all share, with what is wrong with it. What a process has sent may
// arrive after the process has ended.
type disk struct {
	journal *journal.Memory
	a       *assembly
	slot    int
	died    chan struct{} // closed when the process has ended

	mu   sync.Mutex
	thaw chan struct{} // nil while the process is not frozen
}

var (
	_ journal.Journal   = (*disk)(nil)
	_ journal.Registers = (*disk)(nil)
	_ journal.Witnesses = (*disk)(nil)
)

var (
	errAway    = errors.New("assembled: the journal cannot be reached")
	errUnknown = errors.New("assembled: the outcome is unknown")
	errDied    = errors.New("assembled: the process has ended")
)

const (
	// journalTimeout is the one of a driver.
	journalTimeout = time.Second
	// mostLate is how late a write may arrive that was told as unknown.
	mostLate = 3 * time.Second
)

func (d *disk) freeze() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.thaw = make(chan struct{})
}

func (d *disk) unfreeze() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.thaw)
	d.thaw = nil
}

// pass returns when the process is not frozen; with an error when it has ended.
func (d *disk) pass() error {
	for {
		select {
		case <-d.died:
			return errDied
		default:
		}
		d.mu.Lock()
		thaw := d.thaw
		d.mu.Unlock()
		if thaw == nil {
			return nil
		}
		select {
		case <-thaw:
		case <-d.died:
		}
	}
}

func (d *disk) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-d.died:
	}
}

// reach takes a call to the journal.
func (d *disk) reach(ctx context.Context) error {
	d.rest(ctx, rand.N(d.a.journalTakes(d.slot)))
	if err := d.pass(); err != nil {
		return err
	}
	away, hangs := d.a.isAway(d.slot)
	if away && hangs {
		d.rest(ctx, journalTimeout)
	}
	if away {
		return errAway
	}
	return ctx.Err()
}

// answer takes an error back to the process.
func (d *disk) answer(err error) error {
	if gone := d.pass(); gone != nil {
		return gone
	}
	return err
}

// lookup does what changes nothing.
func lookup[T any](ctx context.Context, d *disk, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := d.reach(ctx); err != nil {
		return none, err
	}
	if d.a.readFails() {
		return none, d.answer(errUnknown)
	}
	found, err := f(ctx)
	if gone := d.pass(); gone != nil { // after it was read: who was frozen meanwhile gets what is old by now
		return none, gone
	}
	return found, err
}

// write does what changes something. Where late is set it may happen after it was told as unknown.
func write[T any](ctx context.Context, d *disk, late bool, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := d.reach(ctx); err != nil {
		return none, err
	}
	fate := d.a.fateOfWrite()
	if fate == writeLate && late {
		d.a.late.Go(func() {
			time.Sleep(rand.N(mostLate))
			_, _ = f(context.WithoutCancel(ctx))
		})
	}
	if fate == writeLost || fate == writeLate {
		return none, errUnknown
	}
	done, err := f(ctx)
	if gone := d.pass(); gone != nil {
		return none, gone
	}
	if fate == writeForgotten {
		return none, errUnknown
	}
	return done, err
}

func (d *disk) Head(ctx context.Context, shard uint32) (journal.Head, error) {
	return lookup(ctx, d, func(ctx context.Context) (journal.Head, error) {
		head, err := d.journal.Head(ctx, shard)
		if err != nil || head.Last.Number < 2 || rand.IntN(100) >= d.a.plan.OldHeads {
			return head, err
		}
		before, err := d.journal.Read(ctx, shard, head.Last.Number-1, 1)
		if err != nil {
			return journal.Head{}, err
		}
		return journal.Head{Last: before[0].Header, Flushed: before[0].Flushed}, nil
	})
}

func (d *disk) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	return write(ctx, d, true, func(ctx context.Context) (journal.Slot, error) { return d.a.defects.append(ctx, d.journal, shard, rec) })
}

func (d *disk) Tail(ctx context.Context, shard uint32, number uint64) (journal.Slot, error) {
	if d.a.defects.TailUnasked {
		return journal.Slot{}, nil
	}
	return lookup(ctx, d, func(ctx context.Context) (journal.Slot, error) { return d.journal.Tail(ctx, shard, number) })
}

func (d *disk) Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	return lookup(ctx, d, func(ctx context.Context) ([]journal.Record, error) { return d.journal.Read(ctx, shard, from, maxBytes) })
}

func (d *disk) Derive(ctx context.Context, x journal.Derived) error {
	_, err := write(ctx, d, true, func(ctx context.Context) (struct{}, error) {
		if d.a.defects.TimersDropped {
			x.Arms = nil
		}
		return struct{}{}, d.journal.Derive(ctx, x)
	})
	return err
}

func (d *disk) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	_, err := lookup(ctx, d, func(ctx context.Context) (struct{}, error) { return struct{}{}, d.journal.Pages(ctx, of, after, visit) })
	return err
}

func (d *disk) SaveSnapshot(ctx context.Context, s journal.Snapshot) error {
	_, err := write(ctx, d, false, func(ctx context.Context) (struct{}, error) { return struct{}{}, d.journal.SaveSnapshot(ctx, s) })
	return err
}

func (d *disk) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	return lookup(ctx, d, func(ctx context.Context) ([]journal.Snapshot, error) { return d.journal.Snapshots(ctx, of) })
}

func (d *disk) Timers(ctx context.Context, shard uint32, fromHour, toHour int64, visit func(journal.Timer) error) error {
	_, err := lookup(ctx, d, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, d.journal.Timers(ctx, shard, fromHour, toHour, visit)
	})
	return err
}

func (d *disk) Settle(ctx context.Context, name, value string) (string, error) {
	return write(ctx, d, true, func(ctx context.Context) (string, error) { return d.journal.Settle(ctx, name, value) })
}

func (d *disk) Settled(ctx context.Context, prefix string, visit func(name, value string) error) error {
	_, err := lookup(ctx, d, func(ctx context.Context) (struct{}, error) { return struct{}{}, d.journal.Settled(ctx, prefix, visit) })
	return err
}

// Close does nothing: the journal is the test's.
func (d *disk) Close() error { return nil }

func (d *disk) Registers(ctx context.Context, space journal.Space, partition string) ([]journal.Register, error) {
	return lookup(ctx, d, func(ctx context.Context) ([]journal.Register, error) {
		return d.journal.Registers(ctx, space, partition)
	})
}

func (d *disk) Swap(ctx context.Context, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	return write(ctx, d, true, func(ctx context.Context) (journal.Register, error) {
		return d.journal.Swap(ctx, space, partition, next)
	})
}

// PutWitness is never late: a row must not land in place of the next one.
func (d *disk) PutWitness(ctx context.Context, w journal.Witness) error {
	_, err := write(ctx, d, false, func(ctx context.Context) (struct{}, error) { return struct{}{}, d.journal.PutWitness(ctx, w) })
	return err
}

func (d *disk) Witnesses(ctx context.Context) ([]journal.Witness, error) {
	return lookup(ctx, d, func(ctx context.Context) ([]journal.Witness, error) { return d.journal.Witnesses(ctx) })
}
