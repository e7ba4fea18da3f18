package shard

import (
	"fmt"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// waiter is an answer that may not leave yet.
type waiter struct {
	command *Command
	// record must be committed, and something sent after seq must have succeeded.
	record, seq uint64
	answer      Answer
}

// check is the tail check under way or due again. All waiting answers share one.
type check struct {
	seq     uint64 // 0: none
	number  uint64
	since   int64 // when the first of it was sent
	retryAt int64
	backoff time.Duration
}

// Check asks whether slot Number of the log is empty.
type Check struct {
	Seq, Number uint64
}

// settle lets an answer leave once what its handler had seen is committed and
// the shard was shown to be still ours by something sent after the handler ran.
func (m *Machine) settle(c *Command, a Answer) {
	w := waiter{command: c, record: m.speculative(), seq: m.sent, answer: a}
	switch {
	case m.bug == bugAnswerEarly:
		m.leave(&w)
	case c.Local && (c.After < m.last.NextOffset() || m.bug == bugIgnoreAfter): // else only a confirmation can tell whether there is more
		m.settleLocal(w)
	default:
		if m.bug == bugConfirmUnderWay && w.seq > 0 {
			w.seq--
		}
		m.waiters.push(w)
	}
}

// settleLocal waits for the entity's own events only.
func (m *Machine) settleLocal(w waiter) {
	w.record = 0
	if e := m.entities[w.command.To]; e != nil {
		w.record = e.record
	}
	if w.record <= m.last.Number {
		m.leave(&w)
		return
	}
	m.locals = append(m.locals, w)
}

// release lets all answers leave that may. Positions and sequence numbers only grow
// in the queue, so the first that may not leave stops the rest.
func (m *Machine) release() {
	for m.waiters.len() > 0 {
		w := m.waiters.front()
		if w.record > m.last.Number || w.seq >= m.confirmed {
			break
		}
		out := m.waiters.pop()
		m.leave(&out)
	}
	if len(m.locals) == 0 {
		return
	}
	kept := m.locals[:0]
	for i := range m.locals {
		if w := &m.locals[i]; w.record <= m.last.Number {
			m.leave(w)
		} else {
			kept = append(kept, *w)
		}
	}
	clear(m.locals[len(kept):])
	m.locals = kept
}

// leave sends a waiting answer.
func (m *Machine) leave(w *waiter) {
	end := m.last.NextOffset() - 1
	if w.answer.Offset == 0 {
		w.answer.Offset = end
	}
	if c := w.command; c.After > end && m.bug != bugIgnoreAfter {
		w.answer = Answer{Kind: Reject, Version: w.answer.Version, Offset: end, Rejection: &Rejection{
			CodeMalformed, fmt.Sprintf("the token names offset %d of shard %d, whose log ends at %d", c.After, m.cfg.Shard, end),
		}}
	}
	m.emit(w.command, w.answer)
}

// dropWaiters ends the answers that had seen something which is now undone.
func (m *Machine) dropWaiters(why string) {
	kept := fifo[waiter]{}
	drop := func(w *waiter, keep func(waiter)) {
		if w.record > m.last.Number {
			m.end(w.command, Unavailable, why)
			return
		}
		keep(*w)
	}
	m.waiters.each(func(w *waiter) { drop(w, kept.push) })
	m.waiters = kept
	var locals []waiter
	for i := range m.locals {
		drop(&m.locals[i], func(w waiter) { locals = append(locals, w) })
	}
	m.locals = locals
}

// maybeCheck asks for a tail check where answers wait and no append is going to confirm them.
func (m *Machine) maybeCheck() {
	if m.check.seq != 0 || m.check.retryAt != 0 || m.inflight != nil || len(m.gathered) > 0 || m.waiters.len() == 0 && !m.looking {
		return
	}
	m.check.since = m.now
	m.sendCheck()
}

func (m *Machine) sendCheck() {
	m.sent++
	m.check.seq, m.check.number, m.check.retryAt = m.sent, m.last.Number+1, 0
	m.out.Check = &Check{Seq: m.check.seq, Number: m.check.number}
}

// Checked tells what the tail check found.
func (m *Machine) Checked(now int64, seq uint64, slot journal.Slot, err error) {
	m.observe(now)
	if m.phase != Serving || seq != m.check.seq {
		return
	}
	number := m.check.number
	m.check.seq = 0
	if err == nil && seq > m.lookSeq { // one that was under way before may have missed what we were told of
		m.looking = false
	}
	m.hear(err)
	switch {
	case err != nil:
		m.check.backoff = grow(m.check.backoff)
		m.check.retryAt = m.now + int64(m.check.backoff)
		m.reason = fmt.Sprintf("the journal does not answer: %v", err)
		return
	case !slot.Taken:
		m.confirmed = max(m.confirmed, seq)
		m.check.backoff, m.reason = 0, ""
		m.release()
	case slot.Holder.Claim && slot.Holder.Epoch > m.last.Epoch:
		m.fence(slot.Holder)
	case m.ours(number, slot.Holder):
		// Our own record came in between. Look at the next slot.
	default:
		m.halt(fmt.Sprintf("%v: slot %d holds a record of %s, but %s owns the shard", journal.ErrCorrupt, number, slot.Holder.Writer, m.cfg.Node))
		return
	}
	m.advance()
}

func (m *Machine) ours(number uint64, h journal.Header) bool {
	if m.inflight != nil && m.inflight.rec.Number == number {
		return m.inflight.rec.Batch == h.Batch
	}
	return number <= m.last.Number
}

// retryCheck repeats a check that the journal did not answer.
func (m *Machine) retryCheck() {
	if m.check.retryAt == 0 || m.check.retryAt > m.now {
		return
	}
	m.check.retryAt = 0
	if (m.waiters.len() > 0 || m.looking) && m.phase == Serving {
		m.sendCheck()
	}
}
