package shard

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// sim is one schedule: one shard, its journal, up to three owners at a time, and their
// clients, all in one goroutine under one source of chance. The same seed gives the
// same schedule, to the last byte of its trace.
type sim struct {
	seed uint64
	rng  *rand.Rand
	mix  mix
	bug  bug // planted into every machine

	now    int64 // the true time; owners' clocks differ from it
	seq    uint64
	events []event
	calm   bool // the quiet end: nothing fails any more

	journal *modelJournal
	truth   *truth
	owners  []*simOwner
	started int // owners so far
	clients []*simClient
	ops     []*op
	calls   []*call
	inputs  int
	batches uint64
	counts  counts

	trace func(string, ...any) // nil unless somebody reads it
}

// counts says what happened, by name.
type counts map[string]int

func (c counts) add(other counts) {
	for k, v := range other {
		c[k] += v
	}
}

// event is something that happens at a time.
type event struct {
	at  int64
	seq uint64
	do  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// brokenPromise is how a schedule ends that breaks a promise.
type brokenPromise struct{ what string }

func (s *sim) fail(format string, args ...any) {
	panic(brokenPromise{fmt.Sprintf(format, args...)})
}

func (s *sim) log(format string, args ...any) {
	if s.trace != nil {
		s.trace("%12v  %s", time.Duration(s.now-simStart), fmt.Sprintf(format, args...))
	}
}

// simStart is when schedules begin: half an hour before the end of an hour.
const simStart = int64(480_000*time.Hour + 30*time.Minute)

// newSim prepares a schedule. Its mix of faults is drawn from the seed.
func newSim(seed uint64, planted bug) *sim {
	s := &sim{
		seed: seed, bug: planted, rng: rand.New(rand.NewPCG(seed, 0x5ca1ab1e)),
		now: simStart, counts: counts{},
	}
	s.mix = drawMix(s.rng)
	s.journal = &modelJournal{s: s, pages: make([][]journal.Page, s.mix.entities), snapshots: make([][]journal.Snapshot, s.mix.entities)}
	s.truth = newTruth(s)
	for i := range s.mix.clients {
		s.clients = append(s.clients, newSimClient(s, i))
	}
	return s
}

// chance is false in the quiet end.
func (s *sim) chance(p float64) bool { return p > 0 && !s.calm && s.rng.Float64() < p }

// coin is fair, also in the quiet end.
func (s *sim) coin() bool { return s.rng.Uint64()&1 == 0 }

// pause draws a time around mean; the quiet end is quick.
func (s *sim) pause(mean time.Duration) int64 {
	if s.calm {
		mean = min(mean, time.Millisecond)
	}
	return int64(s.rng.ExpFloat64()*float64(mean)) + 1
}

func (s *sim) after(d int64, do func()) { s.at(s.now+d, do) }

func (s *sim) at(when int64, do func()) {
	s.seq++
	h := append(s.events, event{max(when, s.now), s.seq, do})
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	s.events = h
}

func (s *sim) pop() event {
	h := s.events
	first, n := h[0], len(h)-1
	h[0] = h[n]
	h[n] = event{}
	h = h[:n]
	for i := 0; ; {
		low := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < n && h[c].before(h[low]) {
				low = c
			}
		}
		if low == i {
			break
		}
		h[i], h[low] = h[low], h[i]
		i = low
	}
	s.events = h
	return first
}

// runUntil lets things happen until the time or the condition has come.
func (s *sim) runUntil(when int64, enough func() bool) {
	for len(s.events) > 0 && s.events[0].at <= when && !enough() {
		e := s.pop()
		s.now = e.at
		e.do()
		if s.inputs > maxInputs {
			s.fail("the schedule does not end: %d inputs", s.inputs)
		}
	}
	if !enough() {
		s.now = max(s.now, when)
	}
}

// maxInputs is far above what any schedule needs: an append that hangs for minutes, while entities are looked at every few milliseconds.
const maxInputs = 1_000_000

func never() bool { return false }

// run plays the whole schedule: the storm, the quiet, the last look.
func (s *sim) run() {
	s.startOwner()
	s.lifecycle()
	for _, c := range s.clients {
		c.begin()
	}
	s.runUntil(s.now+int64(100*time.Hour), func() bool { return s.inputs >= s.mix.inputs })
	s.quiet()
	s.lastLook()
}

// quiet ends all faults and waits until nothing may be left to do: longer than every pause
// of the machine, and past every timer that is armed.
func (s *sim) quiet() {
	s.log("--- quiet")
	s.calm, s.journal.full = true, false
	for _, o := range s.owners {
		o.dead = o.dead || o.draining || o.m.Info().Preparing // one that is draining, and claims still, would fire no timer
	}
	s.startOwner()
	s.runUntil(s.now+int64(3*time.Minute), never)
	for range 20 { // timers may arm timers
		last := s.truth.lastDue()
		if last == 0 {
			break
		}
		s.runUntil(max(s.now, last+s.slowest())+int64(3*time.Minute), never)
	}
	if s.truth.lastDue() != 0 {
		s.fail("a timer is still pending after all of them were due: %s", s.truth.describePending())
	}
	s.checkAnswered()
}

// slowest is how far the slowest clock of those that live is behind: whoever claimed last has the shard, and that need not be
// who started last.
func (s *sim) slowest() (behind int64) {
	for _, o := range s.alive() {
		behind = max(behind, -o.skew)
	}
	return behind
}

// lastLook lets a fresh owner take the shard and tell what every entity is, then lets it drain.
func (s *sim) lastLook() {
	s.log("--- last look")
	o := s.startOwner()
	for i := range s.truth.entities {
		s.finalRead(o, i)
	}
	s.runUntil(s.now+int64(time.Minute), never)
	s.checkAnswered()
	s.finalReads()
	s.log("%s <- drain", o.name)
	o.input(func(now int64) { o.m.Drain(now) })
	s.runUntil(s.now+int64(time.Minute), never)
	if !o.m.Drained() {
		s.fail("%s does not drain: %+v", o.name, o.m.Info())
	}
	s.truth.checkFlushed(o.m.Info().Head)
}

// checkAnswered tells that no command was left without an answer by an owner that lives. One that came late, or has a late
// deadline, is waited for.
func (s *sim) checkAnswered() {
	s.runUntil(s.now+int64(time.Hour), func() bool { return s.unanswered() == nil })
	if c := s.unanswered(); c != nil {
		s.fail("command %s was never answered by %s, which lives: %+v", c, c.owner.name, c.owner.m.Info())
	}
}

// unanswered is a command that an owner which lives has taken in and not answered; nil if there is none.
func (s *sim) unanswered() *call {
	for _, c := range s.calls {
		if c.owner != nil && !c.owner.dead && !c.answered {
			return c
		}
	}
	return nil
}
