package shard

import (
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// Command takes a command in. It is answered exactly once, unless the machine's life ends first.
func (m *Machine) Command(now int64, c *Command) {
	m.observe(now)
	c.Arrived = m.now
	c.answered = false
	m.commands.add(c)
	m.pending++
	m.expireAt = earliest(m.expireAt, c.Deadline)
	switch {
	case c.Deadline != 0 && c.Deadline <= m.now:
		m.end(c, Unavailable, "its deadline had passed when it arrived")
	case m.phase == Fenced:
		m.end(c, Moved, m.reason)
	case m.phase == Halted:
		m.end(c, Unavailable, m.reason)
	case m.draining:
		m.end(c, Unavailable, "the node is shutting down")
	case m.phase == Starting:
		m.waiting = append(m.waiting, c)
	default:
		m.enqueue(c)
	}
	m.advance()
}

// enqueue puts a command behind those of its entity.
func (m *Machine) enqueue(c *Command) {
	e := m.entity(c.To)
	if c.Lookup && e.underWay(&c.Key) {
		m.end(c, Running, "the command is under way")
		return
	}
	e.queue.push(c)
	if e.state == recovering && e.awaitedBy(c) {
		m.out.Awaits = append(m.out.Awaits, Await{e, e.wantedUntil})
	}
	m.pump(e)
}

// pump gives the entity's actor its next command, if it is free and may have one.
func (m *Machine) pump(e *Entity) {
	for !e.busy && !e.stalled && m.phase == Serving {
		e.skipAnswered()
		if e.state != live {
			m.wakeUp(e)
			return
		}
		due := m.dueTimer(e)
		if due == nil {
			m.looked(e)
		}
		if due == nil && e.queue.len() == 0 {
			return
		}
		if m.full() {
			e.stalled = true
			m.stalled = append(m.stalled, e)
			return
		}
		switch {
		case due == nil:
			m.next(e, e.queue.pop())
		case m.overdrawn(e) && e.queue.len() > 0:
			m.refuseOverdrawn(e, e.queue.pop())
		case m.overdrawn(e):
			m.lookAt(e, m.now+int64(lastBackoff))
			return
		case due.retryAt > m.now && e.queue.len() > 0:
			m.refuseOvertaking(e, e.queue.pop(), due)
		case due.retryAt > m.now:
			m.lookAt(e, due.retryAt)
			return
		case m.pausing():
			m.lookAt(e, m.refused.until)
			return
		default:
			m.dispatchTimer(e, due)
		}
	}
}

// full tells that new commands must wait for the journal.
func (m *Machine) full() bool {
	return m.gatherSz > 2*m.cfg.MaxRecordBytes || m.derive.waiting() > m.cfg.StallBytes
}

// pausing tells that the journal refused an append a moment ago.
func (m *Machine) pausing() bool { return m.refused.until > m.now }

// resume goes on with the entities that waited for the journal.
func (m *Machine) resume() {
	if len(m.stalled) == 0 || m.full() {
		return
	}
	stalled := m.stalled
	m.stalled = nil
	for _, e := range stalled {
		e.stalled = false
	}
	for _, e := range stalled {
		m.pump(e)
	}
}

// next decides what becomes of one command, with all that the entity knows by now.
func (m *Machine) next(e *Entity, c *Command) {
	if c.Deadline != 0 && c.Deadline <= m.now {
		m.end(c, Unavailable, "its deadline passed before it ran")
		return
	}
	m.touch(e)
	if c.Lookup {
		m.lookUp(e, c)
		return
	}
	if !c.Query {
		if known := m.answerKnown(e, c); known {
			return
		}
		if m.pausing() {
			m.end(c, Unavailable, m.refused.reason)
			return
		}
		if m.overdrawn(e) {
			m.refuseOverdrawn(e, c)
			return
		}
	}
	h := Handle{Entity: e, Command: c, Entry: e.Entry + 1, Version: e.Version, Pending: len(e.timers), StoreNo: c.Attempt >= 2 || c.Key.Kind == CallerKey}
	if c.HasExpect && c.Expect != e.Version {
		h.No = &Rejection{CodeVersionMismatch, fmt.Sprintf("the version is %d, not %d", e.Version, c.Expect)}
	}
	m.dispatch(e, h)
}

// answerKnown ends a command whose key the entity's window knows, or cannot take.
func (m *Machine) answerKnown(e *Entity, c *Command) bool {
	v, a := e.window.look(c, max(m.time, m.now))
	switch v {
	case repeated:
		m.repeat(c, a)
	case reused:
		m.decide(e, c, Answer{Kind: Reject, Rejection: &Rejection{
			CodeKeyReused, fmt.Sprintf("the key %q was given before with another command", c.Key),
		}})
	case expired:
		m.end(c, Unknown, "the key is too old: what became of its command is no longer known")
	case ahead:
		m.end(c, Unavailable, "its key was issued more than an hour in this node's future: set the client's clock right")
	case full:
		m.end(c, Busy, "the entity remembers as many keys as it may; try again later or use keys of the client library")
	default:
		return false
	}
	return true
}

// repeat gives the first answer again. One that this owner has stored was confirmed by its own
// append and stays true for ever. One that was read from the journal may lie beyond what this
// owner knows of the log, if another has overtaken it: only a confirmation tells how far the
// log has come.
func (m *Machine) repeat(c *Command, a *answer) {
	out := Answer{Kind: Reply, Reply: a.reply, Rejection: a.rejection, Version: a.version, Repeated: true}
	if a.rejection != nil {
		out.Kind = Reject
	}
	if a.record != 0 && a.record <= m.last.Number {
		c.stage = settling
		m.leave(&waiter{command: c, answer: out})
		return
	}
	c.stage = storing // it may be stored, under this very key
	if c.Lookup {
		c.stage = settling
	}
	m.settle(c, out)
}

// decide ends a command with an answer that stores nothing but depends on what the entity knows.
func (m *Machine) decide(e *Entity, c *Command, a Answer) {
	c.stage = settling
	a.Version = e.Version
	m.settle(c, a)
}

// dispatch hands a command to the entity's actor, at the command's time.
func (m *Machine) dispatch(e *Entity, h Handle) {
	m.time = max(m.time, m.now)
	h.Time, h.generation = m.time, e.generation
	h.Command.stage, h.Command.Dispatched = handling, m.now
	e.busy = true
	e.running = h.Command
	m.out.Handles = append(m.out.Handles, h)
}

// Handled takes the outcome of a Handle.
func (m *Machine) Handled(now int64, h *Handled) {
	m.observe(now)
	e := h.Handle.Entity
	if m.phase != Serving || h.Handle.generation != e.generation || !e.busy {
		return // the shard's memory was dropped meanwhile; its callers know
	}
	e.busy, e.running = false, nil
	c := h.Handle.Command
	c.Handled = m.now
	switch {
	case h.Failure != "":
		m.failed(e, c, h)
	case h.Entry == nil:
		m.decide(e, c, Answer{Kind: kindOf(h), Reply: h.Reply, Rejection: h.Rejection})
	default:
		m.keep(e, c, h)
	}
	if h.Rebuild {
		m.rebuild(e)
	}
	m.maybeSnapshot(e)
	m.pump(e)
	m.advance()
}

func kindOf(h *Handled) AnswerKind {
	if h.Rejection != nil {
		return Reject
	}
	return Reply
}

// keep stores what a command did: from here on the entity has changed, for its
// next command, and nobody else may know before it is committed.
func (m *Machine) keep(e *Entity, c *Command, h *Handled) {
	e.Entry = h.Handle.Entry
	e.Version = h.Handle.Version + uint64(h.Events)
	record := m.gather(e, h.Entry, h.Events, h.Handle.Time)
	m.pin(e, stored{record: record, entry: e.Entry, body: h.Entry, index: m.applyTimers(e, &c.Key, h)})
	e.record = record
	if m.bug == bugMarkAhead {
		c.Key.Oldest = c.Key.Number
	}
	if m.bug != bugForgetKey {
		e.window.remember(&c.Key, c.Principal, answer{
			hash: c.Hash, entry: e.Entry, version: e.Version, time: h.Handle.Time,
			reply: h.Reply, rejection: h.Rejection, record: record,
		})
	}
	if c.Key.Kind == TimerKey {
		return // nobody waits
	}
	c.stage = storing
	m.settle(c, Answer{Kind: kindOf(h), Reply: h.Reply, Rejection: h.Rejection, Version: e.Version, Offset: m.offset})
}

// failed ends a command whose handler broke. Its neighbours notice nothing.
func (m *Machine) failed(e *Entity, c *Command, h *Handled) {
	if c.Key.Kind == TimerKey {
		m.timerFailed(e, &c.Key, h.Failure)
		return
	}
	if h.Unavailable {
		m.end(c, Unavailable, h.Failure)
		return
	}
	m.decide(e, c, Answer{Kind: Failed, Reason: h.Failure})
}

// end answers a command at once, outside the order of the others.
func (m *Machine) end(c *Command, kind AnswerKind, reason string) {
	if c.Key.Kind == TimerKey && c.Tag == nil {
		return
	}
	m.answer(c, Answer{Kind: kind, Reason: reason}, false)
}

// emit answers a command that waited its turn.
func (m *Machine) emit(c *Command, a Answer) { m.answer(c, a, true) }

func (m *Machine) answer(c *Command, a Answer, released bool) {
	if c.answered {
		return
	}
	c.answered = true
	m.commands.remove(c)
	m.pending--
	a.Command, a.Released = c, released
	m.out.Answers = append(m.out.Answers, a)
}

// expire ends the commands whose deadline has passed and finds the next deadline.
func (m *Machine) expire() {
	m.expireAt = 0
	for c := m.commands.first; c != nil; {
		following := c.next
		if c.Deadline != 0 && c.Deadline <= m.now {
			m.expired(c)
		} else {
			m.expireAt = earliest(m.expireAt, c.Deadline)
		}
		c = following
	}
}

// expired says what is known of a command at its deadline.
func (m *Machine) expired(c *Command) {
	switch c.stage {
	case queued:
		m.end(c, Unavailable, "its deadline passed before it ran"+m.obstacle(c))
	case settling:
		m.end(c, Unavailable, "its deadline passed before the journal confirmed what it had seen; nothing was stored"+m.obstacle(c))
	case handling:
		if c.Query {
			m.end(c, Unavailable, "its deadline passed while the handler ran")
			return
		}
		m.end(c, Unknown, "its deadline passed while the handler ran")
	case storing:
		m.end(c, Unknown, "its deadline passed while it was being stored"+m.obstacle(c))
	}
}

// obstacle says what a command waited for, as far as that is known.
func (m *Machine) obstacle(c *Command) string {
	if e := m.entities[c.To]; e != nil && e.trouble != "" {
		return fmt.Sprintf(": %s %q cannot be read: %s", c.To.Type, c.To.ID, e.trouble)
	}
	if m.reason != "" {
		return ": " + m.reason
	}
	return ""
}

// refuseOvertaking fails a command that would overtake a due timer which cannot run. A repeat
// does not run: it gets its answer.
func (m *Machine) refuseOvertaking(e *Entity, c *Command, due *Pending) {
	switch {
	case c.Lookup:
		m.lookUp(e, c)
		return
	case !c.Query && m.answerKnown(e, c):
		return
	}
	m.decide(e, c, Answer{Kind: Failed, Reason: fmt.Sprintf(
		"the timer %q is due and fails (%d times so far: %s); commands may not overtake it", due.Name, due.attempts, due.lastError)})
}

func (m *Machine) entity(of journal.Entity) *Entity {
	e := m.entities[of]
	if e == nil {
		e = &Entity{Of: of}
		m.entities[of] = e
	}
	return e
}
