package entity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// The journal lists which types of event its logs may hold, one settled fact for
// each pair of entity type and event type: a pair is durably listed before the first such event is
// appended. So a program knows at its start, without reading the logs, whether it can read them. A pair may be listed whose
// first event was never stored, because the process ended in between; never the other way.
//
// Journals of 0.1.0 have no list. The first start reads their logs once and settles, behind
// all pairs, that the list is complete; until then every start begins anew.

const (
	// eventFact begins the names of listed pairs: event/<entity type>/<event type>.
	eventFact = "event/"
	// listedFact is settled when all that the logs hold is listed.
	listedFact = "events-listed"
	// factValue is the value of both: that they are there says it all.
	factValue = "1"
	// maxEvent bounds the bytes of an event type's name, so that every pair can be settled.
	maxEvent = journal.MaxName - len(eventFact) - maxName - len("/")
)

func eventFactOf(typ, event string) string { return eventFact + typ + "/" + event }

// parseEventFact takes a listed pair apart. Types of entities may hold any character, full names of
// messages have no slash: the last one is ours.
func parseEventFact(name string) (typ, event string, ok bool) {
	pair, ok := strings.CutPrefix(name, eventFact)
	at := strings.LastIndexByte(pair, '/')
	if !ok || at < 0 {
		return "", "", false
	}
	return pair[:at], pair[at+1:], true
}

// checkEvent panics if no list can hold the type of event.
func checkEvent(typ, event string) {
	if len(event) > maxEvent || strings.Contains(event, "/") {
		panic(fmt.Sprintf("entity: type %q has the event %s: the name of an event has at most %d bytes and no slash", typ, event, maxEvent))
	}
}

// eventList knows which events of one type of entity the journal lists. It may be used
// concurrently.
type eventList struct {
	host   *Host
	typ    string
	events []string
	listed []atomic.Bool // by the event's number

	mu    sync.Mutex
	calls map[int]*listing // under way
}

// listing is one call to the journal that everybody waits for who stores such an event.
type listing struct {
	done chan struct{}
	err  error // read after done is closed
}

// unlistedError tells that an event was not stored because the journal could not list it.
type unlistedError struct{ error }

func (e unlistedError) Unwrap() error { return e.error }

func newEventList(h *Host, def Definition) *eventList {
	events := def.persistable()
	return &eventList{
		host: h, typ: def.Name(), events: events,
		listed: make([]atomic.Bool, len(events)), calls: map[int]*listing{},
	}
}

// list returns when the journal durably lists the event: at once, but for the first one of its type in the
// life of the journal.
func (l *eventList) list(number int) error {
	if l.listed[number].Load() {
		return nil
	}
	return l.listFirst(number)
}

func (l *eventList) listFirst(number int) error {
	l.mu.Lock()
	if l.listed[number].Load() {
		l.mu.Unlock()
		return nil
	}
	call, waits := l.calls[number]
	if !waits {
		call = &listing{done: make(chan struct{})}
		l.calls[number] = call
	}
	l.mu.Unlock()
	if waits {
		<-call.done
	} else {
		l.call(number, call)
	}
	return call.err
}

// listPatience bounds how long an entity waits for the journal to list an event.
const listPatience = 2 * time.Second

// call settles the pair for all who wait. It runs on an entity's goroutine, which may wait.
func (l *eventList) call(number int, call *listing) {
	call.err = unlistedError{errors.New("the journal's list of events broke off")} // unless the call returns
	defer func() {
		l.mu.Lock()
		delete(l.calls, number)
		l.mu.Unlock()
		close(call.done)
	}()
	ctx, cancel := context.WithTimeout(l.host.ctx, listPatience)
	defer cancel()
	_, err := l.host.cfg.Journal.Settle(ctx, eventFactOf(l.typ, l.events[number]), factValue)
	if err != nil {
		call.err = unlistedError{fmt.Errorf("%s is the first event of its type here, and the journal cannot list it: %w", l.events[number], err)}
		return
	}
	l.listed[number].Store(true)
	call.err = nil
}

// note takes in that the journal lists an event.
func (l *eventList) note(event string) {
	if i := slices.Index(l.events, event); i >= 0 {
		l.listed[i].Store(true)
	}
}
