package shard

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// truth is what the log says, folded by other code than the machine's. It judges
// every record when it lands, every derived row when it is written and every answer when it
// leaves.
type truth struct {
	s        *sim
	prev     journal.Header
	entities []truthEntity
	offset   uint64
	where    []place // the entries that no header has called flushed yet, in order
}

type place struct {
	record uint64
	entity int
	index  int
}

type truthEntity struct {
	entries []truthEntry
	state   modelState
	keys    map[keyID]int
	pending []truthTimer
	time    int64

	// What answers that have left have told: nothing that begins later may see less.
	toldEntry, toldVersion uint64
}

type truthEntry struct {
	record, version, offset uint64
	time                    int64
	hash                    uint64
	state                   modelState
	reply                   []byte
	rejection               *Rejection
	body                    []byte
	call                    *call // whose handling was stored; nil for timers
	covered                 bool  // by a page
	changes                 bool  // it has events
	arms                    []truthTimer
	pending                 []truthTimer // after it
}

type truthTimer struct {
	name    string
	armed   uint64
	due     int64
	indexed bool
}

// committed judges what an owner tells its readers: only records of the log, each once, in order, and none left
// out but those that others wrote.
func (t *truth) committed(o *simOwner, rec journal.Record) {
	s := t.s
	stored := s.journal.log
	switch {
	case rec.Number > uint64(len(stored)) || stored[rec.Number-1].Batch != rec.Batch:
		s.fail("%s tells its readers of record %d, which is not in the log", o.name, rec.Number)
	case rec.Number <= o.told:
		s.fail("%s tells its readers of record %d behind record %d", o.name, rec.Number, o.told)
	case o.told > 0 && rec.Number != o.told+1:
		s.fail("%s tells its readers of record %d; it left out %d", o.name, rec.Number, o.told+1)
	}
	o.told = rec.Number
	s.counts["records told to readers"]++
}

// keyID is a key without what does not count.
type keyID struct {
	kind          KeyKind
	client        byte
	number, armed uint64
	name          string
}

func idOf(k Key) keyID {
	return keyID{kind: k.Kind, client: k.Client[0], number: k.Number, armed: k.Armed, name: k.Name}
}

func newTruth(s *sim) *truth {
	t := &truth{s: s, entities: make([]truthEntity, s.mix.entities)}
	for i := range t.entities {
		t.entities[i].keys = map[keyID]int{}
	}
	return t
}

// take judges a record that was stored just now.
func (t *truth) take(rec journal.Record) {
	s := t.s
	if err := CheckOrder(t.prev, rec.Header, t.prev.Number+1); err != nil {
		s.fail("%v", err)
	}
	switch {
	case rec.FirstOffset != t.offset+1:
		s.fail("record %d begins at offset %d, the log has %d events", rec.Number, rec.FirstOffset, t.offset)
	case rec.Time < t.prev.Time && !rec.SetsTime:
		s.fail("record %d: the shard's time runs back by %v", rec.Number, time.Duration(t.prev.Time-rec.Time))
	case rec.Claim && len(rec.Body) > 0 && rec.Events > 0:
		s.fail("claim %d carries events", rec.Number)
	case len(rec.Body) > s.mix.maxRecord+400:
		s.fail("record %d has %d bytes, the limit is %d", rec.Number, len(rec.Body), s.mix.maxRecord)
	}
	if rec.SetsTime {
		for i := range t.entities {
			t.entities[i].time = min(t.entities[i].time, rec.Time)
		}
	}
	before := t.offset
	err := rec.EachEntry(func(b []byte) error { t.entry(rec, b); return nil })
	if err != nil {
		s.fail("record %d: %v", rec.Number, err)
	}
	if t.offset-before != rec.Events {
		s.fail("record %d says that it carries %d events, it carries %d", rec.Number, rec.Events, t.offset-before)
	}
	t.prev = rec.Header
	t.checkHeader(rec.Header)
}

