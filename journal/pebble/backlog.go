package pebble

import (
	"fmt"
	"sync"
	"time"
)

// backlog knows how much Pebble still has to flush. Pebble would stop a commit
// for as long as that is too much, deaf to the end of a handle whose flushes
// fail for ever; so the commit waits here, before it begins and long before
// Pebble would stop it.
type backlog struct {
	most uint64 // bytes in memtables above which commits wait

	mu      sync.Mutex
	written int           // bytes committed since the last look
	flushed chan struct{} // closed and replaced by each flush
}

const (
	// maxMemTables is how many full memtables may wait; Pebble stops at twice as many.
	maxMemTables = 4
	// flushPatience bounds how long a commit waits for the disk to catch up.
	flushPatience = 10 * time.Second
)

// due tells whether it is time to look: after an eighth of a memtable.
func (b *backlog) due(n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written += n
	if uint64(b.written) < b.most/maxMemTables/8 {
		return false
	}
	b.written = 0
	return true
}

// flushEnded wakes who waits.
func (b *backlog) flushEnded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flushed != nil {
		close(b.flushed)
	}
	b.flushed = make(chan struct{})
}

// next returns what the next flush closes.
func (b *backlog) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flushed == nil {
		b.flushed = make(chan struct{})
	}
	return b.flushed
}

// keepUp returns when ws may be committed.
func (h *handle) keepUp(ws []*write) error {
	size := 0
	for _, w := range ws {
		size += w.size()
	}
	if !h.flush.due(size) {
		return nil
	}
	limit := time.NewTimer(flushPatience)
	defer limit.Stop()
	for {
		flushed := h.flush.next()
		if h.db.Metrics().MemTable.Size < h.flush.most {
			return nil
		}
		select {
		case <-flushed:
		case <-h.guard.frozen:
			return fmt.Errorf("%w: %w", errUntried, errFrozen)
		case <-limit.C:
			return fmt.Errorf("%w: the disk has been behind with %d MiB for %v", errUntried, h.flush.most>>20, flushPatience)
		}
	}
}
