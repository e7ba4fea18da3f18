package shard

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// Entity is one entity as the machine knows it. Hosts use it as a handle.
type Entity struct {
	Of journal.Entity
	// Host is the host's own: the entity's actor while it is live.
	Host any
	// Recovery is the host's own, too: what it knows of the recovery under way.
	Recovery any

	Image
	state      entityState
	busy       bool // the actor has a command
	stalled    bool // waits until the journal has caught up
	firing     bool // a timer's hint was due
	snapping   bool // a snapshot is being made
	kept       bool // Image is valid though the entity is not live
	generation uint64
	running    *Command
	queue      fifo[*Command]
	record     uint64 // that carries its newest entry, if that is not in the pages
	unflushed  []stored
	pinned     int   // bytes of unflushed
	late       bool  // its pages fail while others' do not
	hint       int64 // earliest hint at its timers

	// Snapshots: bytes stored since the newest and what they were when the state was encoded last, the size
	// that it had then, when it was asked for.
	since, weighed, snapSize int
	snapAt                   int64

	bytes int // about what its state takes

	// Recovery that failed: why it is of no use to try again soon, or else what happened, and when to try again.
	broken  string
	trouble string
	backoff time.Duration
	retryAt int64
	// retryHint is a hint that is there for commands that wait for the retry, not for timers; 0 if there is none.
	retryHint int64
	// troubled tells that it is in the machine's list of those remembered for their failed recovery.
	troubled bool
	// wantedUntil is when the last command that waits for its recovery gives up.
	wantedUntil int64

	lruPrev, lruNext *Entity
	used             int64
}

type entityState uint8

const (
	absent entityState = iota
	recovering
	live
)

// Image is what the machine keeps of an entity beside the handler's state: it follows from
// the entries alone.
type Image struct {
	Entry, Version uint64
	window         window
	timers         []Pending
}

// stored is an entry that the pages do not hold yet.
type stored struct {
	record, entry uint64
	body          []byte
	index         indexed
}

// Recover asks to rebuild an entity from snapshot, pages and Pinned, up to entry UpTo
// if that is not 0. The host reports Recovered with the same generation.
type Recover struct {
	Entity     *Entity
	Generation uint64
	// Pinned is the entries that pages may not hold, in order.
	Pinned [][]byte
	// Wanted tells that commands wait for it, Retry that it failed before.
	Wanted, Retry bool
	// Until is when, by the host's clock, the last of those who want it gives up. If its turn comes later, the host
	// may skip it. An Await moves it.
	Until int64
	// UpTo is the newest entry that must be found; 0 if the machine does not know.
	UpTo uint64
}

// Await tells that the recovery of an entity is wanted for longer.
type Await struct {
	Entity *Entity
	Until  int64
}

// Recovered is a rebuilt entity.
type Recovered struct {
	Entity     *Entity
	Generation uint64
	Image      Image
	// Host becomes Entity.Host. Bytes is about what the state takes, Since what was stored since
	// the snapshot of SnapshotBytes.
	Host                        any
	Bytes, Since, SnapshotBytes int
	// Err tells why it could not be rebuilt. Broken: trying again soon is of no use,
	// what is stored cannot be understood.
	Err    error
	Broken bool
	// Skipped tells that it was not tried: nobody wanted it any more when its turn came.
	Skipped bool
}

// Stop ends the actor of an entity that leaves memory. Host is what Recovered gave.
type Stop struct{ Host any }

// wakeUp starts the recovery of an entity that is wanted.
func (m *Machine) wakeUp(e *Entity) {
	switch {
	case e.state == recovering:
	case e.queue.len() == 0 && !e.firing:
		m.retire(e)
	case e.retryAt > m.now && e.broken != "":
		for e.queue.len() > 0 {
			m.end(e.queue.pop(), Failed, e.broken)
		}
		if e.firing {
			m.lookAt(e, e.retryAt)
		}
		m.retire(e)
	case e.retryAt > m.now:
		if m.lookAt(e, e.retryAt) && !e.firing {
			e.retryHint = e.retryAt
		}
	default:
		e.state = recovering
		e.awaited()
		r := Recover{Entity: e, Generation: e.generation, Wanted: e.queue.len() > 0, Retry: e.backoff > 0, Until: e.wantedUntil}
		for i := range e.unflushed {
			r.Pinned = append(r.Pinned, e.unflushed[i].body)
			r.UpTo = e.unflushed[i].entry
		}
		m.out.Recovers = append(m.out.Recovers, r)
	}
}

