package shard

import "math"

// maxTroubled bounds the entities that a shard remembers only because their recovery failed.
const maxTroubled = 128

// rememberTrouble keeps an entity that nobody wants until its recovery may be tried again: the next command
// must find that it failed, or each would be a first try, which goes before the repeats of others. Beyond
// maxTroubled the oldest are forgotten.
func (m *Machine) rememberTrouble(e *Entity) {
	if !e.troubled {
		e.troubled = true
		m.troubled.push(e)
	}
	m.forgetTroubles()
}

// forgetTroubles lets go of those whose time has come, in the order in which they came.
func (m *Machine) forgetTroubles() {
	for m.troubled.len() > maxTroubled || m.troubled.len() > 0 && (*m.troubled.front()).retryAt <= m.now {
		e := m.troubled.pop()
		e.troubled = false
		if m.idle(e) {
			delete(m.entities, e.Of)
			m.shrink()
		}
	}
}

// idle tells that nobody wants an entity and that it holds nothing.
func (m *Machine) idle(e *Entity) bool {
	return m.entities[e.Of] == e && e.state == absent && !e.busy && !e.firing && e.queue.len() == 0 && len(e.unflushed) == 0
}

// awaited notes until when a recovery that begins is wanted: for ever, if a timer may be due.
func (e *Entity) awaited() {
	e.wantedUntil = 0
	if e.firing {
		e.wantedUntil = math.MaxInt64
	}
	e.queue.each(func(c **Command) { e.awaitedBy(*c) })
}

// awaitedBy reports whether a command makes the recovery wanted for longer.
func (e *Entity) awaitedBy(c *Command) bool {
	until := c.Deadline
	if until == 0 {
		until = math.MaxInt64
	}
	if c.answered || until <= e.wantedUntil {
		return false
	}
	e.wantedUntil = until
	return true
}

// retries tells that a hint is due only because commands waited for the retry of a recovery: if they have given up,
// there is no need for it.
func (e *Entity) retries(at int64) bool {
	if at != e.retryHint {
		return false
	}
	e.retryHint = 0
	return true
}

// notWanted goes on after a recovery that was skipped. Who came in between begins another.
func (m *Machine) notWanted(e *Entity) {
	if m.expireAt != 0 && m.expireAt <= m.now {
		m.expire()
	}
	e.state = absent
	m.pump(e)
}
