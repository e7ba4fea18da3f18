package pebble

import (
	"context"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// firstRecord returns a writer's first record, with one entry of a size.
func firstRecord(writer string, size int) journal.Record {
	c := journaltest.Chain{Writer: writer}
	return journal.NewRecord(c.Next(1).Header, [][]byte{make([]byte, size)})
}

// appending appends rec to a shard in a goroutine of its own.
func appending(ctx context.Context, j *Journal, shard uint32, rec journal.Record) <-chan error {
	result := make(chan error, 1)
	go func() {
		slot, err := j.Append(ctx, shard, rec)
		if err == nil && slot.Holder != rec.Header {
			err = errors.New("another record holds the slot")
		}
		result <- err
	}()
	return result
}

func TestAFailedSyncLeavesWhatIsQueuedBehindItUnknown(t *testing.T) {
	t.Parallel()
	disk := newSlowDisk()
	j, rec, release, first := heldAppendOn(t, disk)
	queued := firstRecord("c", 10)
	results := []<-chan error{first, appending(t.Context(), j, 2, queued)}
	waitQueued(t, j, 1)
	disk.failing.Store(true)
	release()
	for _, result := range results {
		if err := <-result; err == nil || errors.Is(err, journal.ErrRefused) {
			t.Errorf("append on a failing disk: %v, want an unknown outcome", err)
		}
	}
	disk.failing.Store(false)
	for shard, rec := range map[uint32]journal.Record{1: rec, 2: queued} {
		if err := <-appending(t.Context(), j, shard, rec); err != nil {
			t.Errorf("shard %d: the same append after the reopening: %v", shard, err)
		}
		if all, err := journaltest.ReadAll(t.Context(), j, shard); err != nil || len(all) != 1 {
			t.Errorf("shard %d: %d records, %v, want 1", shard, len(all), err)
		}
	}
}

func TestAWriteThatIsNotTriedIsRefusedUnlessItRepeatsOneThatWas(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	s, l := &shard{number: 1, queued: 3}, &lane{}
	batch := []*write{
		{lane: l, shard: s, rec: numbered(2)},
		{lane: l, shard: s}, // waits for the end of record 1
	}
	l.queue = []*write{{lane: l, shard: s, rec: numbered(3), turn: make(chan bool, 1)}}
	writes := append(batch, l.queue...)
	j.mu.Lock()
	j.decide(j.handle, l, batch, errUntried)
	j.mu.Unlock()
	for n, refused := range []bool{true, false, true} {
		if err := writes[n].err; err == nil || errors.Is(err, journal.ErrRefused) != refused {
			t.Errorf("write %d: %v, want refused %v", n, err, refused)
		}
	}
	if s.queued != 1 {
		t.Errorf("slots are taken up to %d, want 1", s.queued)
	}
}

func numbered(n uint64) journal.Record {
	return journal.NewRecord(journal.Header{Number: n, Batch: journal.NewBatch()}, [][]byte{[]byte("x")})
}

func TestAReopeningEndsWhatIsQueued(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.shardOf(1)
	s.queued = 1
	w := &write{lane: s.lane, shard: s, rec: numbered(1), turn: make(chan bool, 1)}
	s.lane.queue = []*write{w}
	s.lane.handOver() // and its caller does not run before the reopening
	j.adopt(j.handle, nil)
	if s.lane.leading || len(s.lane.queue) > 0 || s.queued != 0 {
		t.Errorf("leading %v, %d queued, slots taken up to %d: the slot could be given twice", s.lane.leading, len(s.lane.queue), s.queued)
	}
	if lead := <-w.turn; lead || w.err == nil || errors.Is(w.err, journal.ErrRefused) {
		t.Errorf("told to lead: %v, %v, want an unknown outcome", lead, w.err)
	}
}

// TestACallerBehindAFullBatchWaitsForItsOwn has so much left behind by callers
// that went away that the batch of the one who stayed is not the next.
func TestACallerBehindAFullBatchWaitsForItsOwn(t *testing.T) {
	t.Parallel()
	for name, comesLate := range map[string]bool{"queued during a batch": false, "finding no leader": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, _, release, first := heldAppend(t)
			leaveBehind(t, j)
			var result <-chan error
			if !comesLate {
				result = appending(t.Context(), j, 3, firstRecord("stays", 10))
				waitQueued(t, j, 3)
			}
			release()
			if err := <-first; err != nil {
				t.Fatal(err)
			}
			if comesLate {
				result = appending(t.Context(), j, 3, firstRecord("stays", 10))
			}
			if err := <-result; err != nil {
				t.Fatal(err)
			}
			for _, shard := range []uint32{3, 10, 11} {
				if slot, err := j.Tail(t.Context(), shard, 1); err != nil || !slot.Taken {
					t.Errorf("shard %d: %+v, %v", shard, slot, err)
				}
			}
		})
	}
}

// leaveBehind queues more than a batch takes, whose callers go away.
func leaveBehind(t *testing.T, j *Journal) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var left []<-chan error
	for n := range 2 {
		left = append(left, appending(ctx, j, uint32(10+n), firstRecord("left", maxBatchBytes*2/3)))
		waitQueued(t, j, n+1)
	}
	cancel()
	for _, result := range left {
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("append whose context ended: %v, want Canceled", err)
		}
	}
}

func TestCloseDuringASyncCommitsWhatCallersLeftBehind(t *testing.T) {
	t.Parallel()
	j, _, release, first := heldAppend(t)
	ctx, cancel := context.WithCancel(t.Context())
	left := appending(ctx, j, 2, firstRecord("left", 10))
	waitQueued(t, j, 1)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("append whose context ended: %v, want Canceled", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- j.Close() }()
	<-j.quit
	release()
	if err := errors.Join(<-first, <-closed); err != nil {
		t.Fatal(err)
	}
	if end := j.shards[2].synced.Number; end != 1 {
		t.Errorf("shard 2 ends at %d, want 1", end)
	}
}
