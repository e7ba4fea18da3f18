package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// claim is the progress of taking the shard.
type claim struct {
	stage   claimStage
	retryAt int64
	backoff time.Duration
	// flushed is the newest flush position seen while walking.
	flushed uint64
	// read is the newest record whose entries were taken in; prev is its header.
	read uint64
	prev journal.Header
	// late is the entities behind the flush position, and from which record on.
	late map[journal.Entity]uint64
}

type claimStage uint8

const (
	readHead claimStage = iota
	appendClaim
	readTail
	loadTimers
	claimed
)

// LogRange asks for records From to To, both included, in as many LogRead calls as it takes.
type LogRange struct{ From, To uint64 }

// HourRange asks for the indexed timers due in hours From to To, To excluded.
type HourRange struct{ From, To int64 }

const (
	firstBackoff = 10 * time.Millisecond
	lastBackoff  = time.Second
)

// grow returns the pause before the next try.
func grow(d time.Duration) time.Duration {
	return min(max(2*d, firstBackoff), lastBackoff)
}

// Start begins to take the shard.
func (m *Machine) Start(now int64) {
	m.observe(now)
	m.out.ReadHead = true
}

func (m *Machine) claimLater(err error) {
	m.reason = fmt.Sprintf("the journal does not answer: %v", err)
	m.claim.backoff = grow(m.claim.backoff)
	m.claim.retryAt = m.now + int64(m.claim.backoff)
}

// retryClaim repeats the step of the claim that failed.
func (m *Machine) retryClaim() {
	if m.phase != Starting || m.claim.retryAt == 0 || m.claim.retryAt > m.now {
		return
	}
	m.claim.retryAt = 0
	switch m.claim.stage {
	case readHead:
		m.out.ReadHead = true
	case readTail:
		m.readMore()
	case loadTimers:
		m.loadTimers()
	}
}

// HeadRead tells where the log ends, as far as the journal knows.
func (m *Machine) HeadRead(now int64, head journal.Head, err error) {
	m.observe(now)
	if m.phase != Starting || m.claim.stage != readHead {
		return
	}
	if err != nil {
		m.claimLater(err)
		return
	}
	m.claim.flushed = max(head.Flushed, head.Last.Flushed)
	m.sendClaim(head.Last)
}

// sendClaim asks for the slot behind the newest record known. Claims need no Slot.
func (m *Machine) sendClaim(after journal.Header) {
	m.claim.stage, m.last = appendClaim, after
	at := max(after.Time, m.now)
	if m.cfg.ResetTime {
		at = m.now
	}
	m.send(journal.NewRecord(journal.Header{
		Number: after.Number + 1, Epoch: after.Epoch + 1, Writer: m.cfg.Node, Batch: m.cfg.NewBatch(), Claim: true,
		Time: at, SetsTime: m.cfg.ResetTime, FirstOffset: after.NextOffset(),
		Flushed: m.claim.flushed, Behind: after.Behind, TimersFromHour: after.TimersFromHour,
	}, nil), nil)
}

// claimLost walks on: whoever holds the slot, the next one may be free.
func (m *Machine) claimLost(holder journal.Header) {
	m.claim.flushed = max(m.claim.flushed, holder.Flushed)
	m.sendClaim(holder)
}

// claimWon begins to read what pages and timer index do not hold yet.
func (m *Machine) claimWon(h journal.Header) {
	m.last, m.owner, m.time = h, h.Writer, h.Time
	m.offset = h.NextOffset() - 1
	m.derive.flushed = m.claim.flushed
	m.timers = timers{from: h.TimersFromHour, loaded: h.TimersFromHour}
	m.claim.stage, m.claim.backoff, m.claim.read = readTail, 0, m.claim.flushed
	if err := m.lateSince(h.Behind); err != nil {
		m.halt(err.Error())
		return
	}
	m.readMore()
}

func (m *Machine) readMore() {
	if m.claim.read >= m.last.Number {
		m.takeOverLate()
		m.claim.stage = loadTimers
		m.loadTimers()
		return
	}
	m.out.ReadLog = &LogRange{From: m.claim.read + 1, To: m.last.Number}
}

// LogRead takes in records of the tail, in order. No records and no error means that the
// log ends, which cannot be.
func (m *Machine) LogRead(now int64, records []journal.Record, err error) {
	m.observe(now)
	if m.phase != Starting || m.claim.stage != readTail {
		return
	}
	if errors.Is(err, journal.ErrCorrupt) {
		m.halt(err.Error())
		return
	}
	if err != nil {
		m.claimLater(err)
		return
	}
	if len(records) == 0 {
		m.halt(fmt.Sprintf("the log ends before record %d, which is committed", m.claim.read+1))
		return
	}
	for _, r := range records {
		if r.Number > m.last.Number {
			break // appended by another owner since: the next append will tell
		}
		if err := m.takeIn(r); err != nil {
			m.halt(err.Error())
			return
		}
	}
	m.readMore()
}

