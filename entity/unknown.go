package entity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/skerryhq/skerry/journal"
)

// UnknownEvents says what [Start] does when the journal lists events that the program cannot read.
type UnknownEvents uint8

const (
	// RefuseUnknownEvents is the default: Start returns an error that wraps ErrUnknownEvents.
	RefuseUnknownEvents UnknownEvents = iota
	// WarnOfUnknownEvents starts and logs a warning. An entity that holds such an event
	// answers failed and is left as it is, for a program that knows the event; all others work.
	WarnOfUnknownEvents
)

// ErrUnknownEvents is wrapped by Start when the journal lists events that no type in the
// configuration can read. The error names all of them.
var ErrUnknownEvents = errors.New("entity: unknown events")

// settleEvents completes the journal's list and compares it with what the program knows.
func (h *Host) settleEvents(ctx context.Context) error {
	h.events = map[string]*eventList{}
	for name, def := range h.types {
		h.events[name] = newEventList(h, def)
	}
	if err := h.completeList(ctx); err != nil {
		return err
	}
	var unknown unknownEvents
	err := h.cfg.Journal.Settled(ctx, eventFact, func(name, _ string) error {
		typ, event, ok := parseEventFact(name)
		if !ok {
			return fmt.Errorf("%w: %q is no pair of entity type and event type", journal.ErrCorrupt, name)
		}
		if def, known := h.types[typ]; !known || def.Current(event) == "" {
			unknown.add(typ, event, known)
			return nil
		}
		h.events[typ].note(event)
		return nil
	})
	if err != nil {
		return fmt.Errorf("entity: read the journal's list of events: %w", err)
	}
	return h.judge(unknown)
}

// judge does with the unknown events what the configuration says.
func (h *Host) judge(unknown unknownEvents) error {
	switch {
	case len(unknown.types) == 0:
		return nil
	case h.cfg.UnknownEvents == WarnOfUnknownEvents:
		h.log.Warn("the journal lists events that this program cannot read: entities that hold them answer failed until a program that knows them runs",
			"events", unknown.String())
		return nil
	}
	return fmt.Errorf("%w: the journal lists events that this program cannot read: %s: run a release that knows them, or add entity.Apply or entity.Upcast for each; "+
		"to start without the entities that hold them, set Config.UnknownEvents to WarnOfUnknownEvents", ErrUnknownEvents, &unknown)
}

// unknownEvents gathers what the program cannot read, by type of entity.
type unknownEvents struct{ types []unknownOf }

type unknownOf struct {
	name   string
	known  bool // the type itself
	events []string
}

func (u *unknownEvents) add(typ, event string, known bool) {
	at := slices.IndexFunc(u.types, func(t unknownOf) bool { return t.name == typ })
	if at < 0 {
		at = len(u.types)
		u.types = append(u.types, unknownOf{name: typ, known: known})
	}
	u.types[at].events = append(u.types[at].events, event)
}

// String lists them all: whoever mends the program needs every one.
func (u *unknownEvents) String() string {
	var parts []string
	for _, t := range u.types {
		of := fmt.Sprintf("of %q", t.name)
		if !t.known {
			of += ", a type that is not in Config.Types"
		}
		parts = append(parts, of+": "+strings.Join(t.events, ", "))
	}
	return strings.Join(parts, "; ")
}
