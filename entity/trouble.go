package entity

import (
	"sync"
	"time"
)

// troubles tells the log, in few lines, what shards suffer from: dozens of them suffer from the same.
type troubles struct {
	mu     sync.Mutex
	shards map[uint32]bool // whose journal does not answer
	told   time.Time
	takers map[string]bool
}

// troublePause is the least time between two lines about a journal that does not answer.
const troublePause = 10 * time.Second

// notice takes in what a shard waits for, if anything. One that serves no more has not heard from the journal by that.
func (t *troubles) notice(h *Host, number uint32, reason string, serves bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch before := len(t.shards); {
	case reason != "":
		t.shards[number] = true
		if now := h.now(); now.Sub(t.told) >= troublePause {
			t.told = now
			h.log.Warn("the journal does not answer; commands wait, and end unavailable or unknown at their deadlines", "shard", number, "shards", len(t.shards), "cause", reason)
		}
	default:
		delete(t.shards, number)
		if before > 0 && len(t.shards) == 0 && serves {
			t.told = time.Time{}
			h.log.Info("the journal answers again")
		}
	}
}

// taken tells once of each process that takes shards of this one.
func (t *troubles) taken(h *Host, number uint32, owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.takers[owner] || len(t.takers) >= maxTakers {
		return
	}
	t.takers[owner] = true
	h.log.Warn("another process takes this one's shards: two services run on one journal. Nothing is lost. Stop one, then restart the other: it does not take them back by itself",
		"shard", number, "owner", owner, "this", h.cfg.Node)
}

// maxTakers bounds the names that are remembered.
const maxTakers = 64
