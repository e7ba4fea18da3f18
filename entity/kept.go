package entity

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Limits of the keys that stay open after their call, because its outcome is not known. A key
// over a limit is closed early. That is safe: a copy of its command that is still on
// its way is then refused as expired where it would have run, so it still counts at most once.
const (
	// keptAge is as long as an entity takes a copy of the command.
	keptAge = shard.KeyAge
	// maxKept bounds them in all; the oldest is closed early.
	maxKept = 1 << 16
	// maxOutrun bounds the later keys to the same entity. All their answers are remembered
	// there as long as the older key is open, and a window holds no more than 16,384 of them.
	maxOutrun = 4096
)

// keptKeys are all kept keys of a client, oldest first.
type keptKeys struct {
	mu    sync.Mutex
	queue []keptKey
	// due is when the first of them is too old, in Unix nanoseconds; 0 if there is none.
	due atomic.Int64
}

type keptKey struct {
	of     journal.Entity
	number uint64
	until  int64
}

// keptNumbers are the kept numbers of one entity, with the count of keys given out when
// they were kept.
type keptNumbers struct {
	given   int
	numbers []keptNumber
}

type keptNumber struct {
	number uint64
	given  int
}

// Keep ends a call whose outcome is not known, and leaves its key open: a late copy of the
// command may still run, and its entity must then be able to tell it from a second one. The key is
// closed at its age of 24 h, or before that at one of the limits: 65,536
// such keys of the client, or 4,096 later keys to the same entity.
func (k *ClientKeys) Keep(of journal.Entity, key CommandKey) {
	p := k.part(of)
	p.mu.Lock()
	if p.since == nil {
		p.since = map[journal.Entity]*keptNumbers{}
	}
	s := p.since[of]
	if s == nil {
		s = &keptNumbers{}
		p.since[of] = s
	}
	s.numbers = append(s.numbers, keptNumber{key.Number, s.given})
	p.mu.Unlock()
	k.enqueue(keptKey{of, key.Number, key.Issued + int64(keptAge)})
}

// Yield closes the kept keys of an entity that is busy: the answers behind them may be what it has no room
// for. It returns key as it is to be sent from now on.
func (k *ClientKeys) Yield(of journal.Entity, key CommandKey) CommandKey {
	p := k.part(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeKept(of, func(keptNumber) bool { return true })
	if held := p.of[of]; len(held) > 0 && held[0] <= key.Number {
		key.Oldest = held[0]
	}
	return key
}

func (k *ClientKeys) enqueue(key keptKey) {
	k.kept.mu.Lock()
	defer k.kept.mu.Unlock()
	k.kept.queue = append(k.kept.queue, key)
	if len(k.kept.queue) > maxKept {
		k.dropFirst()
	}
	k.kept.due.Store(k.kept.queue[0].until)
}

// dropAged closes the kept keys that are past their age.
func (k *ClientKeys) dropAged(now time.Time) {
	at := k.kept.due.Load()
	if at == 0 || now.UnixNano() < at {
		return
	}
	k.kept.mu.Lock()
	defer k.kept.mu.Unlock()
	for len(k.kept.queue) > 0 && k.kept.queue[0].until <= now.UnixNano() {
		k.dropFirst()
	}
	k.kept.due.Store(0)
	if len(k.kept.queue) > 0 {
		k.kept.due.Store(k.kept.queue[0].until)
	}
}

// dropFirst closes the kept key that is oldest.
func (k *ClientKeys) dropFirst() {
	first := k.kept.queue[0]
	k.kept.queue[0] = keptKey{}
	k.kept.queue = k.kept.queue[1:]
	p := k.part(first.of)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeKept(first.of, func(n keptNumber) bool { return n.number == first.number })
}

// outrun counts a key that is given out to an entity, and closes the kept ones that are too far behind it.
func (p *openNumbers) outrun(of journal.Entity) {
	s := p.since[of]
	if s == nil {
		return
	}
	s.given++
	if s.given-s.numbers[0].given >= maxOutrun {
		p.closeKept(of, func(n keptNumber) bool { return s.given-n.given >= maxOutrun })
	}
}

// closeKept closes the kept numbers of an entity that are chosen.
func (p *openNumbers) closeKept(of journal.Entity, chosen func(keptNumber) bool) {
	s := p.since[of]
	if s == nil {
		return
	}
	s.numbers = slices.DeleteFunc(s.numbers, func(n keptNumber) bool {
		if chosen(n) {
			p.close(of, n.number)
			return true
		}
		return false
	})
	if len(s.numbers) == 0 {
		delete(p.since, of)
	}
}