// entry judges one entry of the log.
func (t *truth) entry(rec journal.Record, b []byte) {
	s := t.s
	pb, err := DecodeEntry(b)
	if err != nil {
		s.fail("record %d: %v", rec.Number, err)
	}
	i := indexOfEntity(journal.Entity{ID: pb.GetId()})
	e, n := &t.entities[i], uint64(0)
	n = uint64(len(e.entries)) + 1
	key := keyFrom(pb.GetKey())
	s.log("truth: %s entry %d: %s, key %s, call %s", pb.GetId(), pb.GetEntry(), pb.GetCommand(), key, pb.GetTrace())
	switch {
	case pb.GetEntry() != n:
		s.fail("%s: entry %d is stored behind entry %d", pb.GetId(), pb.GetEntry(), n-1)
	case pb.GetTimeNs() < e.time:
		s.fail("%s: entry %d has a time %v before the one before it", pb.GetId(), n, time.Duration(e.time-pb.GetTimeNs()))
	case pb.GetTimeNs() > rec.Time:
		s.fail("%s: entry %d has a time behind its record's", pb.GetId(), n)
	case key.Kind == NoKey:
		s.fail("%s: entry %d has no key", pb.GetId(), n)
	}
	if first, ok := e.keys[idOf(key)]; ok && (key.Kind != CallerKey || pb.GetTimeNs()-e.entries[first].time <= int64(KeyAge)) {
		s.fail("%s: key %s is stored twice, as entries %d and %d", pb.GetId(), key, first+1, n)
	}
	e.keys[idOf(key)] = int(n) - 1
	x := truthEntry{
		record: rec.Number, time: pb.GetTimeNs(), hash: pb.GetCommandHash(), reply: pb.GetReply(), body: b,
		rejection: rejectionFrom(pb.GetRejection()),
	}
	t.checkOvertaking(e, pb.GetId(), key, x.time)
	for _, ev := range pb.GetEvents() {
		e.state.apply(ev.GetPayload())
		t.offset++
	}
	if pb.GetVersion() != e.state.count {
		s.fail("%s: entry %d has version %d, its events lead to %d", pb.GetId(), n, pb.GetVersion(), e.state.count)
	}
	x.changes = len(pb.GetEvents()) > 0
	e.time, x.state, x.version, x.offset = x.time, e.state, e.state.count, t.offset
	if x.rejection == nil && string(x.reply) != seen(n, e.state) {
		s.fail("%s: entry %d stores the reply %q, the log gives %q", pb.GetId(), n, x.reply, seen(n, e.state))
	}
	t.timers(e, key, pb.GetCancels())
	for _, a := range pb.GetArms() {
		e.drop(a.GetName(), 0)
		e.pending = append(e.pending, truthTimer{name: a.GetName(), armed: n, due: a.GetDueNs()})
		x.arms = append(x.arms, truthTimer{name: a.GetName(), armed: n, due: a.GetDueNs()})
	}
	x.pending = append(x.pending, e.pending...)
	x.call = t.caller(pb.GetTrace(), pb.GetId(), n, x)
	e.entries = append(e.entries, x)
	t.where = append(t.where, place{rec.Number, i, int(n) - 1})
	s.counts["entries"]++
}

// caller finds whose command an entry is, and what that one was told.
func (t *truth) caller(trace, id string, n uint64, x truthEntry) *call {
	if trace == "" {
		t.s.counts["timer fired"]++
		return nil
	}
	number, err := strconv.Atoi(trace)
	if err != nil {
		t.s.fail("%s: entry %d has the trace %q", id, n, trace)
	}
	c := t.s.calls[number]
	if c.notRun() {
		t.s.fail("%s: entry %d is of call %s, which was told %s: %s", id, n, c, c.kind, c.reason)
	}
	if before := x.version - uint64(events(c.op.name)); x.rejection == nil && c.op.hasExpect && c.op.expect != before {
		t.s.fail("%s: entry %d was to run at version %d, it ran at %d", id, n, c.op.expect, before)
	}
	return c
}

func events(command string) int {
	switch command {
	case cmdNote, cmdCancel:
		return 0
	case cmdTwo:
		return 2
	}
	return 1
}

