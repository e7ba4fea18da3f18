package entity

import (
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// ClientKeys makes the keys of one process that sends commands: a [Host] has one, and so
// has each client outside. A key is a number, and it tells the oldest number that is still
// open to its entity. The entity remembers an answer until it hears that
// the number is no longer open, so it remembers no more than the calls in flight.
//
// Each key that is opened must be closed or kept, once. All methods may be called
// concurrently. Most code never needs one: see [Method.Ask].
type ClientKeys struct {
	id    [16]byte
	next  atomic.Uint64
	parts [64]openNumbers
	kept  keptKeys
}

// openNumbers holds, per entity, the numbers that are open, in ascending order.
type openNumbers struct {
	mu sync.Mutex
	of map[journal.Entity][]uint64
	// since counts the keys given out to entities with kept numbers. It is nil where there are none.
	since map[journal.Entity]*keptNumbers
}

// NewClientKeys returns the keys of a new client. Its id is random, so that no other process has it.
func NewClientKeys() *ClientKeys {
	k := &ClientKeys{}
	_, _ = rand.Read(k.id[:]) // never fails
	for i := range k.parts {
		k.parts[i].of = map[journal.Entity][]uint64{}
	}
	return k
}

func (k *ClientKeys) part(of journal.Entity) *openNumbers {
	return &k.parts[xxhash.Sum64String(of.ID)%uint64(len(k.parts))]
}

// Open makes a key for a command to an entity. now is the time of its issue: an entity that
// first sees it much later refuses it.
func (k *ClientKeys) Open(of journal.Entity, now time.Time) CommandKey {
	k.dropAged(now)
	p := k.part(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := k.next.Add(1) // under the lock: the numbers of one entity ascend
	held := append(p.of[of], n)
	p.of[of] = held
	if p.since != nil {
		p.outrun(of)
		held = p.of[of]
	}
	return shard.Key{Kind: shard.ClientKey, Client: k.id, Number: n, Oldest: held[0], Issued: now.UnixNano()}
}

// Close ends a key's use: the call is over, and nobody else has the key, so nobody can send
// it again. A copy that is still on its way is refused by the entity once
// it has heard of it, and does nothing. (An entity takes the commands of one node in
// order, so a late one is never below the mark of its successors.)
func (k *ClientKeys) Close(of journal.Entity, key CommandKey) {
	p := k.part(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close(of, key.Number)
}

func (p *openNumbers) close(of journal.Entity, number uint64) {
	held := p.of[of]
	i := slices.Index(held, number)
	switch {
	case i < 0:
	case len(held) == 1:
		delete(p.of, of)
	default:
		p.of[of] = slices.Delete(held, i, i+1)
	}
}
