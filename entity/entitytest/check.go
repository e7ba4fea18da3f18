package entitytest

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// outcome is what a handler decided.
type outcome struct {
	effect entity.Effect
	reply  proto.Message
	err    error
	// failure is err's text if it is not a rejection.
	failure string
}

// String renders the outcome so that equal ones look equal.
func (o *outcome) String() string {
	if o.err != nil {
		return o.err.Error()
	}
	out := show(o.reply) + "\n" + showAll(o.effect.Events())
	for _, a := range o.effect.Armings() {
		out += fmt.Sprintf("\n  timer %q at %s: %s", a.Name, a.At.UTC(), show(a.Command))
	}
	return out + fmt.Sprintf("\n  cancels %q", o.effect.Cancels())
}

// runsPerStep is how often a handler is run on one input. More than twice,
// because a handler that depends on the order of a map often agrees with itself.
const runsPerStep = 8

// decide runs the handler and holds it against what a handler must be.
func (s *Story[S]) decide(st *step) outcome {
	s.t.Helper()
	s.watch("the command", st.msg)
	first := s.decideOnce(s.state, st)
	s.checkInput(fmt.Sprintf("%s: the handler changed", st))
	want := first.String()
	for range runsPerStep - 1 {
		if again := s.decideOnce(s.state, st); again.String() != want {
			s.t.Errorf("%s: the handler is not a pure function: on the same input it decided\n%s\nand then\n%s\n"+
				"It may depend on its arguments only: not on clocks, random numbers, the order of a map or anything outside.", st, want, &again)
			return first
		}
	}
	if stored, ok := s.throughSnapshot(st.String()); ok {
		if again := s.decideOnce(stored, st); again.String() != want {
			s.t.Errorf("%s: on a state read back from a snapshot the handler decides otherwise:\n%s\nwant\n%s", st, &again, want)
		}
	}
	return first
}

func (s *Story[S]) decideOnce(state S, st *step) (o outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = outcome{failure: fmt.Sprintf("panic: %v", p)}
			o.err = errors.New(o.failure)
		}
	}()
	at := entity.Moment{EntityID: s.id, Time: st.at, Version: s.version, Principal: st.principal, Timer: st.timer}
	o.effect, o.reply, o.err = s.typ.Decide(state, st.msg, at)
	var no *entity.Rejection
	if o.err != nil && !errors.As(o.err, &no) {
		o.failure = o.err.Error()
	}
	return o
}

// applyEvent applies one event to the story's state, and reports whether it could.
func (s *Story[S]) applyEvent(e proto.Message) bool {
	s.t.Helper()
	name := e.ProtoReflect().Descriptor().FullName()
	s.watch("the event "+string(name), e)
	next, err := s.evolve(s.state, e)
	if err != nil {
		s.t.Errorf("%s: %v", s.place(), err)
		return false
	}
	s.checkInput(fmt.Sprintf("%s: the rule that applies %s changed", s.place(), name))
	want := meaning(next)
	again, _ := s.evolve(s.state, e)
	if d := difference(want, meaning(again), "first", "then"); d != "" {
		s.t.Errorf("%s: the rule that applies %s is not a pure function: on the same input it gave two states: %s", s.place(), name, d)
	}
	s.state = next
	s.version++
	s.events = append(s.events, e)
	s.watchState(fmt.Sprintf("the state at version %d", s.version))
	return true
}

func (s *Story[S]) evolve(state S, e proto.Message) (next S, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the rule that applies %s panics: %v", e.ProtoReflect().Descriptor().FullName(), p)
		}
	}()
	return s.typ.Evolve(state, e)
}

// roundTrip checks that a message survives what is done to it on its way.
func (s *Story[S]) roundTrip(what string, m proto.Message) {
	s.t.Helper()
	if err := survives(m); err != nil {
		s.t.Errorf("%s: the %s %s does not survive encoding: %v", s.place(), what, m.ProtoReflect().Descriptor().FullName(), err)
	}
}

