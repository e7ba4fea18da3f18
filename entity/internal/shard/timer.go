package shard

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// timers knows when to look at which entity. It holds hints: whether a timer is
// still pending is told by the entity's state alone. Hints reach up to the
// horizon; what is due later stays in the index until the horizon comes there.
type timers struct {
	hints   hints
	horizon int64 // Unix hour: memory hints at what is due before it
	loaded  int64 // Unix hour: the index was read up to it
	loading bool
	retryAt int64
	firing  int // entities whose hint was due and that were not looked at since

	// from is the hour that headers tell: no timer armed by then is pending before it.
	from int64
	// next is what from becomes once record is committed; 0 for none.
	next, record int64
}

// hint says that an entity may have a timer due at that time.
type hint struct {
	at int64
	of journal.Entity
}

type hints []hint

func (h hints) Len() int { return len(h) }
func (h hints) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].at, h[j].at), cmp.Compare(h[i].of.Type, h[j].of.Type), cmp.Compare(h[i].of.ID, h[j].of.ID)) < 0
}
func (h hints) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *hints) Push(x any)   { *h = append(*h, x.(hint)) }
func (h *hints) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = hint{}
	*h = old[:len(old)-1]
	return x
}

func (t *timers) wake() int64 {
	at := t.retryAt
	if !t.loading && t.retryAt == 0 {
		at = (t.horizon - 1) * int64(time.Hour)
	}
	if len(t.hints) > 0 {
		at = earliest(at, max(t.hints[0].at, 1))
	}
	return at
}

// lower takes in that a timer is armed for that hour.
func (t *timers) lower(hour int64) {
	t.from = min(t.from, hour)
	t.next = min(t.next, hour)
}

// plan notes what from may become once everything up to record is committed.
func (t *timers) plan(record uint64) {
	if t.firing > 0 || t.loaded < t.horizon || t.record != 0 {
		return
	}
	t.next, t.record = t.horizon, int64(record)
	if len(t.hints) > 0 {
		t.next = min(t.next, journal.HourOf(t.hints[0].at))
	}
}

// committed lets from rise if its time has come.
func (t *timers) committed(record uint64) {
	if t.record != 0 && uint64(t.record) <= record {
		t.from, t.record = max(t.from, t.next), 0
	}
}

// add hints at an entity, if that is within the horizon.
func (t *timers) add(at int64, of journal.Entity) bool {
	if journal.HourOf(at) >= t.horizon {
		return false
	}
	heap.Push(&t.hints, hint{at, of})
	return true
}

// TimersLoaded takes the indexed timers of the hours that were asked for.
func (m *Machine) TimersLoaded(now int64, asked HourRange, found []journal.Timer, err error) {
	m.observe(now)
	if m.phase >= Fenced || !m.timers.loading {
		return
	}
	m.timers.loading = false
	switch {
	case err != nil && m.phase == Starting:
		m.claimLater(err)
		return
	case err != nil:
		m.timers.retryAt = m.now + int64(lastBackoff)
		return
	}
	m.timers.loaded = asked.To
	for i := range found {
		m.timers.add(found[i].Due, found[i].Of)
	}
	if m.phase == Starting {
		m.serve()
		return
	}
	m.fireTimers()
	m.advance()
}

// loadTimers asks for what the index holds up to the horizon. Memory hints at its
// own timers first: their rows may not be written yet.
func (m *Machine) loadTimers() {
	t := &m.timers
	t.retryAt, t.loading = 0, true
	t.horizon = max(t.horizon, journal.HourOf(max(m.time, m.now))+2)
	for _, e := range m.entities {
		for i := range e.unflushed {
			for _, arm := range e.unflushed[i].index.arms {
				t.add(arm.Due, e.Of)
			}
		}
		e.hint = 0
		m.hintAt(e)
	}
	m.out.LoadTimers = &HourRange{From: min(t.loaded, t.horizon), To: t.horizon}
}

// advanceHorizon loads the next hour of the index in good time.
func (m *Machine) advanceHorizon() {
	t := &m.timers
	if t.loading || t.retryAt > m.now {
		return
	}
	if t.retryAt != 0 || journal.HourOf(m.now)+1 >= t.horizon {
		m.loadTimers()
	}
}

