package shard

import (
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
}

// Encode asks the actor for its state as it is after the Handles before.
type Encode struct {
	Entity     *Entity
	generation uint64
	image      *logv1.Snapshot
	record     uint64
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

func (d *derive) grew(n int, now int64) {
	if d.bytes == 0 {
		d.since = now
	}
	d.bytes += n
}

func (d *derive) idle() bool {
	return d.job == nil && d.bytes == 0 && len(d.snapshots) == 0
}

func (d *derive) wake(m *Machine) int64 {
	switch {
	case d.job != nil:
		return 0
	case d.retryAt != 0:
		return d.retryAt
	case d.bytes > 0:
		return d.since + int64(m.cfg.FlushAfter)
	}
	return 0
}

// maybeDerive writes what is derived, if there is enough of it or it waited long enough.
func (m *Machine) maybeDerive() {
	d := &m.derive
	if d.job != nil || d.retryAt > m.now || m.phase != Serving {
		return
	}
	due := d.bytes >= m.cfg.FlushBytes || d.wanted || m.draining || d.retryAt != 0 ||
		d.bytes > 0 && m.now-d.since >= int64(m.cfg.FlushAfter)
	if !due {
		return
	}
	if d.bytes == 0 && len(d.snapshots) == 0 {
		d.retryAt = 0
		return
	}
	m.startDerive()
}

func (m *Machine) startDerive() {
	d := &m.derive
	d.retryAt, d.wanted = 0, false
	job := &Derive{Derived: journal.Derived{Shard: m.cfg.Shard, UpTo: m.last.Number}}
	for _, e := range d.dirty {
		m.addPages(&job.Derived, e)
	}
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
		d.flushed = job.UpTo
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

// takeSnapshots moves the snapshots whose records are committed into a job.
func (m *Machine) takeSnapshots(job *Derive) (waiting []snapshot) {
	for _, s := range m.derive.snapshots {
		switch {
		case s.record > m.last.Number && m.bug != bugSnapshotSpeculative:
			waiting = append(waiting, s)
		default:
			job.Snapshots = append(job.Snapshots, s.Snapshot)
		}
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
	if err != nil {
		d.backoff = grow(d.backoff)
		d.retryAt = m.now + int64(d.backoff)
		return
	}
	d.backoff = 0
	d.flushed = max(d.flushed, job.UpTo)
	dirty := d.dirty
	d.dirty = d.dirty[:0]
	for _, e := range dirty {
		if m.unpin(e, job.UpTo) {
			d.dirty = append(d.dirty, e)
		}
	}
	clear(dirty[len(d.dirty):])
	d.since = m.now
	if m.evictions > 0 {
		m.Evict(now, m.evictions)
	}
	m.resume()
	m.maybeDerive()
	m.advance()
}

// unpin lets go of the entries up to record and reports whether any are left.
func (m *Machine) unpin(e *Entity, record uint64) bool {
	n := 0
	for n < len(e.unflushed) && e.unflushed[n].record <= record {
		m.derive.bytes -= len(e.unflushed[n].body)
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

// maybeSnapshot asks for a snapshot once more was stored since the last one
// than it takes, and not too often.
func (m *Machine) maybeSnapshot(e *Entity) {
	if e.state != live || e.busy || e.snapping || e.since <= e.snapSize || m.now-e.snapAt < int64(snapshotPause) {
		return
	}
	e.snapping, e.snapAt = true, m.now
	pb := &logv1.Snapshot{
		Entry: e.Entry, Version: e.Version, Shard: uint64(m.cfg.Shard), Record: e.record, Window: e.window.encode(),
	}
	for i := range e.timers {
		p := &e.timers[i]
		pb.Timers = append(pb.Timers, &logv1.Pending{Armed: p.Armed, Arm: &logv1.Arm{
			Name: p.Name, DueNs: p.Due, Command: p.Command, Payload: p.Payload,
		}})
	}
	m.out.Encodes = append(m.out.Encodes, Encode{Entity: e, generation: e.generation, image: pb, record: e.record})
	e.since = 0
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
	m.derive.snapshots = append(m.derive.snapshots, snapshot{
		record:   x.Encode.record,
		Snapshot: journal.Snapshot{Of: e.Of, Entry: pb.GetEntry(), Body: body},
	})
	m.maybeDerive()
}
