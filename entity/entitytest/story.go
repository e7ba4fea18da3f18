package entitytest

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// Story is a test of one entity, told in steps. Its methods return the story itself.
type Story[S any] struct {
	t         testing.TB
	typ       *entity.Type[S]
	id        string
	named     bool // by ID
	now       time.Time
	timeSet   bool
	principal string

	state   S
	version uint64
	given   []stored
	armed   []timer // by GivenTimer
	events  []proto.Message
	timers  []timer // pending, in due order
	steps   []*step
	watched []watched
	current int // index in watched of the state
}

// timer is one pending timer.
type timer struct {
	name string
	at   time.Time
	cmd  proto.Message
}

// step is one command with what came of it.
type step struct {
	where     string // file:line of the test
	at        time.Time
	principal string
	msg       proto.Message
	timer     string // the timer that fired, if no caller sent the command
	outcome
	expected bool // the story said that it wants the "no"
}

// New begins a story about a new entity of the given type. It is told at noon on
// 2 January 2026, UTC, unless At says otherwise.
func New[S any](t testing.TB, typ *entity.Type[S]) *Story[S] {
	t.Helper()
	s := &Story[S]{
		t: t, typ: typ, id: "42", state: typ.Initial(),
		now: time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC),
	}
	s.watchState("the initial state")
	t.Cleanup(s.end)
	return s
}

// ID names the entity; without it, it is called "42".
func (s *Story[S]) ID(id string) *Story[S] {
	s.t.Helper()
	s.mustBeBeforeWhen("ID")
	s.id, s.named = id, true
	return s
}

// At sets the time that the next commands see. Time never falls. Timers that are due by then
// fire before the next command, as after a downtime: their commands see this time, not the one they were due at.
func (s *Story[S]) At(now time.Time) *Story[S] {
	s.t.Helper()
	if s.timeSet && now.Before(s.now) {
		s.t.Fatalf("entitytest: At(%s) is before %s: an entity's time never falls", now, s.now)
	}
	s.now, s.timeSet = now.UTC(), true
	return s
}

// After moves the time on.
func (s *Story[S]) After(d time.Duration) *Story[S] {
	s.t.Helper()
	s.timeSet = true
	return s.At(s.now.Add(d))
}

// As tells who sends the next commands.
func (s *Story[S]) As(principal string) *Story[S] {
	s.principal = principal
	return s
}

// When sends a command or a query as a caller does, so not one made with
// [entity.OnTimer]. Timers that are due fire first.
func (s *Story[S]) When(msg proto.Message) *Story[S] {
	s.t.Helper()
	where := caller()
	name := msg.ProtoReflect().Descriptor().FullName()
	if slices.ContainsFunc(s.typ.Commands(), func(c entity.CommandInfo) bool { return c.TimerOnly && c.Name == string(name) }) {
		s.t.Fatalf("entitytest: only timers send %s: let one fire, with WhenTimer or by the time", name)
	}
	s.fireDue(where, "")
	s.run(&step{where: where, at: s.now, principal: s.principal, msg: msg})
	return s
}

// WhenTimer goes on to the time at which the named timer is due, and fires it.
func (s *Story[S]) WhenTimer(name string) *Story[S] {
	s.t.Helper()
	where := caller()
	i := slices.IndexFunc(s.timers, func(t timer) bool { return t.name == name })
	if i < 0 {
		s.t.Fatalf("entitytest: no timer %q is pending; pending are %s", name, s.timerNames())
	}
	if at := s.timers[i].at; at.After(s.now) {
		s.At(at)
	}
	s.fireDue(where, name)
	if i = slices.IndexFunc(s.timers, func(t timer) bool { return t.name == name }); i < 0 {
		s.t.Fatalf("entitytest: a timer due before %q cancelled it", name)
	}
	s.fire(where, i)
	return s
}

// State returns the state now.
func (s *Story[S]) State() S { return s.state }

// fireDue fires the timers that are due, in due order, up to but not
// including the one named.
func (s *Story[S]) fireDue(where, but string) {
	s.t.Helper()
	for range maxFired {
		if len(s.timers) == 0 || s.timers[0].name == but || s.timers[0].at.After(s.now) {
			return
		}
		st := s.fire(where, 0)
		st.expected = true // a rejection ends a timer like any other answer
		if st.failure != "" {
			s.t.Fatalf("%s: timer %q failed: %s", st, st.timer, st.failure)
		}
	}
	s.t.Fatalf("entitytest: %d timers fired without time passing: a timer's command arms a timer that is due at once", maxFired)
}

