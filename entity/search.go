package entity

import "time"

// search finds how many appends should be under way at once. Few let records grow, which makes each event
// cheap; many keep a store busy that serves many at once. Where the best lies depends
// on the store, the machine and the load, so it is found by trying.
//
// A trial compares the limit in use with one beside it, in turns, so that whatever else changes
// meanwhile (other load, a pause of the database) meets both. The better one is
// used from then on and the next trial goes on in its direction, by large steps first.
// Once neither side is better it rests, longer each time.
//
// It has no clock of its own and is used by one goroutine at a time.
type search struct {
	most  int
	at    int // the limit in use is rung(at)
	step  int // of the next trial: how many rungs, and in which direction
	fails int // trials since a side was better

	trial           bool
	turn            int
	current, beside period // what was measured in this trial, with either limit
	rest, pause     int    // periods to rest, and how many the next time
}

// period is what was measured with one limit.
type period struct {
	replies
	length time.Duration
	peak   int // most appends that were under way at once
}

// replies counts commands that stored something, and the time that they took altogether.
type replies struct {
	commands int
	took     time.Duration
}

func (r *replies) add(more replies) {
	r.commands += more.commands
	r.took += more.took
}

// score is the rate divided by the latency. Where callers wait for their answers both say the same;
// where commands come at a rate of their own the latency decides, and under overload the rate.
func (p period) score() float64 {
	if p.took <= 0 || p.length <= 0 {
		return 0
	}
	commands := float64(p.commands)
	return commands * commands / (p.took.Seconds() * p.length.Seconds())
}

const (
	firstRung = 5 // 12 appends
	smallStep = 1
	largeStep = 2  // doubles the limit, or halves it
	minTurns  = 4  // periods after which a clear difference is believed
	maxTurns  = 12 // and any
	minPause  = 10
	maxPause  = 80
	minSlots  = 2

	// A score goes with the square of a rate, so these are 10, 2.5 and 0.5 % of it: a difference that is
	// clear; what a larger limit must gain; what a smaller one may lose, since its records cost less.
	clearly = 1.2
	better  = 1.05
	asGood  = 0.99
)

func newSearch(most int) *search {
	s := &search{most: max(most, minSlots), at: firstRung, step: largeStep, pause: minPause}
	for s.at > 0 && rung(s.at) > s.most {
		s.at--
	}
	return s
}

// rung i of the limits that are tried: 2, 3, 4, 6, 8, 12, 16, 24 and so on.
func rung(i int) int {
	if i%2 == 1 {
		return 3 << (i / 2)
	}
	return minSlots << (i / 2)
}

// limit is what is to be used in the next period. A trial goes current, beside, beside,
// current, so that a steady change of anything else cancels out.
func (s *search) limit() int {
	if s.trial && (s.turn%4 == 1 || s.turn%4 == 2) {
		return s.side()
	}
	return min(rung(s.at), s.most)
}

// side is the limit beside the one in use.
func (s *search) side() int { return min(rung(max(s.at+s.step, 0)), s.most) }

// measured takes what was measured with the limit that was asked for last.
func (s *search) measured(p period) {
	switch {
	case s.trial:
		s.compare(p)
	case s.rest > 0:
		s.rest--
	default:
		s.cover(p.peak)
		s.try()
	}
}

// cover lowers a limit that bound nobody to the one that just covers what was used, since a trial of
// limits that are not reached compares nothing.
func (s *search) cover(peak int) {
	for s.at > 0 && rung(s.at-1) >= peak {
		s.at--
	}
}

// forget ends a trial that was interrupted.
func (s *search) forget() { s.trial = false }

// try begins a trial, if there is a limit on that side.
func (s *search) try() {
	if s.side() == s.limit() {
		s.lost()
		return
	}
	s.trial, s.turn, s.current, s.beside = true, 0, period{}, period{}
}

// compare ends the trial when it is decided.
func (s *search) compare(p period) {
	of := &s.current
	if s.limit() == s.side() {
		of = &s.beside
	}
	of.replies.add(p.replies)
	of.length += p.length
	s.turn++
	if s.turn%minTurns != 0 {
		return
	}
	ratio := s.beside.score() / max(s.current.score(), 1e-9)
	isClear := ratio > clearly || ratio < 1/clearly
	if s.turn < maxTurns && !isClear {
		return
	}
	s.trial = false
	if s.step > 0 && ratio > better || s.step < 0 && ratio > asGood {
		s.won(isClear)
	} else {
		s.lost()
	}
}

// won takes the other limit and goes on in its direction, fast if it is clearly better.
func (s *search) won(isClear bool) {
	for s.at = max(s.at+s.step, 0); s.at > 0 && rung(s.at-1) >= s.most; {
		s.at--
	}
	s.fails, s.pause = 0, minPause
	if isClear {
		s.step = largeStep * sign(s.step)
	}
	s.try()
}

// lost looks at the other side next, then by small steps, then rests.
func (s *search) lost() {
	s.step = -s.step
	if s.fails++; s.fails < 2 {
		return
	}
	s.fails = 0
	if s.step != sign(s.step) {
		s.step = smallStep * sign(s.step)
		return
	}
	s.rest = s.pause
	s.pause = min(2*s.pause, maxPause)
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}
