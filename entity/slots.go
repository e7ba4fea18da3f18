package entity

import (
	"sync"
	"time"
)

// slots bounds the appends that are under way on a node, so that under load records
// grow instead of queues. The shard that waits longest is next.
type slots struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting []*shardActor
	head    int

	// search, if there is one, moves the limit; the rest is what it is told.
	search  *search
	since   time.Time // when the period began
	settled bool      // the limit's change is over: what happens now is measured
	period  period
}

const (
	// settling is how long a new limit is in force before it is measured: what was under
	// way under the old one ends meanwhile. measuring is how long it is measured then.
	settling  = 50 * time.Millisecond
	measuring = 150 * time.Millisecond
)

// newSlots returns slots with a limit that stays.
func newSlots(limit int) *slots { return &slots{limit: limit} }

// newAdaptiveSlots returns slots whose limit is found while running: most at most.
func newAdaptiveSlots(most int) *slots {
	s := newSearch(most)
	return &slots{limit: s.limit(), search: s}
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
	s.period.full = true
	return false
}

// give returns a slot after an append, with what the shard has answered since the last time.
func (s *slots) give(answered replies, now time.Time) {
	for _, a := range s.release(answered, now) {
		a.tell(slotFree{})
	}
}

// release returns the shards that may go on now.
func (s *slots) release(answered replies, now time.Time) (next []*shardActor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	s.period.replies.add(answered)
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

// adapt lets the search decide at the end of each period. One that took much too long
// was idle for a part of it, and says nothing.
func (s *slots) adapt(now time.Time) {
	passed := now.Sub(s.since)
	switch {
	case s.search == nil:
	case passed > 2*measuring:
		s.search.forget()
		s.begin(now)
	case !s.settled && passed >= settling:
		s.settled, s.since = true, now
		s.period = period{full: s.head < len(s.waiting)}
	case s.settled && passed >= measuring:
		s.period.length = passed
		s.search.measured(s.period)
		s.begin(now)
	}
}

// begin begins a period with the limit that the search wants.
func (s *slots) begin(now time.Time) {
	s.limit = s.search.limit()
	s.settled, s.since = false, now
}
