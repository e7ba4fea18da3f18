package entitytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// ThenEvents tells which events the last command stores, in order; none means that it stores none.
func (s *Story[S]) ThenEvents(want ...proto.Message) *Story[S] {
	s.t.Helper()
	st := s.accepted("ThenEvents")
	if st == nil {
		return s
	}
	if got := st.effect.Events(); !slices.EqualFunc(got, want, proto.Equal) {
		s.t.Errorf("%s stores\n%s\nwant\n%s", st, showAll(got), showAll(want))
	}
	return s
}

// ThenReply tells what the last command answers.
func (s *Story[S]) ThenReply(want proto.Message) *Story[S] {
	s.t.Helper()
	if st := s.accepted("ThenReply"); st != nil && !proto.Equal(st.reply, want) {
		s.t.Errorf("%s answers\n%s\nwant\n%s", st, show(st.reply), show(want))
	}
	return s
}

// ThenRejected tells that the entity says no to the last command, with this code.
func (s *Story[S]) ThenRejected(code string) *Story[S] {
	s.t.Helper()
	st := s.last("ThenRejected")
	st.expected = true
	var no *entity.Rejection
	switch {
	case st.err == nil:
		s.t.Errorf("%s answers\n%s\nwant a rejection with the code %q", st, show(st.reply), code)
	case !errors.As(st.err, &no):
		s.t.Errorf("%s: %v; want a rejection with the code %q", st, st.err, code)
	case no.Code != code:
		s.t.Errorf("%s: %v; want the code %q", st, no, code)
	}
	return s
}

// ThenFailed tells that the handler of the last command panics or returns an
// error that is no rejection, with this text in it.
func (s *Story[S]) ThenFailed(text string) *Story[S] {
	s.t.Helper()
	st := s.last("ThenFailed")
	st.expected = true
	if st.failure == "" || !strings.Contains(st.failure, text) {
		s.t.Errorf("%s does not fail with %q but: %s", st, text, &st.outcome)
	}
	return s
}

// ThenTimer tells that a timer of that name is now pending and when it is due.
func (s *Story[S]) ThenTimer(name string, at time.Time) *Story[S] {
	s.t.Helper()
	st := s.last("ThenTimer")
	i := slices.IndexFunc(s.timers, func(t timer) bool { return t.name == name })
	if i < 0 || !s.timers[i].at.Equal(at) {
		s.t.Errorf("%s: want timer %q at %s; pending are %s", st, name, at.Format(time.RFC3339Nano), s.timerNames())
	}
	return s
}

// ThenNoTimer tells that none of the named timers is pending; without names, that none at all is.
func (s *Story[S]) ThenNoTimer(names ...string) *Story[S] {
	s.t.Helper()
	st := s.last("ThenNoTimer")
	unwanted := func(t timer) bool { return len(names) == 0 || slices.Contains(names, t.name) }
	if slices.ContainsFunc(s.timers, unwanted) {
		s.t.Errorf("%s: these timers are pending: %s", st, s.timerNames())
	}
	return s
}

// ThenState tells what the state is now.
func (s *Story[S]) ThenState(want S) *Story[S] {
	s.t.Helper()
	if d := difference(meaning(s.state), meaning(want), "got", "want"); d != "" {
		s.t.Errorf("after %s the state is another: %s", s.place(), d)
	}
	return s
}

// accepted returns the last step unless it was a "no", which it reports.
func (s *Story[S]) accepted(what string) *step {
	s.t.Helper()
	st := s.last(what)
	if st.err != nil {
		st.expected = true // reported here
		s.t.Errorf("%s: %v", st, st.err)
		return nil
	}
	return st
}

func (s *Story[S]) last(what string) *step {
	s.t.Helper()
	if len(s.steps) == 0 {
		s.t.Fatalf("entitytest: %s comes after a When", what)
	}
	return s.steps[len(s.steps)-1]
}

// place names the last step, or the story's beginning.
func (s *Story[S]) place() string {
	if len(s.steps) == 0 {
		return "what was given"
	}
	return s.steps[len(s.steps)-1].String()
}

func showAll(msgs []proto.Message) string {
	if len(msgs) == 0 {
		return "  nothing"
	}
	var lines []string
	for _, m := range msgs {
		lines = append(lines, show(m))
	}
	return strings.Join(lines, "\n")
}

func show(m proto.Message) string {
	b, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Sprintf("  %s (%v)", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return fmt.Sprintf("  %s %s", m.ProtoReflect().Descriptor().FullName(), b)
}
