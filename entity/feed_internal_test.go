package entity

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

// TestAWatcherMissesNoChange registers a watcher while a record is being published: it saw the head before
// that, so it must be told.
func TestAWatcherMissesNoChange(t *testing.T) {
	t.Parallel()
	f := newFeed(journal.NewMemory(), "h", 1, nil)
	for n := uint64(1); n <= 200; n++ {
		var told atomic.Bool
		var publishing sync.WaitGroup
		f.shards[0].mu.Lock()
		publishing.Go(func() { f.publish(0, []journal.Record{{Header: journal.Header{Number: n}}}) })
		for range 100 {
			runtime.Gosched() // until it waits for the lock, most of the times
		}
		stop := f.Watch(func(uint32) { told.Store(true) })
		f.shards[0].mu.Unlock()
		publishing.Wait()
		stop()
		if !told.Load() {
			t.Fatalf("a watcher that came before record %d was not told of it", n)
		}
	}
}

func TestAFeedKeepsNoMoreThanItsRoom(t *testing.T) {
	t.Parallel()
	f := newFeed(journal.NewMemory(), "h", 1, nil)
	f.room = 100
	defer f.Watch(func(uint32) {})()
	for n := uint64(1); n <= 10; n++ {
		f.publish(0, []journal.Record{{Header: journal.Header{Number: n}, Body: make([]byte, 40)}})
	}
	if _, ok := f.shards[0].from(8, 1000); ok {
		t.Error("record 8 is still in memory")
	}
	if kept, ok := f.shards[0].from(9, 1000); !ok || len(kept) != 2 {
		t.Errorf("%d records from 9 on", len(kept))
	}
	f.publish(0, []journal.Record{{Header: journal.Header{Number: 11}, Body: make([]byte, 400)}})
	if kept, ok := f.shards[0].from(11, 10); ok {
		t.Errorf("%d records are kept that are larger than their room", len(kept))
	}
	f.publish(0, []journal.Record{{Header: journal.Header{Number: 20}, Body: make([]byte, 10)}})
	if _, ok := f.shards[0].from(11, 10); ok {
		t.Error("records before a gap are kept")
	}
}
