package pebble

import (
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
)

// room knows whether the disk has room left. It asks again after roomEvery, or
// after an eighth of the reserve was written, so that a fast writer cannot
// overrun it.
type room struct {
	fs   vfs.FS
	dir  string
	need int64 // Config.MinFree; negative: none
	// reserve is what is needed to recover once the disk was full indeed.
	reserve int64

	mu     sync.Mutex
	low    bool // the disk was full: reserve counts as well
	looked time.Time
	wrote  int64 // since looked
	free   int64 // negative: not known
}

const roomEvery = 100 * time.Millisecond

// full tells whether writes must be refused now.
func (r *room) full() bool { return r.take(0) }

// take tells whether a write of n bytes must be refused.
func (r *room) take(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	need := r.least()
	if need < 0 {
		return false
	}
	r.wrote += n
	if r.wrote > need/8 || time.Since(r.looked) >= roomEvery {
		r.look()
	}
	if r.free >= 0 && r.free < need {
		return true
	}
	r.low = false
	return false
}

func (r *room) least() int64 {
	if r.low {
		return max(r.need, r.reserve)
	}
	return r.need
}

// look asks the file system; one that cannot tell has room.
func (r *room) look() {
	r.looked, r.wrote, r.free = time.Now(), 0, -1
	if usage, err := r.fs.GetDiskUsage(r.dir); err == nil {
		r.free = int64(min(usage.AvailBytes, 1<<62))
	}
}

// ranOut notes that the disk was full indeed.
func (r *room) ranOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.low = true
	r.look()
}

// refuse returns nil when there is room for n bytes, else why they are refused.
func (r *room) refuse(n int) error {
	if !r.take(int64(n)) {
		return nil
	}
	return r.refusal()
}

func (r *room) refusal() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Errorf("%w: %w: %s has %d KiB left and needs %d KiB: free some or move the journal to a larger disk",
		journal.ErrRefused, journal.ErrFull, r.dir, r.free>>10, r.least()>>10)
}
