package entitytest

import (
	"encoding/json"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// stored is one event as the log holds it.
type stored struct {
	event   string
	payload []byte
}

// Given tells what happened to the entity before the story begins. Events alone
// arm no timers, because timers are armed by the effects that stored them: tell those that
// are pending with GivenTimer. An event of an older type is stored as that, and read
// as the type's upcasters say.
func (s *Story[S]) Given(events ...proto.Message) *Story[S] {
	s.t.Helper()
	s.mustBeBeforeWhen("Given")
	for _, e := range events {
		s.roundTrip("event", e)
		payload, err := proto.Marshal(e)
		if err != nil {
			s.t.FailNow() // reported above
		}
		s.give(stored{fullName(e), payload}, e)
	}
	return s
}

// GivenStored is Given with an event as it was once encoded: the full name of its message and its
// payload.
func (s *Story[S]) GivenStored(event string, payload []byte) *Story[S] {
	s.t.Helper()
	s.mustBeBeforeWhen("GivenStored")
	s.give(stored{event, payload}, nil)
	return s
}

// GivenHistory is Given with all that happened to a real entity, recorded in a file by
//
//	skerry entity show TYPE ID -json > FILE
//
// Record it with the release that stored the events: a later one records what it reads
// them as. Timers that were pending are not armed; tell them with GivenTimer. Unless ID and At were told, the story is about
// that entity and goes on at the time of its last event.
func (s *Story[S]) GivenHistory(file string) *Story[S] {
	s.t.Helper()
	s.mustBeBeforeWhen("GivenHistory")
	info := s.readHistory(file)
	if !s.named {
		s.ID(info.ID)
	}
	if last := info.Events[len(info.Events)-1].Time; !s.timeSet {
		s.At(last)
	}
	for _, e := range info.Events {
		msg := s.empty(e.Type)
		if msg == nil {
			s.t.Fatalf("entitytest: %s: version %d is a %s: type %q has neither an Apply rule nor an upcaster for it", file, e.Version, e.Type, s.typ.Name())
		}
		if err := protojson.Unmarshal(e.Data, msg); err != nil {
			s.t.Fatalf("entitytest: %s: version %d is no longer a %s: %v", file, e.Version, e.Type, err)
		}
		s.Given(msg)
	}
	return s
}

func (s *Story[S]) readHistory(file string) *entity.EntityInfo {
	s.t.Helper()
	var info entity.EntityInfo
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &info)
	}
	switch {
	case err != nil:
		s.t.Fatalf("entitytest: read the history: %v", err)
	case info.Type != s.typ.Name():
		s.t.Fatalf("entitytest: %s is the history of a %q, not of a %q", file, info.Type, s.typ.Name())
	case info.Omitted > 0 || len(info.Events) == 0:
		s.t.Fatalf("entitytest: %s shows %d events and leaves out %d: a story needs all of them", file, len(info.Events), info.Omitted)
	}
	return &info
}

// empty returns an empty message of the type, or nil if the entity does not use it.
func (s *Story[S]) empty(name string) proto.Message {
	for _, m := range s.typ.Messages() {
		if fullName(m) == name {
			return m
		}
	}
	return nil
}

// give takes in one stored event, and applies what it is read as: e itself, unless upcasters
// have a say.
func (s *Story[S]) give(given stored, e proto.Message) {
	s.t.Helper()
	current := s.typ.Current(given.event)
	if e == nil || current != "" && current != given.event {
		e = s.read(given)
	}
	if !s.applyEvent(e) {
		s.t.FailNow()
	}
	s.given = append(s.given, given)
}

// read reads a stored event as recovery does, several times: an upcaster is a pure function.
func (s *Story[S]) read(given stored) proto.Message {
	s.t.Helper()
	first, err := s.typ.Decode(given.event, given.payload)
	if err != nil {
		s.t.Fatalf("entitytest: %v", err)
	}
	for range runsPerStep - 1 {
		again, err := s.typ.Decode(given.event, given.payload)
		if err != nil || !sameMessage(first, again) {
			s.t.Fatalf("entitytest: %s is not always read as the same event: once as\n%s\nand then as\n%s (%v)\n"+
				"An upcaster may depend on the old event only.", given.event, show(first), show(again), err)
		}
	}
	s.roundTrip("event", first)
	return first
}

// GivenTimer tells that a timer was armed before the story begins.
func (s *Story[S]) GivenTimer(name string, at time.Time, cmd proto.Message) *Story[S] {
	s.t.Helper()
	s.mustBeBeforeWhen("GivenTimer")
	tm := timer{name, at.UTC(), cmd}
	s.checkTimer(tm)
	s.arm(tm)
	s.armed = append(s.armed, tm)
	return s
}
