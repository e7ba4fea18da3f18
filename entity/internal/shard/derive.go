package shard

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// derive is what follows from the log and is not written yet: entries that no
// page holds, changes of the timer index, snapshots.
type derive struct {
	dirty     []*Entity // with unflushed entries
	bytes     int       // of unflushed entries
	since     int64     // when the oldest of them came
	flushed   uint64    // pages and index are complete up to this record
	job       *Derive
	wanted    bool // memory is short: write now, so that entities can leave
	retryAt   int64
	backoff   time.Duration
	snapshots []snapshot // made, waiting for their records
	late      late
}

// snapshot is an encoded state that may be stored once its record is committed.
type snapshot struct {
	record uint64
	journal.Snapshot
}

// Derive asks to write derived data. All of it comes from committed records.
type Derive struct {
	journal.Derived
	Snapshots []journal.Snapshot

	covers   uint64    // the record up to which it holds its entities' entries
	entities []*Entity // whose pages it holds
	late     bool      // they are those that failed alone before
}

// Encode asks the actor for its state as it is after the Handles before.
type Encode struct {
	Entity     *Entity
	generation uint64
	image      *logv1.Snapshot
	record     uint64
	save       bool // or only weigh it
}

// Encoded is an entity's state.
type Encoded struct {
	Encode      Encode
	Fingerprint string
	State       []byte
	Err         error
}

// maxPage bounds a page's bytes, as far as entries can be told apart.
const maxPage = 256 << 10

// snapshotPause is the least time between two snapshots of one entity.
const snapshotPause = time.Second

func (d *derive) idle() bool {
	return d.job == nil && d.waiting() == 0 && len(d.snapshots) == 0
}

// waiting is the bytes that the next job may write: not those of entities whose pages fail.
func (d *derive) waiting() int { return d.bytes - d.late.bytes }

func (d *derive) wake(m *Machine) int64 {
	switch {
	case d.job != nil:
		return 0
	case d.retryAt != 0:
		return earliest(d.retryAt, d.late.retryAt)
	case d.waiting() > 0:
		return earliest(d.since+int64(m.cfg.FlushAfter), d.late.retryAt)
	}
	return d.late.retryAt
}

// maybeDerive writes what is derived, if there is enough of it or it waited long enough.
func (m *Machine) maybeDerive() {
	m.maybeFlush()
	m.maybeRetryLate()
}

func (m *Machine) maybeFlush() {
	d := &m.derive
	if d.job != nil || d.retryAt > m.now || m.phase != Serving {
		return
	}
	due := d.waiting() >= m.cfg.FlushBytes || d.wanted || m.draining || d.retryAt != 0 ||
		d.waiting() > 0 && m.now-d.since >= int64(m.cfg.FlushAfter)
	if !due {
		return
	}
	if d.waiting() == 0 && len(d.snapshots) == 0 {
		d.retryAt = 0
		return
	}
	m.startDerive()
}

func (m *Machine) startDerive() {
	d := &m.derive
	d.retryAt, d.wanted = 0, false
	job := &Derive{Derived: journal.Derived{Shard: m.cfg.Shard, UpTo: m.completeUpTo(m.last.Number)}, covers: m.last.Number, entities: slices.Clone(d.dirty)}
	for _, e := range d.dirty {
		m.addPages(&job.Derived, e)
	}
	m.addLateIndex(&job.Derived)
	d.snapshots = m.takeSnapshots(job)
	if len(job.Pages) == 0 && len(job.Snapshots) == 0 {
		d.since = m.now // nothing of it is committed yet
		return
	}
	d.job = job
	m.timers.plan(m.speculative())
	if m.bug == bugTimersEarly {
		m.timers.committed(m.speculative())
	}
	m.out.Derive = job
	if m.bug == bugFlushAhead {
		d.flushed = job.covers
	}
}

// addPages adds the entity's committed entries as pages, and their changes of the index.
func (m *Machine) addPages(d *journal.Derived, e *Entity) {
	var page journal.Page
	add := func() {
		if page.Body != nil {
			d.Pages = append(d.Pages, page)
		}
	}
	size := 0
	for i := range e.unflushed {
		if e.unflushed[i].record <= m.last.Number {
			size += len(e.unflushed[i].body) + 8
		}
	}
	for i := range e.unflushed {
		s := &e.unflushed[i]
		if s.record > m.last.Number {
			break
		}
		if page.Body == nil || len(page.Body)+len(s.body) > maxPage {
			add()
			page = journal.Page{Of: e.Of, First: s.entry, Body: make([]byte, 0, min(size, maxPage+len(s.body)))}
		}
		size -= len(s.body) + 8
		page.Last = s.entry
		page.Body = protowire.AppendTag(page.Body, 1, protowire.BytesType)
		page.Body = protowire.AppendBytes(page.Body, s.body)
		d.Arms = append(d.Arms, s.index.arms...)
		d.Disarms = append(d.Disarms, s.index.disarms...)
	}
	add()
}

