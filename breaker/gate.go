package breaker

import (
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// gate is what callers see of the machine: one pointer that is read without a lock and says how the next
// call begins. It is replaced when the machine's state changes, never changed.
type gate struct {
	mode     mode
	settings *Settings
	ticket   machine.Ticket // with pass
	refusal  *Error         // with refuse
}

type mode uint8

const (
	// ask: only the machine can tell.
	ask mode = iota
	// pass: go ahead. While a call finds this same gate at its end, its success would change nothing in
	// the machine but a count.
	pass
	// refuse: all calls get the same error. A timer takes the gate away when that ends, so
	// that refusing needs no clock.
	refuse
	// bypass: the breaker is off.
	bypass
)

// gates are those of one generation and its settings, kept so that going to and fro between
// them allocates nothing.
type gates struct {
	generation                uint64
	settings                  *Settings
	ask, pass, refuse, bypass *gate
}

// show puts up the gate for the machine's state, and the timer for its next change. The lock is held.
func (b *Breaker) show(now time.Duration) {
	g := b.pick(now)
	if b.gate.Load() != g {
		b.gate.Store(g)
	}
}

func (b *Breaker) pick(now time.Duration) *gate {
	m := b.machine
	state, _ := m.State()
	next := m.Next()
	if state == machine.Closed {
		next = -1
	}
	b.arm(next, now)
	if b.gates.generation != m.Generation() || b.gates.settings != b.settings {
		b.gates = b.build(state, next)
	}
	switch {
	case b.settings.Enabled == Off:
		return b.gates.bypass
	case m.Indifferent():
		return b.gates.pass
	case m.Refusing(now):
		return b.gates.refuse
	}
	return b.gates.ask
}

func (b *Breaker) build(state machine.State, next time.Duration) gates {
	generation := b.machine.Generation()
	return gates{
		generation: generation, settings: b.settings,
		ask:    &gate{mode: ask, settings: b.settings},
		pass:   &gate{mode: pass, settings: b.settings, ticket: machine.Ticket{Generation: generation}},
		refuse: &gate{mode: refuse, settings: b.settings, refusal: b.refusal(state, next)},
		bypass: &gate{mode: bypass, settings: b.settings},
	}
}

func (b *Breaker) refusal(state machine.State, next time.Duration) *Error {
	return &Error{Kind: ErrOpen, ID: b.id, until: b.base.Add(next), probe: state == machine.HalfOpen}
}

// arm sets the timer; -1 is none. The lock is held.
func (b *Breaker) arm(at, now time.Duration) {
	if at >= 0 && at <= now {
		at = -1 // what is due needs no timer: the gate asks the machine
	}
	switch {
	case at == b.wakeAt:
		return
	case at < 0:
		b.wake.Stop()
	case b.wake == nil:
		b.wake = time.AfterFunc(at-now, b.awake)
	default:
		b.wake.Reset(at - now)
	}
	b.wakeAt = at
}
