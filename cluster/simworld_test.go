package cluster

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/skerryhq/skerry/entity/shardtest"
)

// sim is one schedule of a whole cluster: its processes, their journal, what is between them and their users, all in one
// goroutine under one source of chance. What decides is the real thing: view and placement, decider with
// steward and witness, heartbeat, routes and trip, and the shards' machines. What surrounds them is a model. The
// same seed gives the same schedule, to the last byte of its trace.
type sim struct {
	seed uint64
	rng  *rand.Rand
	plan simPlan
	bug  simBug

	now    int64 // the true time; processes' clocks differ from it
	seq    uint64
	events []simEvent
	done   int  // events so far
	calm   bool // the quiet end: nothing fails any more

	places    []*simPlace
	processes []*simProcess // all that ever ran, by number
	links     [][]simLink   // [i][j]: from place i to place j
	calls     []*simCall    // between processes, not answered yet
	journal   *simJournal
	truth     *simTruth
	users     []*simUser
	ops       []*simOp
	batches   uint64
	counts    simCounts

	trace func(string, ...any) // nil unless somebody reads it
}

// simCounts says what happened, by name.
type simCounts map[string]int

func (c simCounts) add(other simCounts) {
	for k, v := range other {
		c[k] += v
	}
}

// simEvent is something that happens at a time.
type simEvent struct {
	at  int64
	seq uint64
	do  func()
}

func (e simEvent) before(o simEvent) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// simBroken is how a schedule ends that breaks a promise.
type simBroken struct{ what string }

func (s *sim) fail(format string, args ...any) {
	panic(simBroken{fmt.Sprintf(format, args...)})
}

func (s *sim) log(format string, args ...any) {
	if s.trace != nil {
		s.trace("%12v  %s", time.Duration(s.now-simBegin), fmt.Sprintf(format, args...))
	}
}

// simBegin is when schedules begin.
const simBegin = int64(480_000*time.Hour + 30*time.Minute)

// newSim prepares a schedule. Its plan is drawn from the seed.
func newSim(seed uint64, planted simBug) *sim {
	s := &sim{seed: seed, bug: planted, rng: rand.New(rand.NewPCG(seed, 0x5ca1ab1e)), now: simBegin, counts: simCounts{}}
	s.plan = drawSimPlan(s.rng, planted.plan)
	s.journal, s.truth = newSimJournal(s), newSimTruth(s)
	s.links = make([][]simLink, s.plan.places)
	for i := range s.plan.places {
		s.places = append(s.places, s.newPlace(i))
		s.links[i] = make([]simLink, s.plan.places)
	}
	for i := range s.plan.users {
		s.users = append(s.users, &simUser{s: s, number: i})
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
	return int64(min(s.rng.ExpFloat64(), 20)*float64(mean)) + 1
}

// between draws a time, also in the quiet end.
func (s *sim) between(least, most time.Duration) int64 {
	return int64(least) + s.rng.Int64N(int64(most-least)+1)
}

func (s *sim) after(d int64, do func()) { s.at(s.now+d, do) }

func (s *sim) at(when int64, do func()) {
	s.seq++
	h := append(s.events, simEvent{max(when, s.now), s.seq, do})
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

func (s *sim) pop() simEvent {
	h := s.events
	first, n := h[0], len(h)-1
	h[0] = h[n]
	h[n] = simEvent{}
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

// simMostEvents is far above what any schedule needs.
const simMostEvents = 400_000

// run lets time pass.
func (s *sim) run(d time.Duration) {
	until := s.now + int64(d)
	for len(s.events) > 0 && s.events[0].at <= until {
		e := s.pop()
		s.now = e.at
		e.do()
		if s.done++; s.done > simMostEvents {
			s.fail("the schedule does not end: %d events", s.done)
		}
	}
	s.now = until
}

// play is the whole schedule: the storm, the quiet, the last look.
func (s *sim) play() {
	s.script()
	for _, u := range s.users {
		u.begin()
	}
	s.run(s.plan.storm)
	s.settle()
	s.lastLook()
}

// lastLook asks every process for every entity, waits for all timers, and judges what all were told.
func (s *sim) lastLook() {
	s.log("--- last look")
	for range 20 { // timers may arm timers
		due := s.truth.lastDue()
		if due == 0 {
			break
		}
		s.run(time.Duration(max(due-s.now, 0)) + 2*s.plan.skew + 20*time.Second)
	}
	if what := s.truth.pending(); what != "" {
		s.fail("all timers were due long ago; pending are %s", what)
	}
	var asked []*simOp
	for _, p := range s.alive() {
		for i := range s.plan.entities {
			asked = append(asked, s.users[0].ask(p, i))
		}
	}
	s.run(10 * time.Second)
	for _, o := range asked {
		if o.outcome != simReplied {
			s.fail("%s at %s is told %s at the end, when nothing fails: %v", o, o.p.incarnation, o.outcome, o.err)
		}
	}
	s.awaitRest() // clocks that drift may have been found to be off
	s.judgeAll()
}

// alive are the processes that run, in the order of their starts.
func (s *sim) alive() []*simProcess {
	var out []*simProcess
	for _, x := range s.places {
		if p := x.process; p != nil && !p.dead {
			out = append(out, p)
		}
	}
	return out
}

// plant gives a machine the defect of the schedule, if it is one of machines.
func (s *sim) plant(m *shardtest.Machine) {
	if s.bug.machine != "" && !m.Plant(s.bug.machine) {
		s.fail("no defect of machines is called %q", s.bug.machine)
	}
}
