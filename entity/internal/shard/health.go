package shard

import (
	"errors"

	"github.com/skerryhq/skerry/journal"
)

// Waits is since when a machine has been waiting, and for what, in Unix nanoseconds of its host's clock; 0 for
// what it does not wait for.
type Waits struct {
	// Command is when the oldest unanswered command came.
	Command int64
	// Handler is when a handler was given a command whose caller, or one behind it, has given up since; Running is its entity.
	Handler int64
	Running string
	// Unflushed is when the oldest entry came that no page holds. Entities whose pages fail alone are left out.
	Unflushed int64
	// Journal is when something was asked of the journal that it has not answered yet: failed tries are no answers. Reason
	// is what the last of them said.
	Journal int64
	Reason  string
	// Heard is when the journal last answered.
	Heard int64
}

// Waits tells what the machine waits for. It costs the same however many entities there are.
func (m *Machine) Waits() Waits {
	w := Waits{Heard: m.heard, Reason: m.reason}
	if m.phase >= Fenced {
		return Waits{Heard: m.heard}
	}
	if c := m.commands.first; c != nil {
		w.Command = c.Arrived
	}
	if m.derive.waiting() > 0 {
		w.Unflushed = m.derive.since
	}
	w.Handler, w.Running = m.hanging()
	w.Journal = m.owed()
	return w
}

// owed is since when the journal owes an answer and has given none.
func (m *Machine) owed() int64 {
	var since int64
	switch {
	case m.inflight != nil:
		since = m.inflight.since
	case m.check.seq != 0 || m.check.retryAt != 0:
		since = m.check.since
	case m.phase == Starting && (m.claim.started || m.claim.holdBack) && m.claim.stage != prepared:
		since = m.claim.since
	default:
		return 0
	}
	return max(since, m.heard)
}

// hear takes in how the journal answered, if it did. A sure refusal is an answer.
func (m *Machine) hear(err error) {
	if err == nil || errors.Is(err, journal.ErrRefused) || errors.Is(err, journal.ErrCorrupt) {
		m.heard = m.now
	}
}

// maxHanging bounds the entities that are remembered because their handlers do not return. More tell nothing new.
const maxHanging = 16

// hanging is a handler that has not returned though a caller has given up on its entity.
func (m *Machine) hanging() (since int64, entity string) {
	kept := m.hung[:0]
	for _, e := range m.hung {
		if !e.busy || e.running == nil {
			continue
		}
		kept = append(kept, e)
		if at := e.running.Dispatched; since == 0 || at < since {
			since, entity = at, e.Of.Type+" "+e.Of.ID
		}
	}
	clear(m.hung[len(kept):])
	m.hung = kept
	return since, entity
}

// noteHanging remembers the entity of a command that ran out of time while its entity's handler ran.
func (m *Machine) noteHanging(c *Command) {
	e := m.entities[c.To]
	if e == nil || !e.busy {
		return
	}
	m.hanging() // makes room
	for _, known := range m.hung {
		if known == e {
			return
		}
	}
	if len(m.hung) < maxHanging {
		m.hung = append(m.hung, e)
	}
}