// fireTimers looks at the entities whose hints are due.
func (m *Machine) fireTimers() {
	if m.draining {
		return
	}
	m.advanceHorizon()
	// By the clock alone: hints at retries are times of the clock, and the shard's time may be ahead.
	for len(m.timers.hints) > 0 && m.timers.hints[0].at <= m.now {
		h := heap.Pop(&m.timers.hints).(hint)
		e := m.entity(h.of)
		if e.hint == h.at {
			e.hint = 0
		}
		if !e.firing && !e.retries(h.at) {
			e.firing = true
			m.timers.firing++
		}
		m.pump(e)
	}
}

// looked tells that no timer of the entity is due.
func (m *Machine) looked(e *Entity) {
	if e.firing {
		e.firing = false
		m.timers.firing--
		m.hintAt(e)
	}
}

// dueTimer returns the live entity's earliest timer that is due now.
func (m *Machine) dueTimer(e *Entity) *Pending {
	if len(e.timers) == 0 || m.bug == bugLateTimer && e.queue.len() > 0 {
		return nil
	}
	at := max(m.time, m.now)
	var due *Pending
	for i := range e.timers {
		if p := &e.timers[i]; p.Due <= at && (due == nil || p.Due < due.Due) {
			due = p
		}
	}
	return due
}

// hintAt makes sure that the entity's earliest timer is looked at in time.
func (m *Machine) hintAt(e *Entity) {
	var at int64
	for i := range e.timers {
		at = earliest(at, max(e.timers[i].Due, e.timers[i].retryAt, 1))
	}
	if at != 0 {
		m.lookAt(e, at)
	}
}

// lookAt hints at an entity at that time, unless it is looked at before: whoever looks then and
// finds that it is too early hints again.
func (m *Machine) lookAt(e *Entity, at int64) (hinted bool) {
	if e.hint != 0 && e.hint <= at {
		return false
	}
	hinted = m.timers.add(at, e.Of)
	if hinted {
		e.hint = at
	}
	return hinted
}

// dispatchTimer runs the command of a due timer.
func (m *Machine) dispatchTimer(e *Entity, p *Pending) {
	c := &Command{
		To: e.Of, Name: p.Command, Payload: p.Payload, Arrived: m.now,
		Key: Key{Kind: TimerKey, Name: p.Name, Armed: p.Armed}, Cause: "timer " + p.Name,
	}
	m.touch(e)
	m.dispatch(e, Handle{Entity: e, Command: c, Entry: e.Entry + 1, Version: e.Version, Pending: len(e.timers), StoreNo: true})
}

// timerFailed puts a failing timer off. It stays pending, and visible.
func (m *Machine) timerFailed(e *Entity, k *Key, why string) {
	const first, last = 100 * time.Millisecond, time.Minute
	for i := range e.timers {
		p := &e.timers[i]
		if p.Name == k.Name && p.Armed == k.Armed {
			p.attempts++
			p.lastError = why
			p.retryAt = m.now + int64(min(first<<min(p.attempts-1, 12), last))
		}
	}
	m.out.Failures = append(m.out.Failures, "timer "+k.Name+" of "+e.Of.Type+" "+e.Of.ID+": "+why)
	m.hintAt(e)
}

// indexed is what an entry changes in the timer index.
type indexed struct{ arms, disarms []journal.Timer }

// applyTimers changes the entity's pending timers as a stored command says.
func (m *Machine) applyTimers(e *Entity, k *Key, h *Handled) indexed {
	if k.Kind != TimerKey && len(h.Arms) == 0 && len(h.Cancels) == 0 {
		return indexed{}
	}
	var x indexed
	if k.Kind == TimerKey {
		x.disarm(e.Of, e.disarm(k.Name, k.Armed))
	}
	for _, name := range h.Cancels {
		x.disarm(e.Of, e.disarm(name, 0))
	}
	for _, a := range h.Arms {
		x.disarm(e.Of, e.arm(a, h.Handle.Entry))
		x.arms = append(x.arms, journal.Timer{Of: e.Of, Name: a.Name, Armed: h.Handle.Entry, Due: a.Due})
		m.timers.lower(journal.HourOf(a.Due))
	}
	m.hintAt(e)
	return x
}

func (x *indexed) disarm(of journal.Entity, p *Pending) {
	if p != nil {
		x.disarms = append(x.disarms, journal.Timer{Of: of, Name: p.Name, Armed: p.Armed, Due: p.Due})
	}
}

// indexOf reads the armings of a stored entry. What it disarmed cannot be told from it
// alone; a row that is left over only costs a look.
func indexOf(of journal.Entity, e *Entry) indexed {
	var x indexed
	for _, a := range e.Arms {
		x.arms = append(x.arms, journal.Timer{Of: of, Name: a.Name, Armed: e.Number, Due: a.Due})
	}
	return x
}
