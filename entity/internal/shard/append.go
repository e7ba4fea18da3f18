package shard

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// batch is entries that will be one record.
type batch struct {
	entries [][]byte
	bytes   int
	events  uint64
	time    int64
	dirty   []*Entity // one per entry
}

// inflight is the one append under way, or waiting to be sent again.
type inflight struct {
	rec journal.Record
	batch
	// seq is that of its first sending: an append that turns out to be stored may have been
	// stored then, so it confirms nothing that came later.
	seq     uint64
	retryAt int64
	backoff time.Duration
	// unsure tells that some sending ended without an outcome.
	unsure bool
	claim  bool
}

// Append asks the journal to append Record. Retry tells that it was sent before, Again that it was more than once.
type Append struct {
	Record       journal.Record
	Retry, Again bool
}

// refusal is the pause after the journal refused an append for sure, as on a full disk.
type refusal struct {
	until   int64
	backoff time.Duration
	reason  string
}

// gather takes a stored entry in: it goes out with the next record.
func (m *Machine) gather(e *Entity, entry []byte, events int, at int64) (record uint64) {
	size := journal.EntrySize(len(entry))
	n := len(m.gathered)
	if n == 0 || m.gathered[n-1].bytes+size > m.cfg.MaxRecordBytes {
		m.gathered = append(m.gathered, batch{})
		n++
	}
	b := &m.gathered[n-1]
	b.entries = append(b.entries, entry)
	b.dirty = append(b.dirty, e)
	b.bytes += size
	b.events += uint64(events)
	b.time = max(b.time, at)
	m.gatherSz += size
	m.offset += uint64(events)
	return m.speculative()
}

// speculative is the number of the newest record that something depends on by now.
func (m *Machine) speculative() uint64 {
	n := m.last.Number + uint64(len(m.gathered))
	if m.inflight != nil {
		n++
	}
	return n
}

// Slot gives the room for one append. It reports whether it was used; if not, the host has it back.
func (m *Machine) Slot(now int64) bool {
	m.observe(now)
	m.wantSlot = false
	if m.phase != Serving || m.inflight != nil || len(m.gathered) == 0 {
		return false
	}
	b := m.gathered[0]
	m.gathered = m.gathered[:copy(m.gathered, m.gathered[1:])]
	m.gatherSz -= b.bytes
	m.send(journal.NewRecord(journal.Header{
		Number: m.last.Number + 1, Epoch: m.last.Epoch, Writer: m.cfg.Node, Batch: m.cfg.NewBatch(),
		Time: max(b.time, m.last.Time), FirstOffset: m.last.NextOffset(), Events: b.events,
		Flushed: m.derive.flushed, Behind: m.derive.late.encoded, TimersFromHour: m.timers.from,
	}, b.entries), &b)
	return true
}

// send puts a record in flight; b is nil for a claim.
func (m *Machine) send(rec journal.Record, b *batch) {
	m.sent++
	f := &inflight{rec: rec, seq: m.sent, claim: b == nil}
	if b != nil {
		f.batch = *b
	}
	m.inflight = f
	m.out.Append = &Append{Record: rec}
	if m.bug == bugTellEarly {
		m.out.Committed = append(m.out.Committed, rec)
	}
}

// retryAppend sends the same record again after an unknown outcome.
func (m *Machine) retryAppend() {
	f := m.inflight
	if f == nil || f.retryAt == 0 || f.retryAt > m.now {
		return
	}
	f.retryAt = 0
	m.out.Append = &Append{Record: f.rec, Retry: true, Again: f.backoff > firstBackoff}
	if m.bug == bugConfirmLate {
		m.sent++
		f.seq = m.sent
	}
}

// Appended tells the outcome of the append under way.
func (m *Machine) Appended(now int64, slot journal.Slot, err error) {
	m.observe(now)
	f := m.inflight
	if f == nil || f.retryAt != 0 {
		return
	}
	switch {
	case err == nil && slot.Holder.Batch == f.rec.Batch:
		m.stored(f)
	case err == nil:
		m.lost(slot.Holder)
	case errors.Is(err, journal.ErrRefused) && (!f.unsure || m.bug == bugRefuseUnsure):
		m.refuse(f, err)
	default:
		f.unsure = true
		f.backoff = grow(f.backoff)
		f.retryAt = m.now + int64(f.backoff)
		m.reason = fmt.Sprintf("the journal does not answer: %v", err)
	}
	m.advance()
}

// stored goes on after a record was committed.
func (m *Machine) stored(f *inflight) {
	m.inflight = nil
	if m.bug != bugTellEarly {
		m.out.Committed = append(m.out.Committed, f.rec)
	}
	if f.claim {
		m.claimWon(f.rec.Header)
		return
	}
	m.last = f.rec.Header
	m.refused, m.reason = refusal{}, ""
	m.confirmed = max(m.confirmed, f.seq)
	m.release()
	m.timers.committed(m.last.Number)
	m.resume()
	m.maybeDerive()
}

// lost finds another's record in the slot.
func (m *Machine) lost(holder journal.Header) {
	f := m.inflight
	switch {
	case f.claim:
		m.inflight = nil
		m.claimLost(holder)
	case holder.Claim:
		if m.bug == bugSkipFence {
			m.inflight = nil
			m.last.Number = holder.Number
			m.send(journal.NewRecord(bumped(f.rec.Header), f.entries), &f.batch)
			return
		}
		m.fence(holder)
	default:
		m.halt(fmt.Sprintf("%v: slot %d holds a record of %s, epoch %d, but %s owns the shard since epoch %d",
			journal.ErrCorrupt, holder.Number, holder.Writer, holder.Epoch, m.cfg.Node, m.last.Epoch))
	}
}

func bumped(h journal.Header) journal.Header {
	h.Number++
	return h
}

// refuse goes on after the journal surely did not store the record: everything
// that is not committed is undone, its callers are told that it did not run,
// and for a while commands are refused at once. Queries go on.
func (m *Machine) refuse(f *inflight, err error) {
	m.inflight = nil
	if f.claim {
		m.claim.stage = readHead
		m.claimLater(err)
		return
	}
	m.refused.backoff = grow(m.refused.backoff)
	m.refused.until = m.now + int64(m.refused.backoff)
	m.refused.reason = err.Error()
	m.undo(f, err.Error())
}

// undo drops all that is not committed.
func (m *Machine) undo(f *inflight, why string) {
	lost := slices.Clone(f.dirty)
	for _, b := range m.gathered {
		lost = append(lost, b.dirty...)
	}
	m.gathered, m.gatherSz = nil, 0
	m.timers.record = 0
	m.derive.snapshots = slices.DeleteFunc(m.derive.snapshots, func(s snapshot) bool { return s.record > m.last.Number })
	m.offset = m.last.NextOffset() - 1
	m.dropWaiters(why)
	done := make(map[*Entity]bool, len(lost))
	for _, e := range lost { // in the order of the log, so that a seed replays exactly
		if !done[e] {
			done[e] = true
			m.rollBack(e, why)
		}
	}
	m.derive.dirty = slices.DeleteFunc(m.derive.dirty, func(e *Entity) bool { return len(e.unflushed) == 0 })
}