// maxFired bounds the timers that fire before one command.
const maxFired = 1000

func (s *Story[S]) fire(where string, i int) *step {
	s.t.Helper()
	due := s.timers[i]
	s.timers = slices.Delete(slices.Clone(s.timers), i, i+1)
	st := &step{where: where, at: s.now, msg: due.cmd, timer: due.name}
	s.run(st)
	if st.failure != "" {
		s.arm(due) // it is tried again later
	}
	return st
}

// run decides one step, with all checks, and lets its effect happen.
func (s *Story[S]) run(st *step) {
	s.t.Helper()
	s.settleLast()
	s.steps = append(s.steps, st)
	s.roundTrip("command", st.msg)
	st.outcome = s.decide(st)
	if st.err != nil {
		return
	}
	s.roundTrip("reply", st.reply)
	for _, e := range st.effect.Events() {
		s.roundTrip("event", e)
		if !s.applyEvent(e) {
			s.t.FailNow()
		}
	}
	for _, name := range st.effect.Cancels() {
		s.disarm(name)
	}
	for _, a := range st.effect.Armings() {
		tm := timer{a.Name, a.At.UTC(), a.Command}
		s.checkTimer(tm)
		s.arm(tm)
	}
}

func (s *Story[S]) arm(t timer) {
	s.disarm(t.name)
	s.timers = append(s.timers, t)
	// Stable: of two due at the same time, the one armed first fires first.
	slices.SortStableFunc(s.timers, func(a, b timer) int { return a.at.Compare(b.at) })
}

func (s *Story[S]) disarm(name string) {
	s.timers = slices.DeleteFunc(slices.Clone(s.timers), func(t timer) bool { return t.name == name })
}

func (s *Story[S]) timerNames() string {
	if len(s.timers) == 0 {
		return "none"
	}
	var names []string
	for _, t := range s.timers {
		names = append(names, fmt.Sprintf("%q at %s", t.name, t.at.Format(time.RFC3339Nano)))
	}
	return fmt.Sprint(names)
}

func (s *Story[S]) mustBeBeforeWhen(what string) {
	s.t.Helper()
	if len(s.steps) > 0 {
		s.t.Fatalf("entitytest: %s comes before the first When", what)
	}
}

// settleLast reports a "no" that the story did not mention.
func (s *Story[S]) settleLast() {
	s.t.Helper()
	if len(s.steps) == 0 {
		return
	}
	if st := s.steps[len(s.steps)-1]; st.err != nil && !st.expected {
		st.expected = true
		s.t.Errorf("%s: unexpected answer: %v", st, st.err)
	}
}

// end checks what can only be seen when the story is over.
func (s *Story[S]) end() {
	s.t.Helper()
	s.settleLast()
	s.checkReplay()
	s.checkSnapshot()
	s.checkWatched()
	if !s.t.Failed() {
		s.retell()
	}
}

// String names the step in messages, with its line unless the test's report names that line already.
func (st *step) String() string {
	name := string(st.msg.ProtoReflect().Descriptor().Name())
	if st.timer != "" {
		name = fmt.Sprintf("timer %q (%s)", st.timer, name)
	}
	if st.where == outside() {
		return name
	}
	return st.where + ": " + name
}

// caller returns the line of the test that called the method of Story.
func caller() string {
	_, file, line, _ := runtime.Caller(2)
	return place(file, line)
}

func place(file string, line int) string { return fmt.Sprintf("%s:%d", filepath.Base(file), line) }

// outside returns the line that called into this package: the one that a report
// names, since all that is in between is a helper.
func outside() string {
	const deepest = 64
	var pcs [deepest]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	line, inside := "", false
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		now := strings.HasPrefix(f.Function, thisPackage)
		if inside && !now {
			line = place(f.File, f.Line)
		}
		inside = now
	}
	return line
}

// thisPackage begins the names of its functions.
var thisPackage = reflect.TypeFor[step]().PkgPath() + "."