func survives(m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("as protobuf: %w", err)
	}
	back := m.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, back); err != nil {
		return fmt.Errorf("as protobuf: %w", err)
	}
	if !sameMessage(m, back) {
		return fmt.Errorf("as protobuf it comes back as\n%s\nwant\n%s", show(back), show(m))
	}
	if b, err = protojson.Marshal(m); err != nil {
		return fmt.Errorf("as JSON, which the HTTP interface and the operator's tool use: %w", err)
	}
	back = m.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(b, back); err != nil {
		return fmt.Errorf("as JSON, which the HTTP interface and the operator's tool use: %w", err)
	}
	if !sameMessage(m, back) {
		return fmt.Errorf("as JSON it comes back as\n%s\nwant\n%s", show(back), show(m))
	}
	return nil
}

// sameMessage is proto.Equal, but a nil message equals an empty one: they are encoded alike.
func sameMessage(a, b proto.Message) bool {
	return proto.Equal(a, b) || proto.Size(a) == 0 && proto.Size(b) == 0
}

func (s *Story[S]) checkTimer(t timer) {
	s.t.Helper()
	name := string(t.cmd.ProtoReflect().Descriptor().FullName())
	i := slices.IndexFunc(s.typ.Commands(), func(c entity.CommandInfo) bool { return c.Name == name })
	switch {
	case i < 0:
		s.t.Errorf("%s: timer %q arms %s, which type %q does not answer", s.place(), t.name, name, s.typ.Name())
	case s.typ.Commands()[i].Query:
		s.t.Errorf("%s: timer %q arms %s, which is a query", s.place(), t.name, name)
	}
	s.roundTrip("timer's command", t.cmd)
}

// checkReplay applies all events again from the start, as a recovery would.
func (s *Story[S]) checkReplay() {
	s.t.Helper()
	state := s.typ.Initial()
	for _, e := range s.events {
		b, err := proto.Marshal(e)
		if err != nil {
			return // reported when it was stored
		}
		back := e.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(b, back); err != nil {
			return
		}
		if state, err = s.evolve(state, back); err != nil {
			s.t.Errorf("replay: %v", err)
			return
		}
	}
	if d := difference(meaning(state), meaning(s.state), "replayed", "live"); d != "" {
		s.t.Errorf("replaying the events from the start gives another state than applying them one by one gave: %s", d)
	}
}

func (s *Story[S]) checkSnapshot() {
	s.t.Helper()
	_, _ = s.throughSnapshot("end of the story")
}

// throughSnapshot returns the state as it would be read back from a snapshot.
func (s *Story[S]) throughSnapshot(place string) (S, bool) {
	s.t.Helper()
	var none S
	b, err := s.typ.EncodeState(s.state)
	if err != nil {
		s.t.Errorf("%s: no snapshot can hold the state: %v", place, err)
		return none, false
	}
	back, err := s.typ.DecodeState(b)
	if err != nil {
		s.t.Errorf("%s: the state cannot be read back from a snapshot: %v", place, err)
		return none, false
	}
	if d := difference(meaning(back), meaning(s.state), "from the snapshot", "live"); d != "" {
		s.t.Errorf("%s: the state does not survive a snapshot: %s", place, d)
		return none, false
	}
	return back, true
}

// watched is a value that nobody may change, with how it looked first.
type watched struct {
	name  string
	value any
	looks []string
}

// watch remembers how a value looks.
func (s *Story[S]) watch(name string, value any) {
	s.watched = append(s.watched, watched{name, value, memory(value)})
}

func (s *Story[S]) watchState(name string) {
	s.current = len(s.watched)
	s.watch(name, s.state)
}

// checkInput compares the state and the newest message with how they looked before.
func (s *Story[S]) checkInput(who string) {
	s.t.Helper()
	s.checkOne(who, &s.watched[s.current])
	s.checkOne(who, &s.watched[len(s.watched)-1])
}

func (s *Story[S]) checkWatched() {
	s.t.Helper()
	for i := range s.watched {
		s.checkOne("later somebody changed", &s.watched[i])
	}
}

func (s *Story[S]) checkOne(who string, w *watched) {
	s.t.Helper()
	now := memory(w.value)
	if d := difference(w.looks, now, "before", "after"); d != "" {
		s.t.Errorf("%s %s: %s\nHandlers and apply rules leave their input as it is: copy before you change (slices.Clone, maps.Clone, proto.Clone).", who, w.name, d)
		w.looks = now
	}
}