// takeIn pins the entries of one record of the tail.
func (m *Machine) takeIn(r journal.Record) error {
	if err := CheckOrder(m.claim.prev, r.Header, m.claim.read+1); err != nil {
		return err
	}
	m.claim.read, m.claim.prev = r.Number, r.Header
	if m.derive.bytes == 0 {
		// It has waited since then, whoever owned the shard: one whose owners change often is flushed, too.
		defer func() { m.derive.since = min(r.Time, m.now) }()
	}
	return r.EachEntry(func(b []byte) error {
		var entry Entry
		if err := entry.Decode(b); err != nil {
			return fmt.Errorf("record %d: %w", r.Number, err)
		}
		of := journal.Entity{Type: string(entry.Type), ID: string(entry.ID)}
		if m.paged(of, r.Number) {
			return nil
		}
		e := m.entity(of)
		var x indexed
		if r.Number > m.claim.flushed {
			x = indexOf(e.Of, &entry)
		}
		for _, arm := range x.arms {
			m.timers.lower(arm.Hour())
		}
		if m.bug == bugDropPin {
			return nil
		}
		m.pin(e, stored{record: r.Number, entry: entry.Number, body: b, index: x})
		return nil
	})
}

// CheckOrder tells how header h, read at slot want, breaks the promises of a log, given the
// header before it (zero if unknown).
func CheckOrder(prev, h journal.Header, want uint64) error {
	switch {
	case h.Number != want:
		return fmt.Errorf("%w: slot %d holds a record that calls itself %d", journal.ErrCorrupt, want, h.Number)
	case prev.Number == 0:
		return nil
	case h.FirstOffset != prev.NextOffset():
		return fmt.Errorf("%w: record %d begins at offset %d; the one before it ends at %d", journal.ErrCorrupt, want, h.FirstOffset, prev.NextOffset()-1)
	case h.Claim && h.Epoch <= prev.Epoch, !h.Claim && h.Epoch != prev.Epoch:
		return fmt.Errorf("%w: record %d has epoch %d behind epoch %d", journal.ErrCorrupt, want, h.Epoch, prev.Epoch)
	case !h.Claim && h.Writer != prev.Writer:
		return fmt.Errorf("%w: record %d was written by %s, but %s owns the shard there", journal.ErrCorrupt, want, h.Writer, prev.Writer)
	}
	return nil
}

// serve begins to answer.
func (m *Machine) serve() {
	m.phase, m.claim.stage, m.reason = Serving, claimed, ""
	waiting := m.waiting
	m.waiting = nil
	for _, c := range waiting {
		if !c.answered {
			m.enqueue(c)
		}
	}
	m.fireTimers()
	m.maybeDerive()
	m.advance()
}

// fence ends the ownership: another's claim is in the log. Nothing that waits was
// or will be stored, except what is in flight with an unknown outcome and not in the claim's slot.
func (m *Machine) fence(by journal.Header) {
	if m.bug == bugSkipFence {
		return
	}
	m.phase, m.owner = Fenced, by.Writer
	m.reason = fmt.Sprintf("%s took the shard with record %d, epoch %d", by.Writer, by.Number, by.Epoch)
	m.answerAll(Moved, m.reason)
	m.forget()
}

// halt stops the shard loudly.
func (m *Machine) halt(why string) {
	m.phase, m.reason = Halted, why
	m.out.Failures = append(m.out.Failures, fmt.Sprintf("shard %d stops: %s", m.cfg.Shard, why))
	m.answerAll(Unavailable, why)
	m.forget()
}

// Abort answers everything at once and ends: the host cannot wait any longer.
func (m *Machine) Abort(now int64, why string) {
	m.observe(now)
	if m.phase >= Fenced {
		return
	}
	m.phase, m.reason = Halted, why
	m.answerAll(Unavailable, why)
	m.forget()
}

// answerAll ends every command: those that did not run and cannot any more with
// kind, those whose append is in flight as unknown, and repeats as well: what they repeat may
// be stored. At a fence the append in flight has lost its slot, so it did not run either.
func (m *Machine) answerAll(kind AnswerKind, why string) {
	flying := uint64(0)
	if m.inflight != nil && kind != Moved {
		flying = m.inflight.rec.Number
	}
	m.waiters.each(func(w *waiter) {
		inFlight := w.record <= flying && w.record > m.last.Number
		if w.command.stage == storing && (inFlight || w.answer.Repeated && kind != Moved) {
			m.end(w.command, Unknown, why)
		}
	})
	for c := m.commands.first; c != nil; c = m.commands.first {
		m.end(c, kind, why)
	}
}

// forget drops the shard's memory.
func (m *Machine) forget() {
	for e := m.lru.oldest; e != nil; e = e.lruNext { // in an order that replays
		m.stopActor(e)
	}
	for _, e := range m.entities {
		e.state = absent
	}
	m.entities = map[journal.Entity]*Entity{}
	m.troubled.reset()
	m.waiters.reset()
	m.locals, m.waiting, m.stalled = nil, nil, nil
	m.inflight, m.gathered, m.gatherSz, m.wantSlot = nil, nil, 0, false
	m.live, m.liveBytes, m.lru, m.evictions = 0, 0, lru{}, 0
	m.timers, m.derive, m.check = timers{}, derive{flushed: m.derive.flushed}, check{}
}