// checkOvertaking: a due timer comes before whatever has a time at or behind it, in due order.
func (t *truth) checkOvertaking(e *truthEntity, id string, key Key, at int64) {
	own := int64(0)
	if key.Kind == TimerKey {
		for _, p := range e.pending {
			if p.name == key.Name && p.armed == key.Armed {
				own = p.due
			}
		}
		switch {
		case own == 0:
			t.s.fail("%s: timer %s armed by entry %d fires although it is not pending", id, key.Name, key.Armed)
		case at < own:
			t.s.fail("%s: timer %s fires %v before it is due", id, key.Name, time.Duration(own-at))
		}
	}
	for _, p := range e.pending {
		if p.due <= at && (own == 0 || p.due < own) {
			t.s.fail("%s: a command of time %v (key %s) overtakes timer %s, which was due %v before", id, time.Duration(at-simStart), key, p.name, time.Duration(at-p.due))
		}
	}
}

func (t *truth) timers(e *truthEntity, key Key, cancels []string) {
	if key.Kind == TimerKey {
		e.drop(key.Name, key.Armed)
	}
	for _, name := range cancels {
		e.drop(name, 0)
	}
}

func (e *truthEntity) drop(name string, armed uint64) {
	for i, p := range e.pending {
		if p.name == name && (armed == 0 || p.armed == armed) {
			e.pending = append(e.pending[:i:i], e.pending[i+1:]...)
			return
		}
	}
}

// checkHeader: what a header says of derived data is true.
func (t *truth) checkHeader(h journal.Header) {
	if h.Flushed >= h.Number {
		t.s.fail("record %d says that %d is flushed", h.Number, h.Flushed)
	}
	late, err := journal.ParseBehind(h.Behind)
	if err != nil {
		t.s.fail("record %d: %v", h.Number, err)
	}
	t.checkFlushed(h.Flushed, late...)
	for i := range t.entities {
		for _, p := range t.entities[i].pending {
			if journal.HourOf(p.due) < h.TimersFromHour {
				t.s.fail("record %d says that no timer is pending before hour %d; %s of %s, armed by entry %d, is: due in hour %d",
					h.Number, h.TimersFromHour, p.name, entityOf(i).ID, p.armed, journal.HourOf(p.due))
			}
		}
	}
}

// checkFlushed tells that pages and index hold everything up to a record, pages of late entities less.
func (t *truth) checkFlushed(record uint64, late ...journal.Late) {
	since := map[int]uint64{}
	for _, l := range late {
		since[indexOfEntity(l.Of)] = l.Record
	}
	var open []place
	for len(t.where) > 0 && t.where[0].record <= record {
		at := t.where[0]
		x := &t.entities[at.entity].entries[at.index]
		from, isLate := since[at.entity]
		if isLate = isLate && at.record >= from; isLate {
			open = append(open, at) // no header has called it flushed yet
		}
		if !x.covered && !isLate {
			t.s.fail("record %d is said to be flushed; entry %d of %s in record %d is in no page", record, at.index+1, entityOf(at.entity).ID, at.record)
		}
		for _, a := range x.arms {
			if !a.indexed {
				t.s.fail("record %d is said to be flushed; timer %s armed by entry %d of %s is not in the index", record, a.name, a.armed, entityOf(at.entity).ID)
			}
		}
		t.where = t.where[1:]
	}
	t.where = append(open, t.where...)
}

// covered marks what a page holds, and that it holds the truth.
func (t *truth) covered(p journal.Page) {
	e := &t.entities[indexOfEntity(p.Of)]
	n := p.First
	for b := p.Body; len(b) > 0; n++ {
		entry, k := pageEntry(b)
		switch {
		case k == 0:
			t.s.fail("a page of %s cannot be read", p.Of.ID)
		case n > uint64(len(e.entries)):
			t.s.fail("a page of %s holds entry %d, which is not committed", p.Of.ID, n)
		case !bytes.Equal(e.entries[n-1].body, entry):
			t.s.fail("a page of %s holds another entry %d than the log", p.Of.ID, n)
		}
		e.entries[n-1].covered = true
		b = b[k:]
	}
	if n != p.Last+1 {
		t.s.fail("a page of %s says that it holds entries %d to %d, it holds them to %d", p.Of.ID, p.First, p.Last, n-1)
	}
}