// takeSnapshots moves the snapshots whose records are committed into a job, of
// each entity the newest.
func (m *Machine) takeSnapshots(job *Derive) (waiting []snapshot) {
	at := map[journal.Entity]int{}
	for _, s := range m.derive.snapshots {
		if s.record > m.last.Number && m.bug != bugSnapshotSpeculative {
			waiting = append(waiting, s)
			continue
		}
		if i, older := at[s.Of]; older {
			job.Snapshots[i] = s.Snapshot
			continue
		}
		at[s.Of] = len(job.Snapshots)
		job.Snapshots = append(job.Snapshots, s.Snapshot)
	}
	return waiting
}

// Derived tells the outcome of the Derive under way.
func (m *Machine) Derived(now int64, err error) {
	m.observe(now)
	d := &m.derive
	if d.job == nil || m.phase != Serving {
		return
	}
	job := d.job
	d.job = nil
	switch {
	case err == nil && job.late:
		m.writtenLate(job, nil)
	case err == nil:
		m.flushed(job)
	case m.notePartly(job, err):
	case job.late: // tried again at its time
	default:
		d.backoff = grow(d.backoff)
		d.retryAt = m.now + int64(d.backoff)
		return
	}
	if !job.late {
		d.backoff, d.since = 0, m.now
	}
	if m.evictions > 0 {
		m.Evict(now, m.evictions)
	}
	m.resume()
	m.maybeDerive()
	m.advance()
}

// flushed goes on after a job wrote all that was dirty.
func (m *Machine) flushed(job *Derive) {
	d := &m.derive
	d.flushed = max(d.flushed, job.covers)
	m.indexedLate(job.covers)
	m.eachDirty(func(e *Entity) (stays bool) { return m.unpin(e, job.covers) })
}

// unpin lets go of the entries up to record and reports whether any are left.
func (m *Machine) unpin(e *Entity, record uint64) bool {
	n := 0
	for n < len(e.unflushed) && e.unflushed[n].record <= record {
		m.weigh(e, -len(e.unflushed[n].body))
		n++
	}
	left := copy(e.unflushed, e.unflushed[n:])
	clear(e.unflushed[left:])
	e.unflushed = e.unflushed[:left]
	if left > 0 {
		return true
	}
	if cap(e.unflushed) > 64 || e.state != live {
		e.unflushed = nil
	}
	m.retire(e)
	return false
}

// maybeSnapshot asks for a snapshot once more was stored since the last one than it takes and
// than SnapshotBytes, and not too often. Before that it asks for the state now and then, each
// time after twice as much, only to know what the entity takes in memory.
func (m *Machine) maybeSnapshot(e *Entity) {
	least := max(e.snapSize, min(2*e.weighed, m.cfg.SnapshotBytes))
	if e.state != live || e.busy || e.snapping || e.since <= least || m.now-e.snapAt < int64(snapshotPause) {
		return
	}
	save := e.since > m.cfg.SnapshotBytes
	e.snapping, e.snapAt, e.weighed = true, m.now, e.since
	pb := &logv1.Snapshot{
		Entry: e.Entry, Version: e.Version, Shard: uint64(m.cfg.Shard), Record: e.record, Window: e.window.encode(),
	}
	for i := range e.timers {
		p := &e.timers[i]
		pb.Timers = append(pb.Timers, &logv1.Pending{Armed: p.Armed, Arm: &logv1.Arm{
			Name: p.Name, DueNs: p.Due, Command: p.Command, Payload: p.Payload,
		}})
	}
	m.out.Encodes = append(m.out.Encodes, Encode{Entity: e, generation: e.generation, image: pb, record: e.record, save: save})
	if save {
		e.since, e.weighed = 0, 0
	}
}

// Encoded takes an entity's state. It is stored once its newest entry is committed.
func (m *Machine) Encoded(now int64, x *Encoded) {
	m.observe(now)
	e := x.Encode.Entity
	if m.phase != Serving || e.generation != x.Encode.generation {
		return
	}
	e.snapping = false
	if x.Err != nil {
		m.out.Failures = append(m.out.Failures, "snapshot of "+e.Of.Type+" "+e.Of.ID+": "+x.Err.Error())
		return
	}
	pb := x.Encode.image
	pb.Fingerprint, pb.State = x.Fingerprint, x.State
	body, err := proto.Marshal(pb)
	if err != nil {
		m.out.Failures = append(m.out.Failures, "snapshot of "+e.Of.Type+" "+e.Of.ID+": "+err.Error())
		return
	}
	e.snapSize = len(body)
	m.liveBytes += len(body) - e.bytes
	e.bytes = len(body) // the window is part of what it holds
	if !x.Encode.save {
		return
	}
	m.derive.snapshots = append(m.derive.snapshots, snapshot{
		record:   x.Encode.record,
		Snapshot: journal.Snapshot{Of: e.Of, Entry: pb.GetEntry(), Body: body},
	})
	m.maybeDerive()
}
