package shard

import (
	"math"

	"github.com/skerryhq/skerry/journal"
)

// A planned move, seen by the two machines that take part in it.
//
// The log carries the shard's memory over: nothing is handed from one to the other that the log does not
// say as well, so nothing that was handed can be wrong. The next owner takes in the
// tail while the present one still serves (Prepare). Then the present one ends what it has begun, takes up
// nothing new and says so (Yield), and the next one claims behind a tail that it has nearly read (Start).
//
// The present owner stays the owner, memory and all, until it reads that claim in the log: at
// its next append, or when it is told to look (Look). None within the pause, and it serves on. What
// had come in the meantime runs then, or is answered Moved.

// yielding is the pause of an owner for another's claim.
type yielding struct {
	until int64 // 0: there is none
	told  bool  // the host knows that nothing is under way any more
}

// Prepare makes a machine that has not claimed take in the log's tail, and no more. Ready
// tells when it has reached the end that it saw. Then it may be told to prepare again, or to Start.
func (m *Machine) Prepare(now int64) {
	m.observe(now)
	if m.phase != Starting || m.claim.started || m.claim.stage != readHead && m.claim.stage != prepared {
		return
	}
	m.claim.stage, m.claim.holdBack, m.claim.since = readHead, true, m.now
	m.out.ReadHead = true
}

// prepareTo reads on to the end of the log as it is now.
func (m *Machine) prepareTo(head journal.Header) {
	m.last, m.owner, m.claimed = head, head.Writer, head.Epoch
	m.claim.stage = prepareTail
	m.skipFlushed()
	m.readMore()
}

// prepareDone tells the host, or claims if it was told to do so meanwhile.
func (m *Machine) prepareDone() {
	if !m.claim.holdBack {
		m.claim.stage = readHead
		m.out.ReadHead = true
		return
	}
	m.claim.stage = prepared
	m.out.Prepared = true
}

// skipFlushed lets go of what the pages hold by now: the tail begins behind it.
func (m *Machine) skipFlushed() {
	c := &m.claim
	if m.bug == bugPreparedIsAll && c.read > 0 {
		c.read, c.prev = m.last.Number, m.last
	}
	if c.read >= c.flushed {
		return
	}
	c.read, c.prev = c.flushed, journal.Header{}
	m.eachDirty(func(e *Entity) (stays bool) { return m.unpin(e, c.flushed) })
}

// Abandon ends a machine that has prepared and was not told to start. What waited goes to the owner. It tells
// whether there was something to abandon.
func (m *Machine) Abandon(now int64) bool {
	m.observe(now)
	if m.phase != Starting || !m.claim.holdBack {
		return false
	}
	m.phase, m.abandoned, m.reason = Halted, true, "it was prepared and not claimed"
	m.answerAll(Moved, m.reason)
	m.forget()
	return true
}

// forgetPrepared drops the tail that was prepared: where pages of some entities end before the flush position, the tail
// begins elsewhere for them, and nothing may be taken in twice.
func (m *Machine) forgetPrepared() {
	m.claim.read, m.claim.prev = 0, journal.Header{}
	m.eachDirty(func(e *Entity) (stays bool) { return m.unpin(e, newestRecord) })
}

// newestRecord is beyond any record.
const newestRecord = math.MaxUint64

// Yield lets the owner end what it has begun and then wait for another's claim, until that time at most.
// Ready tells when nothing is under way any more.
func (m *Machine) Yield(now, until int64) {
	m.observe(now)
	if m.phase != Serving || m.draining || until <= m.now {
		return
	}
	m.yield = yielding{until: until, told: m.yield.told}
	m.advance()
}

// Flush writes what the pages do not hold yet.
func (m *Machine) Flush(now int64) {
	m.observe(now)
	m.derive.wanted = m.derive.bytes > 0
	m.maybeDerive()
}

// Look makes an owner look for another's claim, also where no answer waits for it.
func (m *Machine) Look(now int64) {
	m.observe(now)
	m.looking, m.lookSeq = m.phase == Serving, m.sent
	m.advance()
}

func (m *Machine) isYielding() bool { return m.yield.until != 0 }

// tellYielded tells the host once that the shard is at rest.
func (m *Machine) tellYielded() {
	if m.yield.until == 0 || m.yield.told || !m.atRest() {
		return
	}
	m.yield.told = true
	m.out.Yielded = true
}

// atRest tells that nothing will be appended and no answer waits.
func (m *Machine) atRest() bool {
	if m.inflight != nil || len(m.gathered) > 0 || m.waiters.len() > 0 || len(m.locals) > 0 {
		return false
	}
	for e := m.lru.newest; e != nil; e = e.lruPrev { // those with a command are the newest
		if e.busy {
			return false
		}
	}
	return true
}

// serveOn ends a pause that brought no claim.
func (m *Machine) serveOn() {
	if m.yield.until == 0 || m.yield.until > m.now {
		return
	}
	m.yield = yielding{}
	m.out.Resumed = true
	m.takeWaiting()
	m.resume()
	m.fireTimers()
}

// takeWaiting lets in the commands that came while the shard could not take them.
func (m *Machine) takeWaiting() {
	waiting := m.waiting
	m.waiting = nil
	for _, c := range waiting {
		if !c.answered {
			m.enqueue(c)
		}
	}
}
