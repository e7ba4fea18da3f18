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
	since   time.Time     // when this phase began
	settled bool          // the limit's change is over: what happens now is measured
	settle  time.Duration // how long that took, by the time of an append
	usual   time.Duration // what a command took, before this period
	use     use
	period  period
	late    replies // of the period, each with lateness times the usual: not counted
}

// use is how the slots were used in a phase.
type use struct {
	at    time.Time // up to here
	held  time.Duration
	idle  time.Duration // nothing was under way
	ended int
}

const (
	// settling is how long a new limit is in force before it is measured: what was under
	// way under the old one ends meanwhile. A slow store needs settlingAppends times what an append takes,
	// but no more than maxSettling.
	settling        = 50 * time.Millisecond
	settlingAppends = 1.5
	maxSettling     = 10 * time.Second
	// measuring is how long it is measured then, as a multiple of the time that it took to settle.
	measuring = 3
	// lateness is how many times longer than usual an append's commands took if they waited for something
	// that no limit changes, such as an outcome that was unknown for long.
	lateness = 10
)

// newSlots returns slots with a limit that stays.
func newSlots(limit int) *slots { return &slots{limit: limit} }

// newAdaptiveSlots returns slots whose limit is found while running: most at most.
func newAdaptiveSlots(most int) *slots {
	s := newSearch(most)
	return &slots{limit: s.limit(), search: s}
}

// take reports whether there is room; if not, the shard is told later.
func (s *slots) take(a *shardActor, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.limit {
		s.waiting = append(s.waiting, a)
		return false
	}
	s.use.upTo(now, s.used)
	s.occupy()
	return true
}

func (s *slots) occupy() {
	s.used++
	s.period.peak = max(s.period.peak, s.used)
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
	s.use.upTo(now, s.used)
	s.use.ended++
	s.used--
	s.count(answered)
	s.adapt(now)
	for s.used < s.limit && s.head < len(s.waiting) {
		next = append(next, s.waiting[s.head])
		s.waiting[s.head] = nil
		s.head++
		s.occupy()
	}
	s.compact()
	return next
}

// compact keeps the queue within twice the shards that wait, also when it never runs empty.
func (s *slots) compact() {
	if 2*s.head < len(s.waiting) {
		return
	}
	rest := copy(s.waiting, s.waiting[s.head:])
	clear(s.waiting[rest:])
	s.waiting, s.head = s.waiting[:rest], 0
}

// count leaves out commands that took far longer than usual. If all do, that is the usual soon.
func (s *slots) count(answered replies) {
	most := lateness * s.usual * time.Duration(answered.commands)
	if s.usual > 0 && answered.took > most {
		s.late.add(replies{answered.commands, most})
		return
	}
	s.period.replies.add(answered)
}

// adapt lets the search decide at the end of each period. One that was idle for the most part says nothing,
// nor does one that took much too long, since the whole store paused.
func (s *slots) adapt(now time.Time) {
	if s.search == nil {
		return
	}
	passed := now.Sub(s.since)
	switch planned := measuring * s.settle; {
	case s.since.IsZero():
		s.begin(now)
	case s.use.idle > passed/2, s.settled && passed > 2*planned:
		s.search.forget()
		s.begin(now)
	case !s.settled && passed >= s.use.settling():
		s.settle, s.settled = s.use.settling(), true
		s.phase(now)
	case s.settled && passed >= planned:
		s.measured(passed)
		s.begin(now)
	}
}

// measured tells the search of a period, unless nothing was answered in it.
func (s *slots) measured(length time.Duration) {
	s.period.length = length
	if s.period.commands == 0 {
		s.search.forget()
	} else {
		s.search.measured(s.period)
	}
	all := s.period.replies
	all.add(s.late)
	if all.commands > 0 {
		s.usual = all.took / time.Duration(all.commands)
	}
}

// begin begins a period with the limit that the search wants.
func (s *slots) begin(now time.Time) {
	s.limit, s.settled = s.search.limit(), false
	s.phase(now)
}

// phase begins to settle, or to measure.
func (s *slots) phase(now time.Time) {
	s.since, s.use, s.late = now, use{at: now}, replies{}
	s.period = period{peak: s.used}
}

// upTo accounts for the time until now, in which so many slots were used.
func (u *use) upTo(now time.Time, used int) {
	passed := now.Sub(u.at)
	if passed <= 0 { // two shards may have looked at the clock in the other order
		return
	}
	if u.at = now; used == 0 {
		u.idle += passed
	}
	u.held += time.Duration(used) * passed
}

// settling is how long a phase of this use has to be until its limit has settled. The mean time of an append
// is by Little's law, which takes those that have not ended into account.
func (u *use) settling() time.Duration {
	mean := u.held / time.Duration(max(u.ended, 1))
	return min(max(settling, time.Duration(settlingAppends*float64(mean))), maxSettling)
}