// Recovered takes in a rebuilt entity, or why it could not be rebuilt.
func (m *Machine) Recovered(now int64, r *Recovered) {
	m.observe(now)
	e := r.Entity
	if m.phase != Serving || e.generation != r.Generation || e.state != recovering {
		if r.Host != nil {
			m.out.Stops = append(m.out.Stops, Stop{r.Host})
		}
		return
	}
	if r.Skipped {
		m.notWanted(e)
		m.advance()
		return
	}
	if r.Err != nil {
		m.notRecovered(e, r)
		m.advance()
		return
	}
	e.Host, e.state = r.Host, live
	// Another owner's pages may lead beyond what was kept: then the state is theirs, and so is the image.
	if !e.kept || e.Entry != r.Image.Entry {
		e.Image = r.Image
	}
	e.kept = false
	e.broken, e.trouble, e.backoff, e.retryAt, e.retryHint = "", "", 0, 0, 0
	e.bytes, e.since, e.snapSize, e.snapAt = r.Bytes, r.Since, r.SnapshotBytes, m.now
	e.weighed = 0
	m.rememberRecords(e)
	m.live++
	m.liveBytes += e.bytes
	m.touch(e)
	e.queue.each(func(c **Command) { (*c).Recovered = m.now })
	m.hintAt(e)
	m.pump(e)
	m.advance()
}

// notRecovered tells the waiting commands, or tries again.
func (m *Machine) notRecovered(e *Entity, r *Recovered) {
	e.state = absent
	before := e.backoff
	e.backoff, e.broken, e.trouble = grow(before), "", r.Err.Error()
	// What is not committed may contradict the pages of another who has overtaken us: that append will tell.
	if r.Broken && e.record <= m.last.Number {
		e.backoff = min(max(time.Second, 2*before), time.Minute)
		e.broken = fmt.Sprintf("%s %q cannot be recovered: %v", e.Of.Type, e.Of.ID, r.Err)
		m.out.Failures = append(m.out.Failures, e.broken)
	}
	e.retryAt = m.now + int64(e.backoff)
	e.skipAnswered()
	m.wakeUp(e)
}

// rememberRecords marks the remembered answers that are not committed yet.
func (m *Machine) rememberRecords(e *Entity) {
	for i := range e.unflushed {
		if s := &e.unflushed[i]; s.record > m.last.Number {
			e.window.eachAnswer(func(a *answer) {
				if a.entry == s.entry {
					a.record = s.record
				}
			})
		}
	}
}

func (w *window) eachAnswer(visit func(*answer)) {
	for i := range w.clients {
		for j := range w.clients[i].answers {
			visit(&w.clients[i].answers[j].answer)
		}
	}
	for _, a := range w.order {
		visit(&a.answer)
	}
}

// pin holds an entry until the pages have it.
func (m *Machine) pin(e *Entity, s stored) {
	if len(e.unflushed) == 0 {
		m.derive.dirty = append(m.derive.dirty, e)
	}
	e.unflushed = append(e.unflushed, s)
	e.since += len(s.body)
	e.bytes += len(s.body) / 2 // until a snapshot tells
	e.record = s.record
	if !e.late && m.derive.waiting() == 0 {
		m.derive.since = m.now
	}
	m.weigh(e, len(s.body))
	if e.state == live {
		m.liveBytes += len(s.body) / 2
	}
}

// rebuild ends an actor whose state cannot be trusted; the next command starts another.
// What the machine itself knows of the entity stays.
func (m *Machine) rebuild(e *Entity) {
	image := e.Image
	m.leaveMemory(e)
	e.Image, e.kept = image, true
}

// rollBack takes an entity back to what is committed.
func (m *Machine) rollBack(e *Entity, why string) {
	kept := e.unflushed[:0]
	for _, s := range e.unflushed {
		if s.record <= m.last.Number {
			kept = append(kept, s)
		} else {
			m.weigh(e, -len(s.body))
		}
	}
	clear(e.unflushed[len(kept):])
	e.unflushed = kept
	if e.running != nil {
		m.end(e.running, Unavailable, why)
	}
	m.leaveMemory(e)
	if !e.firing { // a timer that had fired may be pending again
		e.firing = true
		m.timers.firing++
	}
	m.pump(e)
}

// leaveMemory stops the actor. What the journal's pages do not hold stays pinned.
func (m *Machine) leaveMemory(e *Entity) {
	m.stopActor(e)
	if e.state == live {
		m.live--
		m.liveBytes -= e.bytes
		m.lru.remove(e)
	}
	e.state, e.busy, e.running, e.snapping, e.kept = absent, false, nil, false, false
	e.generation++
	e.record = 0
	if n := len(e.unflushed); n > 0 {
		e.record = e.unflushed[n-1].record
	}
	e.Image = Image{}
}

func (m *Machine) stopActor(e *Entity) {
	if e.Host != nil {
		m.out.Stops = append(m.out.Stops, Stop{e.Host})
		e.Host = nil
	}
}

