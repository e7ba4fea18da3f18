package shard

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// late is the entities whose pages cannot be written while others' can, as when a part
// of the database is sick. Each header names them behind its flush position, so the position moves
// on for the others. Their entries stay pinned, each entity's up to a share: beyond that only it is unavailable.
// Its pages are tried again by themselves, and everybody else's never wait for them.
// A take-over reads the log from the oldest entry of those listed. That is not bounded by bytes but by how long they are
// sick: all that the shard stores meanwhile is read again, though only what they and the unflushed others hold is kept.
type late struct {
	entities []*Entity
	bytes    int    // of their unflushed entries
	encoded  string // as headers carry it
	retryAt  int64
	backoff  time.Duration
}

const (
	// maxLate and maxLateName bound what headers carry of them: entities, and the bytes of their names together. If
	// there are more, the flush position waits for the rest, and in the end the shard does.
	maxLate     = 64
	maxLateName = 8 << 10
	// maxLateStalls bounds what they pin together when they are listed, in times of what the shard may hold unflushed.
	// A single one, that fills all of it before its pages fail, must not stop the shard, nor must a few.
	maxLateStalls = 4
	// lastLateBackoff is the longest pause between two tries to write their pages.
	lastLateBackoff = 10 * time.Second
)

// lateShare is how many bytes one of them may pin.
func (m *Machine) lateShare() int { return m.cfg.StallBytes / maxLate }

// overdrawn tells that an entity must wait for its pages.
func (m *Machine) overdrawn(e *Entity) bool { return e.late && e.pinned >= m.lateShare() }

func (m *Machine) refuseOverdrawn(e *Entity, c *Command) {
	m.end(c, Unavailable, fmt.Sprintf("the journal cannot store what follows from the log for %s %q, and takes that of others: a part of it is sick", e.Of.Type, e.Of.ID))
}

// weigh counts bytes that an entity holds unflushed.
func (m *Machine) weigh(e *Entity, bytes int) {
	e.pinned += bytes
	m.derive.bytes += bytes
	if e.late {
		m.derive.late.bytes += bytes
	}
}

// notePartly takes in what a job wrote that failed for some entities only. It reports false if there is something
// left that does not fit the list: then the journal as a whole is in trouble. How many of the job's entities failed
// does not tell that: the only one that is busy may be the one that is sick.
func (m *Machine) notePartly(job *Derive, err error) bool {
	var behind *journal.BehindError
	if !errors.As(err, &behind) {
		return false
	}
	failed := make(map[journal.Entity]bool, len(behind.Entities))
	for _, of := range behind.Entities {
		failed[of] = true
	}
	if job.late {
		m.writtenLate(job, failed)
		return true
	}
	listed := true
	m.eachDirty(func(e *Entity) (stays bool) {
		switch {
		case !failed[e.Of] || !m.holds(e, job.covers):
			return m.unpin(e, job.covers)
		case m.becomeLate(e, behind.Err):
			return false
		}
		listed = false
		return true
	})
	m.indexedLate(job.covers)
	if listed {
		m.derive.flushed = max(m.derive.flushed, job.covers)
	}
	m.listLate()
	return listed
}

// eachDirty visits the entities with unflushed entries that are not late, and keeps those that visit says stay.
func (m *Machine) eachDirty(visit func(*Entity) (stays bool)) {
	dirty := m.derive.dirty
	m.derive.dirty = m.derive.dirty[:0]
	for _, e := range dirty {
		if visit(e) {
			m.derive.dirty = append(m.derive.dirty, e)
		}
	}
	clear(dirty[len(m.derive.dirty):])
}

// holds tells whether an entity has unflushed entries up to that record.
func (m *Machine) holds(e *Entity, record uint64) bool {
	return len(e.unflushed) > 0 && e.unflushed[0].record <= record
}

// becomeLate lists an entity that is dirty no more, if there is room.
func (m *Machine) becomeLate(e *Entity, why error) bool {
	l := &m.derive.late
	names := len(e.Of.Type) + len(e.Of.ID)
	for _, x := range l.entities {
		names += len(x.Of.Type) + len(x.Of.ID)
	}
	pinned := len(l.entities) > 0 && l.bytes+e.pinned > maxLateStalls*m.cfg.StallBytes
	if len(l.entities) >= maxLate || names > maxLateName || pinned {
		return false
	}
	if len(l.entities) == 0 && why != nil {
		m.out.Failures = append(m.out.Failures, fmt.Sprintf("shard %d: pages of %s %q cannot be written, those of others can: %v", m.cfg.Shard, e.Of.Type, e.Of.ID, why))
	}
	e.late = true
	l.bytes += e.pinned
	l.entities = append(l.entities, e)
	if l.retryAt == 0 {
		l.backoff = grow(0)
		l.retryAt = m.now + int64(l.backoff)
	}
	return true
}

