package stream

import "sync"

// dirty is the set of shards that have something new.
type dirty struct {
	mu     sync.Mutex
	marked []bool
	shards []uint32
	wake   chan struct{} // holds one signal while the set is not empty
}

// mark adds a shard. It is called where commands are served, so it never waits.
func (d *dirty) mark(shard uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.marked[shard] {
		return
	}
	d.marked[shard] = true
	d.shards = append(d.shards, shard)
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take empties the set.
func (d *dirty) take() []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	shards := d.shards
	for _, shard := range shards {
		d.marked[shard] = false
	}
	d.shards = nil
	return shards
}