// retire forgets an entity that nobody wants and that holds nothing.
func (m *Machine) retire(e *Entity) {
	if m.idle(e) {
		if e.retryAt > m.now {
			m.rememberTrouble(e)
			return
		}
		delete(m.entities, e.Of)
		m.shrink()
	}
}

// shrink gives back the memory of a map that once was much larger: deleting does not.
func (m *Machine) shrink() {
	const worthwhile = 1024
	m.peak = max(m.peak, len(m.entities)+1)
	if m.peak < worthwhile || len(m.entities) > m.peak/4 {
		return
	}
	m.peak = len(m.entities)
	smaller := make(map[journal.Entity]*Entity, 2*m.peak)
	maps.Copy(smaller, m.entities)
	m.entities = smaller
}

// Evict lets up to n entities leave memory, those longest without a command first.
func (m *Machine) Evict(now int64, n int) {
	m.observe(now)
	for e := m.lru.oldest; e != nil && n > 0; {
		younger := e.lruNext
		if m.passivate(e) {
			n--
		}
		e = younger
	}
	// Those left hold what the pages do not have yet: once these have it, the rest leaves.
	m.evictions = n
	m.derive.wanted = n > 0
	m.maybeDerive()
}

// passivateIdle lets entities leave that had no command for a while.
func (m *Machine) passivateIdle() {
	for e := m.lru.oldest; e != nil && e.used+int64(m.cfg.IdleAfter) <= m.now; {
		younger := e.lruNext
		if !m.passivate(e) {
			m.touch(e) // look again later
		}
		e = younger
	}
}

// passivate reports whether the entity could leave: it has nothing to do and
// nothing that is not in the pages.
func (m *Machine) passivate(e *Entity) bool {
	if e.state != live || e.busy || e.stalled || e.firing || e.snapping || e.queue.len() > 0 || len(e.unflushed) > 0 {
		return false
	}
	m.leaveMemory(e)
	m.retire(e)
	return true
}

func (e *Entity) skipAnswered() {
	for e.queue.len() > 0 && (*e.queue.front()).answered {
		e.queue.pop()
	}
}

// touch makes the entity the one used last.
func (m *Machine) touch(e *Entity) {
	if e.used == m.now && m.lru.newest == e {
		return
	}
	m.lru.remove(e)
	e.used = m.now
	m.lru.add(e)
}

// lru orders the live entities by their last use.
type lru struct{ oldest, newest *Entity }

func (l *lru) add(e *Entity) {
	e.lruPrev = l.newest
	if l.newest == nil {
		l.oldest = e
	} else {
		l.newest.lruNext = e
	}
	l.newest = e
}

func (l *lru) remove(e *Entity) {
	if l.oldest != e && e.lruPrev == nil {
		return // not in the list
	}
	if e.lruPrev == nil {
		l.oldest = e.lruNext
	} else {
		e.lruPrev.lruNext = e.lruNext
	}
	if e.lruNext == nil {
		l.newest = e.lruPrev
	} else {
		e.lruNext.lruPrev = e.lruPrev
	}
	e.lruPrev, e.lruNext = nil, nil
}

func (l *lru) wake(idle time.Duration) int64 {
	if l.oldest == nil {
		return 0
	}
	return l.oldest.used + int64(idle)
}

// arm makes a timer pending and returns the one that it replaces.
func (i *Image) arm(a Arm, armed uint64) *Pending {
	old := i.disarm(a.Name, 0)
	i.timers = append(i.timers, Pending{Arm: a, Armed: armed})
	return old
}

// disarm ends the pending timer of that name, if it was armed by that entry (0: by any).
func (i *Image) disarm(name string, armed uint64) *Pending {
	for j := range i.timers {
		if p := i.timers[j]; p.Name == name && (armed == 0 || p.Armed == armed) {
			i.timers = slices.Delete(i.timers, j, j+1)
			return &p
		}
	}
	return nil
}

// ReadSnapshot reads a stored snapshot.
func ReadSnapshot(body []byte) (*logv1.Snapshot, Image, error) {
	pb := &logv1.Snapshot{}
	if err := proto.Unmarshal(body, pb); err != nil {
		return nil, Image{}, fmt.Errorf("decode a snapshot: %w", err)
	}
	i := Image{Entry: pb.GetEntry(), Version: pb.GetVersion(), window: decodeWindow(pb.GetWindow())}
	for _, p := range pb.GetTimers() {
		a := p.GetArm()
		i.timers = append(i.timers, Pending{
			Arm:   Arm{Name: a.GetName(), Due: a.GetDueNs(), Command: a.GetCommand(), Payload: a.GetPayload()},
			Armed: p.GetArmed(),
		})
	}
	return pb, i, nil
}
