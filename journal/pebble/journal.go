package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// Journal is a journal on the disk of one machine. All methods may be called
// concurrently.
type Journal struct {
	cfg  Config
	lock *pebble.Lock // held from Open to Close, over every reopening
	room room

	mu       sync.Mutex // guards all below, and the shards and lanes
	handle   *handle    // nil while it is exchanged
	failed   bool       // handle is frozen: it is read, not written
	dead     error      // why the journal cannot be reopened at all
	reopened chan struct{}
	closing  bool
	quit     chan struct{} // closed when closing: ends waits of the reopener
	idle     chan struct{} // closed when closing and no write is under way
	shards   map[uint32]*shard
	common   lane
	reopener sync.WaitGroup
}

// shard is what the journal remembers of a shard's log.
type shard struct {
	number uint32
	// synced is the newest durable record. No reader sees past it.
	synced journal.Header
	// queued is the newest slot that is taken: durable, or part of a batch.
	queued  uint64
	flushed uint64
	lane    *lane
	// doubt holds the batch ids of appends that failed without a known outcome
	// in the present handle: they must not be refused.
	doubt map[journal.Batch]struct{}
}

var _ journal.Journal = (*Journal)(nil)

// errReopening answers calls that would have to wait too long for a journal
// that is being reopened after a failure. The outcome is unknown.
var errReopening = errors.New("journal/pebble: being reopened after a failure of the disk: try again")

// usable tells whether batches may be written. The caller holds j.mu.
func (j *Journal) usable() bool { return j.handle != nil && !j.failed && j.dead == nil }

// begin returns with j.mu held and the journal ready: for writing, or at least
// for reading. It waits a little while the journal is being reopened.
func (j *Journal) begin(ctx context.Context, ready func() bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	done, err := j.standing(ready)
	if !done && err == nil {
		err = j.outlast(ctx, ready)
	}
	if err != nil {
		j.mu.Unlock()
	}
	return err
}

// standing tells whether the journal is ready, or why it will never be. The
// caller holds j.mu.
func (j *Journal) standing(ready func() bool) (bool, error) {
	switch {
	case j.closing:
		return false, journal.ErrClosed
	case j.dead != nil:
		return false, j.dead
	}
	return ready(), nil
}

// outlast waits for a reopening. The caller holds j.mu, which outlast lets go
// while it waits.
func (j *Journal) outlast(ctx context.Context, ready func() bool) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		if err := j.awaitReopened(ctx, limit.C); err != nil {
			return err
		}
		if done, err := j.standing(ready); done || err != nil {
			return err
		}
	}
}

func (j *Journal) awaitReopened(ctx context.Context, limit <-chan time.Time) error {
	reopened := j.reopened
	j.mu.Unlock()
	defer j.mu.Lock()
	select {
	case <-reopened:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-limit:
		return errReopening
	}
}

// readable returns a handle to read from; the caller calls its done.
func (j *Journal) readable(ctx context.Context) (*handle, error) {
	if err := j.begin(ctx, func() bool { return j.handle != nil && j.handle.use() }); err != nil {
		return nil, err
	}
	defer j.mu.Unlock()
	return j.handle, nil
}

// shardOf returns the shard's memory, which it makes on first use. The caller
// holds j.mu.
func (j *Journal) shardOf(number uint32) *shard {
	s := j.shards[number]
	if s == nil {
		s = &shard{number: number, lane: &j.common, doubt: map[journal.Batch]struct{}{}}
		if j.cfg.BatchPerShard {
			s.lane = &lane{}
		}
		j.shards[number] = s
	}
	return s
}

// Settle implements journal.Journal.
func (j *Journal) Settle(ctx context.Context, name, value string) (string, error) {
	if name == "" || len(name) > journal.MaxName {
		return "", fmt.Errorf("%w: the name of a fact has %d bytes, want 1 to %d", journal.ErrInvalid, len(name), journal.MaxName)
	}
	if err := j.begin(ctx, j.usable); err != nil {
		return "", err
	}
	if err := j.room.refuse(len(value)); err != nil {
		j.mu.Unlock()
		return "", err
	}
	w := &write{lane: &j.common, name: name, value: value}
	if err := j.submit(ctx, w); err != nil {
		return "", err
	}
	return w.value, nil
}

// Settled implements journal.Journal. It may show a fact that is not durable yet, while it is
// being settled: whoever settles it waits.
func (j *Journal) Settled(ctx context.Context, prefix string, visit func(name, value string) error) error {
	h, err := j.readable(ctx)
	if err != nil {
		return err
	}
	defer h.done()
	from := metaKey(prefix)
	iter, err := h.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from)})
	if err != nil {
		return asCorrupt(err)
	}
	return visitAll(ctx, iter, iter.First(), func(key, value []byte) error {
		return visit(string(key[len(metaKey("")):]), string(value))
	})
}

// Close implements journal.Journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closing {
		j.mu.Unlock()
		return journal.ErrClosed
	}
	j.closing = true
	close(j.quit)
	j.leadAbandoned()
	j.signalIdle()
	j.mu.Unlock()

	<-j.idle
	j.reopener.Wait()
	var err error
	if h := j.handle; h != nil { // nobody exchanges it any more
		j.handle = nil
		j.renewMarks()
		err = h.close()
	}
	return errors.Join(err, j.lock.Close())
}

// leadAbandoned commits what callers left behind. The caller holds j.mu.
func (j *Journal) leadAbandoned() {
	for _, l := range j.lanes() {
		for l.ready() {
			l.leading = true
			j.lead(l)
			j.mu.Lock()
		}
	}
}

// lanes returns every lane. The caller holds j.mu.
func (j *Journal) lanes() []*lane {
	all := []*lane{&j.common}
	for _, s := range j.shards {
		if s.lane != &j.common {
			all = append(all, s.lane)
		}
	}
	return all
}

// signalIdle tells Close that no write is under way. The caller holds j.mu.
func (j *Journal) signalIdle() {
	if !j.closing {
		return
	}
	for _, l := range j.lanes() {
		if l.leading || len(l.queue) > 0 {
			return
		}
	}
	select {
	case <-j.idle:
	default:
		close(j.idle)
	}
}
