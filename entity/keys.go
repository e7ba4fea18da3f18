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

// clientKeys makes the keys of one process. An entity remembers an answer until
// it hears that the number is no longer open here.
type clientKeys struct {
	id    [16]byte
	next  atomic.Uint64
	parts [64]openNumbers
}

// openNumbers holds, per entity, the numbers that are open, in ascending order.
type openNumbers struct {
	mu sync.Mutex
	of map[journal.Entity][]uint64
}

func newClientKeys() *clientKeys {
	k := &clientKeys{}
	_, _ = rand.Read(k.id[:]) // never fails
	for i := range k.parts {
		k.parts[i].of = map[journal.Entity][]uint64{}
	}
	return k
}

func (k *clientKeys) part(of journal.Entity) *openNumbers {
	return &k.parts[xxhash.Sum64String(of.ID)%uint64(len(k.parts))]
}

// open makes a key for a command to an entity.
func (k *clientKeys) open(of journal.Entity, now time.Time) shard.Key {
	p := k.part(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	n := k.next.Add(1) // under the lock: the numbers of one entity ascend
	held := append(p.of[of], n)
	p.of[of] = held
	return shard.Key{Kind: shard.ClientKey, Client: k.id, Number: n, Oldest: held[0], Issued: now.UnixNano()}
}

// close ends a key's use, with whatever outcome: the call is over and nobody else has the
// key, so nobody can send it again. (An entity takes the commands of one node in
// order, so a late one is never below the mark of its successors.)
func (k *clientKeys) close(of journal.Entity, key *shard.Key) {
	p := k.part(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.of[of]
	i := slices.Index(held, key.Number)
	switch {
	case i < 0:
	case len(held) == 1:
		delete(p.of, of)
	default:
		p.of[of] = slices.Delete(held, i, i+1)
	}
}
