package cluster

import "sync"

// backlog bounds what other processes' messages about shards hold in memory until the loop has looked at them. Without it a process
// that sends faster than the loop looks would fill the memory. Who sends waits for no answer, and what is lost is made up for as
// any message that the network loses. The zero value is empty. Safe for concurrent use.
type backlog struct {
	mu   sync.Mutex
	held map[string]int // bytes by sender, for those that hold any
}

const (
	// messageCost and claimCost are about what a message, and each claim in it, take in memory beside their bytes on the wire.
	messageCost = 128
	claimCost   = 64
	// backlogBase and backlogPerShard bound the bytes of one process: some hundred small messages, and some with claims of all shards.
	backlogBase     = 64 << 10
	backlogPerShard = 1 << 10
	// stranger stands for all processes that are no members as far as is known: together they may hold as much as one member.
	stranger = ""
)

func backlogLimit(shards int) int { return backlogBase + shards*backlogPerShard }

// add takes room for a message, and tells whether there was any.
func (b *backlog) add(from string, size, limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[from]+size > limit {
		return false
	}
	if b.held == nil {
		b.held = map[string]int{}
	}
	b.held[from] += size
	return true
}

// done gives the room of a message back.
func (b *backlog) done(from string, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[from] -= size; b.held[from] <= 0 {
		delete(b.held, from)
	}
}
