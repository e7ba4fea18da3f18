package entity

import (
	"sync"
	"time"
)

// slots bounds the appends that are under way on a node, so that under load records
// grow instead of queues. The shard that waits longest is next.
//
// The bound follows the rate of events: it takes a step where the rate has clearly
// changed, on in the same direction when it rose, back when it fell, and probes now and then.
type slots struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting []*shardActor
	head    int

	adaptive bool
	max      int
	events   uint64 // since began
	began    time.Time
	rate     float64
	step     int
	quiet    int // periods without a clear change
}

const (
	minSlots = 2
	// slotsPeriod is how long one bound is measured.
	slotsPeriod = 200 * time.Millisecond
)

func newSlots(limit, most int, adaptive bool) *slots {
	return &slots{limit: limit, max: max(most, minSlots), adaptive: adaptive, step: 1}
}

// take reports whether there is room; if not, the shard is told later.
func (s *slots) take(a *shardActor) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used < s.limit {
		s.used++
		return true
	}
	s.waiting = append(s.waiting, a)
	return false
}

// forget ends the waiting of a shard that has ended. If its turn had come, the next one's comes.
func (s *slots) forget(a *shardActor, now time.Time) {
	s.mu.Lock()
	for i := s.head; i < len(s.waiting); i++ {
		if s.waiting[i] == a {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	s.give(0, now)
}

// give returns a slot after an append that carried so many events.
func (s *slots) give(events uint64, now time.Time) {
	for _, a := range s.release(events, now) {
		a.tell(slotFree{})
	}
}

// release returns the shards that may go on now.
func (s *slots) release(events uint64, now time.Time) (next []*shardActor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.events += events
	s.adapt(now)
	for s.used < s.limit && s.head < len(s.waiting) {
		next = append(next, s.waiting[s.head])
		s.waiting[s.head] = nil
		s.head++
		s.used++
	}
	if s.head == len(s.waiting) {
		s.waiting, s.head = s.waiting[:0], 0
	}
	return next
}

// adapt looks at the rate once per period.
func (s *slots) adapt(now time.Time) {
	passed := now.Sub(s.began)
	if !s.adaptive || passed < slotsPeriod {
		return
	}
	rate := float64(s.events) / passed.Seconds()
	if passed > 2*slotsPeriod {
		s.rate = 0 // idle in between: nothing to compare with
	}
	const noise, probe = 0.1, 25
	s.quiet++
	switch {
	case s.rate == 0:
	case rate < s.rate*(1-noise):
		s.step = -s.step
		s.move()
	case rate > s.rate*(1+noise), s.quiet >= probe:
		s.move()
	}
	s.rate, s.events, s.began = rate, 0, now
}

// move takes one step, an eighth of the bound.
func (s *slots) move() {
	s.quiet = 0
	s.limit = min(max(s.limit+s.step*max(1, s.limit/8), minSlots), s.max)
}
