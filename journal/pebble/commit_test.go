package pebble

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// slowDisk holds syncs of the log back while it is held.
type slowDisk struct {
	mu      sync.Mutex
	gate    chan struct{} // nil: open
	waiting chan struct{} // a word for each sync that waits
	failing atomic.Bool   // a sync that was held fails, and each later one
}

func newSlowDisk() *slowDisk { return &slowDisk{waiting: make(chan struct{}, 100)} }

func (d *slowDisk) MaybeError(op errorfs.Op) error {
	if !syncs(op.Kind) || !strings.HasSuffix(op.Path, ".log") {
		return nil
	}
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		d.waiting <- struct{}{}
		<-gate
	}
	if d.failing.Load() {
		return errDisk
	}
	return nil
}

func (d *slowDisk) String() string { return "slow disk" }

// hold makes syncs wait until release is called.
func (d *slowDisk) hold() (release func()) {
	gate := make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = gate
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.gate = nil
		close(gate)
	}
}

// heldAppend returns a journal with an append of shard 1 held in its sync.
func heldAppend(t *testing.T) (j *Journal, rec journal.Record, release func(), done <-chan error) {
	t.Helper()
	return heldAppendOn(t, newSlowDisk())
}

func heldAppendOn(t *testing.T, disk *slowDisk) (j *Journal, rec journal.Record, release func(), done <-chan error) {
	t.Helper()
	j = opened(t, Config{Dir: dir, FS: errorfs.Wrap(vfs.NewMem(), disk)})
	c := journaltest.Chain{Writer: "a"}
	rec = c.Next(1)
	release = disk.hold()
	result := make(chan error, 1)
	go func() {
		_, err := j.Append(t.Context(), 1, rec)
		result <- err
	}()
	<-disk.waiting
	return j, rec, release, result
}

func TestReadersDoNotSeeWhatIsNotSynced(t *testing.T) {
	t.Parallel()
	j, rec, release, done := heldAppend(t)
	all, err := j.Read(t.Context(), 1, 1, 1000)
	if err != nil || len(all) != 0 {
		t.Errorf("read during the sync: %d records, %v", len(all), err)
	}
	if slot, err := j.Tail(t.Context(), 1, 1); err != nil || slot.Taken {
		t.Errorf("tail during the sync: %+v, %v", slot, err)
	}
	if head, err := j.Head(t.Context(), 1); err != nil || head != (journal.Head{}) {
		t.Errorf("head during the sync: %+v, %v", head, err)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if slot, err := j.Tail(t.Context(), 1, 1); err != nil || slot.Holder != rec.Header {
		t.Errorf("tail behind the sync: %+v, %v", slot, err)
	}
}

func TestAConflictIsAnsweredOnlyWhenTheHolderIsDurable(t *testing.T) {
	t.Parallel()
	j, rec, release, done := heldAppend(t)
	other := journaltest.Chain{Writer: "b"}
	result := make(chan journal.Slot, 1)
	go func() {
		slot, err := j.Append(t.Context(), 1, other.Next(1))
		if err != nil {
			t.Error(err)
		}
		result <- slot
	}()
	waitQueued(t, j, 1)
	select {
	case slot := <-result:
		t.Errorf("answered %+v before the holder was durable", slot)
	default:
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if slot := <-result; slot.Holder != rec.Header {
		t.Errorf("holder %+v, want %+v", slot.Holder, rec.Header)
	}
}

// waitQueued returns when n writes wait behind the one under way.
func waitQueued(t *testing.T, j *Journal, n int) {
	t.Helper()
	for t.Context().Err() == nil {
		j.mu.Lock()
		queued := len(j.common.queue)
		j.mu.Unlock()
		if queued == n {
			return
		}
	}
}

func TestACallerMayGoAwayFromAQueuedAppend(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*testing.T, *Journal){
		"committed by the next": func(t *testing.T, j *Journal) {
			c := journaltest.Chain{Writer: "c"}
			if _, err := c.Append(t.Context(), j, 3, c.Next(1)); err != nil {
				t.Error(err)
			}
		},
		"committed by its repetition": func(*testing.T, *Journal) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, _, release, done := heldAppend(t)
			other := journaltest.Chain{Writer: "b"}
			rec := other.Next(1)
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() {
				_, err := j.Append(ctx, 2, rec)
				result <- err
			}()
			waitQueued(t, j, 1)
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, journal.ErrRefused) {
				t.Errorf("append whose context ended: %v, want Canceled and an unknown outcome", err)
			}
			release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			next(t, j)
			if ours, err := other.Append(t.Context(), j, 2, rec); err != nil || !ours {
				t.Errorf("the same append again: ours %v, %v", ours, err)
			}
		})
	}
}

func TestCloseCommitsWhatCallersLeftBehind(t *testing.T) {
	t.Parallel()
	j, _, release, done := heldAppend(t)
	other := journaltest.Chain{Writer: "b"}
	rec := other.Next(1)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := j.Append(ctx, 2, rec)
		result <- err
	}()
	waitQueued(t, j, 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("append whose context ended: %v, want Canceled", err)
	}
	release()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if end := j.shards[2].synced.Number; end != 1 {
		t.Errorf("shard 2 ends at %d, want 1", end)
	}
}