// addLateIndex adds what late entities change in the timer index: that is complete up to the flush position for them, too.
func (m *Machine) addLateIndex(d *journal.Derived) {
	for _, e := range m.derive.late.entities {
		for i := 0; i < len(e.unflushed) && e.unflushed[i].record <= m.last.Number; i++ {
			d.Arms = append(d.Arms, e.unflushed[i].index.arms...)
			d.Disarms = append(d.Disarms, e.unflushed[i].index.disarms...)
		}
	}
}

// indexedLate forgets changes of the index up to record, which are written.
func (m *Machine) indexedLate(record uint64) {
	for _, e := range m.derive.late.entities {
		for i := 0; i < len(e.unflushed) && e.unflushed[i].record <= record; i++ {
			e.unflushed[i].index = indexed{}
		}
	}
}

// writtenLate goes on with the late entities whose pages are written: they are like all others again.
func (m *Machine) writtenLate(job *Derive, failed map[journal.Entity]bool) {
	l := &m.derive.late
	for _, e := range job.entities {
		if failed[e.Of] {
			continue
		}
		e.late = false
		l.bytes -= e.pinned
		if m.unpin(e, job.covers) {
			m.derive.dirty = append(m.derive.dirty, e)
		}
	}
	l.entities = slices.DeleteFunc(l.entities, func(e *Entity) bool { return !e.late })
	m.listLate()
}

// listLate encodes the list for the headers to come.
func (m *Machine) listLate() {
	var list []journal.Late
	if m.bug == bugHideLate {
		return
	}
	for _, e := range m.derive.late.entities {
		list = append(list, journal.Late{Of: e.Of, Record: e.unflushed[0].record})
	}
	m.derive.late.encoded = journal.EncodeBehind(list)
}

// completeUpTo is the record up to which a job's pages are all there is, late entities' included.
func (m *Machine) completeUpTo(covers uint64) uint64 {
	for _, e := range m.derive.late.entities {
		covers = min(covers, e.unflushed[0].record-1)
	}
	return covers
}

// maybeRetryLate tries the late entities' pages again when nobody else's are due.
func (m *Machine) maybeRetryLate() {
	l := &m.derive.late
	if len(l.entities) == 0 {
		l.retryAt, l.backoff = 0, 0
		return
	}
	if m.derive.job != nil || l.retryAt > m.now || m.phase != Serving {
		return
	}
	l.backoff = min(2*max(l.backoff, firstBackoff), lastLateBackoff)
	l.retryAt = m.now + int64(l.backoff)
	job := &Derive{Derived: journal.Derived{Shard: m.cfg.Shard}, late: true, covers: m.last.Number, entities: slices.Clone(l.entities)}
	for _, e := range job.entities {
		m.addPages(&job.Derived, e)
	}
	m.derive.job, m.out.Derive = job, job
}

// lateSince reads, at a take-over, the list that came with the flush position.
func (m *Machine) lateSince(behind string) error {
	list, err := journal.ParseBehind(behind)
	if err != nil {
		return err
	}
	m.claim.late = make(map[journal.Entity]uint64, len(list))
	if m.bug == bugDropLate {
		return nil
	}
	for _, l := range list {
		m.claim.late[l.Of] = l.Record
		m.claim.read = min(m.claim.read, max(l.Record, 1)-1)
	}
	return nil
}

// paged tells that pages and index hold, as far as the flush position says, what a record of the tail carries
// for an entity.
func (m *Machine) paged(of journal.Entity, record uint64) bool {
	since, listed := m.claim.late[of]
	return record <= m.claim.flushed && (!listed || record < since)
}

// takeOverLate lists those that the owner before had listed, once the tail is read.
func (m *Machine) takeOverLate() {
	m.eachDirty(func(e *Entity) (stays bool) {
		switch {
		case !m.holds(e, m.claim.flushed):
			return true
		case m.becomeLate(e, nil):
			return false
		}
		m.derive.flushed = min(m.derive.flushed, e.unflushed[0].record-1)
		return true
	})
	m.claim.late = nil
	m.listLate()
}