func (t *truth) indexed(x journal.Timer) {
	e := &t.entities[indexOfEntity(x.Of)]
	if x.Armed > uint64(len(e.entries)) {
		t.s.fail("the index gets a timer of %s armed by entry %d, which is not committed", x.Of.ID, x.Armed)
	}
	arms := e.entries[x.Armed-1].arms
	for i := range arms {
		if arms[i].name == x.Name && arms[i].due == x.Due {
			arms[i].indexed = true
			return
		}
	}
	t.s.fail("the index gets timer %s of %s armed by entry %d, which armed none", x.Name, x.Of.ID, x.Armed)
}

// checkDerived judges a job before it is written.
func (t *truth) checkDerived(o *simOwner, d *Derive) {
	if d.UpTo > uint64(len(t.s.journal.log)) {
		t.s.fail("%s derives up to record %d; the log ends at %d", o.name, d.UpTo, len(t.s.journal.log))
	}
	for _, x := range d.Disarms {
		e := &t.entities[indexOfEntity(x.Of)]
		for _, p := range e.pending {
			if p.name == x.Name && p.armed == x.Armed {
				t.s.fail("%s takes timer %s of %s from the index; it is pending", o.name, x.Name, x.Of.ID)
			}
		}
	}
	for _, x := range d.Snapshots {
		t.checkSnapshot(o, x)
	}
}

// checkSnapshot: a stored state is the fold of committed entries.
func (t *truth) checkSnapshot(o *simOwner, x journal.Snapshot) {
	e := &t.entities[indexOfEntity(x.Of)]
	if x.Entry == 0 || x.Entry > uint64(len(e.entries)) {
		t.s.fail("%s stores a snapshot of %s at entry %d; %d are committed", o.name, x.Of.ID, x.Entry, len(e.entries))
	}
	pb, image, err := ReadSnapshot(x.Body)
	if err != nil {
		t.s.fail("%s stores a snapshot that cannot be read: %v", o.name, err)
	}
	want := &e.entries[x.Entry-1]
	switch {
	case decodeState(pb.GetState()) != want.state:
		t.s.fail("%s stores a snapshot of %s at entry %d with the state %s; the log gives %s", o.name, x.Of.ID, x.Entry,
			seen(x.Entry, decodeState(pb.GetState())), seen(x.Entry, want.state))
	case image.Version != want.version || image.Entry != x.Entry:
		t.s.fail("%s stores a snapshot of %s at entry %d that says entry %d, version %d", o.name, x.Of.ID, x.Entry, image.Entry, image.Version)
	case len(image.timers) != len(want.pending):
		t.s.fail("%s stores a snapshot of %s at entry %d with %d timers; %d are pending", o.name, x.Of.ID, x.Entry, len(image.timers), len(want.pending))
	}
	for _, p := range want.pending {
		found := false
		for _, q := range image.timers {
			found = found || q.Name == p.name && q.Armed == p.armed && q.Due == p.due
		}
		if !found {
			t.s.fail("%s stores a snapshot of %s at entry %d without timer %s", o.name, x.Of.ID, x.Entry, p.name)
		}
	}
}

// lastDue is when the last pending timer is due; 0 if none is pending.
func (t *truth) lastDue() (last int64) {
	for i := range t.entities {
		for _, p := range t.entities[i].pending {
			last = max(last, p.due)
		}
	}
	return last
}

func (t *truth) describePending() string {
	var b strings.Builder
	for i := range t.entities {
		for _, p := range t.entities[i].pending {
			fmt.Fprintf(&b, "%s of %s, armed by entry %d, due %v ago; ", p.name, entityOf(i).ID, p.armed, time.Duration(t.s.now-p.due))
		}
	}
	return b.String()
}
