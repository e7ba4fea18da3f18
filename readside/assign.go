package readside

import "sync/atomic"

// This file says which shards a node follows. Nothing in it decides about rows: two nodes that follow one shard cost time,
// since only one of them moves its offset.

// assignment is the shards that a runner was told to follow.
type assignment struct {
	shards atomic.Pointer[map[uint32]bool] // nil: those that the node serves
}

// follows tells whether a shard is followed here.
func (a *assignment) follows(shard uint32, serves bool) bool {
	if told := a.shards.Load(); told != nil {
		return (*told)[shard]
	}
	return serves
}

// Assign makes the runner follow exactly these shards from now on, whoever serves them; nil makes it follow those that
// this node serves, which is how it begins. A shard that is gone from the list is dropped at once: a transaction under way ends
// by itself, and no other has events of it. A new one goes on where its stored offset is. A shard must be followed somewhere, or its
// events wait; followed by two nodes, it goes on all the same, more slowly.
func (r *Runner) Assign(shards []uint32) {
	if shards == nil {
		r.ours.shards.Store(nil)
	} else {
		told := make(map[uint32]bool, len(shards))
		for _, shard := range shards {
			told[shard] = true
		}
		r.ours.shards.Store(&told)
	}
	for _, w := range r.order {
		for _, l := range w.lanes {
			w.stir(l)
		}
	}
}

// followed tells whether a lane is followed here now.
func (w *worker) followed(l *lane) bool {
	_, serves := w.cfg.Source.Head(l.shard)
	return w.ours.follows(l.shard, serves)
}
