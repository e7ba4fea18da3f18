package shard

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// modelState is what the entities of the simulation are: a count of events and a chain
// over all of them, so that every answer tells exactly which past it has seen.
type modelState struct{ count, chain uint64 }

func (st *modelState) apply(event []byte) {
	st.count++
	for _, b := range event[:8] {
		st.chain = (st.chain ^ uint64(b)) * 0x100000001b3
	}
	st.chain = st.chain ^ st.chain>>29 ^ st.count
}

func (st modelState) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, st.count), st.chain)
}

func decodeState(b []byte) modelState {
	if len(b) != 16 {
		return modelState{}
	}
	return modelState{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func entityOf(i int) journal.Entity { return journal.Entity{Type: "model", ID: string(rune('a' + i))} }

func indexOfEntity(of journal.Entity) int { return int(of.ID[0] - 'a') }

// seen is what an answer tells of the past it has seen: the newest entry, and the state.
func seen(entry uint64, st modelState) string {
	return fmt.Sprintf("%d %d %x", entry, st.count, st.chain)
}

func parseSeen(text string) (entry uint64, st modelState, ok bool) {
	n, err := fmt.Sscanf(text, "%d %d %x", &entry, &st.count, &st.chain)
	return entry, st, err == nil && n == 3
}

// Commands of the model. A payload is 8 bytes of chance; arming adds a timer's name, a delay
// and how often it arms itself again.
const (
	cmdSet    = "set"    // one event
	cmdTwo    = "two"    // two events
	cmdNote   = "note"   // stored without an event
	cmdBig    = "big"    // one event that fills much of a small record
	cmdNo     = "no"     // always rejected
	cmdMaybe  = "maybe"  // rejected in every other state
	cmdArm    = "arm"    // arms a timer
	cmdCancel = "cancel" // cancels one
	cmdFail   = "fail"   // fails
	cmdPanic  = "panic"  // fails, and the actor is lost
	cmdGet    = "get"    // the query
	cmdFired  = "fired"  // a timer's command
)

type armPayload struct {
	timer byte
	delay int64
	again byte
}

func (p armPayload) encode(chance uint64) []byte {
	b := binary.BigEndian.AppendUint64(nil, chance)
	b = append(b, p.timer, p.again)
	return binary.BigEndian.AppendUint64(b, uint64(p.delay))
}

func decodeArm(b []byte) armPayload {
	return armPayload{timer: b[8], again: b[9], delay: int64(binary.BigEndian.Uint64(b[10:]))}
}

// simActor runs the commands of one live entity, in the order of its mail.
type simActor struct {
	o       *simOwner
	of      journal.Entity
	state   modelState
	mail    []actorMail
	planned bool
	stopped bool
}

type actorMail struct {
	handled *Handled
	encode  *Encoded
}

func (a *simActor) send(m actorMail) {
	a.mail = append(a.mail, m)
	a.plan()
}

func (a *simActor) plan() {
	if a.planned || len(a.mail) == 0 {
		return
	}
	a.planned = true
	a.o.s.after(a.o.s.pause(a.o.s.mix.thinking), a.receive)
}

func (a *simActor) receive() {
	a.planned = false
	m := a.mail[0]
	a.mail = a.mail[1:]
	defer a.plan()
	if a.o.dead || a.stopped && a.o.s.coin() {
		return // a stopped actor may or may not still do its work
	}
	s := a.o.s
	if x := m.encode; x != nil {
		x.Fingerprint, x.State = "model/1", a.state.encode()
		if s.chance(s.mix.encodeFails) {
			x.State, x.Err = nil, errNoAnswer
		}
		a.o.input(func(now int64) {
			s.log("%s <- encoded %s: %v", a.o.name, a.of.ID, x.Err)
			a.o.m.Encoded(now, x)
		})
		return
	}
	h := m.handled
	a.handle(h)
	a.o.input(func(now int64) {
		s.log("%s <- handled %s %s entry %d: %d events, stored %v, %v %s", a.o.name, a.of.ID, h.Handle.Command.Name, h.Handle.Entry, h.Events, h.Entry != nil, h.Rejection, h.Failure)
		a.o.m.Handled(now, h)
	})
	*h = Handled{} // the host reuses it
}

// handle is the handler of the model, with the runtime around it.
func (a *simActor) handle(out *Handled) {
	h := &out.Handle
	c := h.Command
	if h.No != nil {
		a.reject(out, h.No)
		return
	}
	var o Outcome
	switch c.Name {
	case cmdGet:
		out.Reply = []byte(seen(h.Entry-1, a.state))
		return
	case cmdFail:
		out.Failure, out.Unavailable = "fails always", c.Payload[0]&1 == 1
		return
	case cmdPanic:
		out.Failure, out.Rebuild = "panics always", true
		return
	case cmdNo:
		a.reject(out, a.no(h))
		return
	case cmdMaybe:
		if a.state.chain&1 == 1 {
			a.reject(out, a.no(h))
			return
		}
		o.Events = append(o.Events, Event{"e", c.Payload})
	case cmdFired:
		if a.fired(out, &o) {
			return
		}
	case cmdTwo:
		o.Events = append(o.Events, Event{"e", c.Payload}, Event{"f", c.Payload})
	case cmdBig:
		o.Events = append(o.Events, Event{"e", append(c.Payload[:8:8], make([]byte, 330)...)})
	case cmdArm:
		p := decodeArm(c.Payload)
		o.Events = append(o.Events, Event{"e", c.Payload})
		o.Arms = []Arm{{Name: string(rune('t' + p.timer)), Due: max(h.Time+p.delay, 1), Command: cmdFired, Payload: c.Payload}}
	case cmdCancel:
		o.Cancels = []string{string(rune('t' + c.Payload[0]%2))}
	case cmdNote:
	default:
		o.Events = append(o.Events, Event{"e", c.Payload})
	}
	a.store(out, &o)
}

// fired is a timer's command. It reports whether it is done: it failed, or said no.
func (a *simActor) fired(out *Handled, o *Outcome) bool {
	s, h := a.o.s, &out.Handle
	if s.chance(s.mix.timerFails) {
		s.counts["timer failed"]++
		out.Failure, out.Rebuild = "the timer's command fails now", s.coin()
		return true
	}
	p := decodeArm(h.Command.Payload)
	if p.delay%5 == 0 {
		a.reject(out, a.no(h))
		return true
	}
	o.Events = append(o.Events, Event{"e", h.Command.Payload})
	if p.again > 0 {
		p.again--
		o.Arms = []Arm{{Name: h.Command.Key.Name, Due: h.Time + max(p.delay, int64(time.Millisecond)), Command: cmdFired, Payload: p.encode(uint64(p.again))}}
	}
	return false
}

func (a *simActor) no(h *Handle) *Rejection {
	return &Rejection{Code: "no", Message: seen(h.Entry-1, a.state)}
}

func (a *simActor) reject(out *Handled, no *Rejection) {
	out.Rejection = no
	if out.Handle.StoreNo && !out.Handle.Command.Query {
		out.Entry = EncodeEntry(&out.Handle, &Outcome{Rejection: no})
	}
}

func (a *simActor) store(out *Handled, o *Outcome) {
	next := a.state
	for _, e := range o.Events {
		next.apply(e.Payload)
	}
	o.Reply = []byte(seen(out.Handle.Entry, next))
	if entry := EncodeEntry(&out.Handle, o); entryFits(entry, a.o.s.mix.maxRecord) {
		a.state = next
		out.Entry, out.Reply, out.Events, out.Arms, out.Cancels = entry, o.Reply, len(o.Events), o.Arms, o.Cancels
		return
	}
	a.reject(out, &Rejection{Code: CodeTooLarge, Message: strings.Repeat("x", 8)})
}

// entryFits tells whether an entry may be stored under a record's limit.
func entryFits(entry []byte, maxRecord int) bool { return journal.EntrySize(len(entry)) <= maxRecord }
