package shard

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/journal"
)

// simOwner hosts one machine as entity.Host does, with a clock of its own.
type simOwner struct {
	s        *sim
	name     string
	m        *Machine
	skew     int64
	dead     bool // crashed or closed: it takes nothing in any more
	aborted  bool
	fenced   bool
	draining bool

	told   uint64 // the newest record that its readers know
	wakeAt int64  // by the machine's clock; 0: no tick is planned
	ticket uint64
	idle   int // ticks in a row that brought nothing, although Wake had asked for them
}

// startOwner starts another owner: it will take the shard from whoever holds it.
func (s *sim) startOwner() *simOwner {
	s.started++
	o := &simOwner{s: s, name: fmt.Sprintf("n%d", s.started)}
	if s.mix.skew > 0 {
		o.skew = int64((s.rng.Float64()*2 - 1) * float64(s.mix.skew))
	}
	reset := s.chance(s.mix.resetTime)
	o.m = New(Config{
		Shard: 7, Node: o.name, NewBatch: s.newBatch, MaxRecordBytes: s.mix.maxRecord,
		FlushBytes: s.mix.flushBytes, StallBytes: s.mix.stallBytes, FlushAfter: s.mix.flushAfter, SnapshotBytes: s.mix.snapshotBytes,
		IdleAfter: s.mix.idleAfter, ResetTime: reset,
	})
	o.m.bug = s.bug
	s.owners = append(s.owners, o)
	s.counts["owners"]++
	s.log("%s starts, skew %v, sets time %v", o.name, time.Duration(o.skew), reset)
	o.input(o.m.Start)
	return o
}

func (s *sim) newBatch() (b journal.Batch) {
	s.batches++
	binary.BigEndian.PutUint64(b[:], s.batches)
	return b
}

// alive returns the owners that take commands in, oldest first.
func (s *sim) alive() []*simOwner {
	out := make([]*simOwner, 0, len(s.owners))
	for _, o := range s.owners {
		if !o.dead {
			out = append(out, o)
		}
	}
	return out
}

// lifecycle starts, crashes, drains and disturbs owners until the quiet.
func (s *sim) lifecycle() {
	if s.mix.disturbEvery == 0 {
		return
	}
	s.after(s.pause(s.mix.disturbEvery), func() {
		if s.calm {
			return
		}
		s.disturb()
		s.lifecycle()
	})
	if s.started == 1 {
		s.after(s.pause(time.Minute), s.journal.sweep)
	}
}

func (s *sim) disturb() {
	alive := s.alive()
	if len(alive) == 0 {
		s.startOwner()
		return
	}
	o := alive[s.rng.IntN(len(alive))]
	switch x := s.rng.Float64(); {
	case x < s.mix.takeover:
		if len(alive) < 3 {
			s.startOwner()
		}
	case x < s.mix.takeover+s.mix.crash:
		s.log("%s crashes", o.name)
		s.counts["crash"]++
		o.dead = true
	case x < s.mix.takeover+s.mix.crash+s.mix.abort:
		s.log("%s <- abort", o.name)
		s.counts["abort"]++
		o.aborted = true
		o.input(func(now int64) { o.m.Abort(now, "the host gives up") })
		o.dead = true
	case x < s.mix.takeover+s.mix.crash+s.mix.abort+s.mix.drain:
		s.log("%s <- drain", o.name)
		s.counts["drain"]++
		o.draining = true
		o.input(func(now int64) { o.m.Drain(now) })
	case s.mix.diskFull > 0 && s.chance(s.mix.diskFull):
		s.journal.full = !s.journal.full
		s.log("disk full: %v", s.journal.full)
	case s.mix.jump > 0 && s.coin():
		o.jump()
		s.log("%s's clock jumps, skew now %v", o.name, time.Duration(o.skew))
		o.schedule()
	case s.coin():
		n := s.rng.IntN(3) + 1
		s.log("%s <- evict %d", o.name, n)
		s.counts["evict"]++
		o.input(func(now int64) { o.m.Evict(now, n) })
	default:
		o.tick()
	}
}

// jump moves the owner's clock: a little back, or forth by as much as it likes.
func (o *simOwner) jump() {
	by := (o.s.rng.Float64()*2 - 1) * float64(o.s.mix.jump)
	o.skew += int64(max(by, -float64(5*time.Second)))
	o.skew = min(o.skew, int64(2*time.Hour))
}

func (o *simOwner) clock() int64 { return o.s.now + o.skew }

// input lets something happen to the machine, and does what it asks for then.
func (o *simOwner) input(f func(now int64)) {
	if o.dead {
		return
	}
	o.s.inputs++
	f(o.clock())
	o.perform()
}

func (o *simOwner) perform() {
	s, r := o.s, o.m.Ready()
	if r.NeedSlot {
		r.NeedSlot = false
		if s.coin() {
			o.m.Slot(o.clock())
		} else {
			s.after(s.pause(s.mix.latency), func() { o.input(func(now int64) { o.m.Slot(now) }) })
		}
	}
	o.toJournal(r)
	for i := range r.Encodes {
		x := r.Encodes[i]
		x.Entity.Host.(*simActor).send(actorMail{encode: &Encoded{Encode: x}})
	}
	for i := range r.Handles {
		h := r.Handles[i]
		h.Entity.Host.(*simActor).send(actorMail{handled: &Handled{Handle: h}})
	}
	for _, x := range r.Stops {
		x.Host.(*simActor).stopped = true
	}
	for i := range r.Recovers {
		o.recover(r.Recovers[i])
	}
	for i := range r.Answers {
		o.answer(&r.Answers[i])
	}
	for _, rec := range r.Committed {
		s.truth.committed(o, rec)
	}
	for _, f := range r.Failures {
		s.log("%s: %s", o.name, f)
		s.counts["failures told"]++
	}
	o.m.Done()
	o.watch()
	o.schedule()
}

func (o *simOwner) toJournal(r *Ready) {
	s := o.s
	if a := r.Append; a != nil {
		s.log("%s -> append %d, claim %v, %d events, retry %v", o.name, a.Record.Number, a.Record.Claim, a.Record.Events, a.Retry)
		s.counts["append"]++
		if a.Retry {
			s.counts["append repeated"]++
		}
		s.journal.append(o, a)
	}
	if r.Check != nil {
		s.log("%s -> check %d", o.name, r.Check.Number)
		s.counts["check"]++
		s.journal.tail(o, r.Check)
	}
	if r.ReadHead {
		s.journal.head(o)
	}
	if r.ReadLog != nil {
		s.journal.read(o, r.ReadLog)
	}
	if r.LoadTimers != nil {
		s.journal.readTimers(o, *r.LoadTimers)
	}
	if d := r.Derive; d != nil {
		s.log("%s -> derive up to %d: %d pages, %d arms, %d disarms, %d snapshots", o.name, d.UpTo, len(d.Pages), len(d.Arms), len(d.Disarms), len(d.Snapshots))
		s.counts["derive"]++
		s.counts["snapshots"] += len(d.Snapshots)
		s.journal.derive(o, d)
	}
}

// watch looks at the machine's phase after each input.
func (o *simOwner) watch() {
	if o.s.inputs%8 == 0 {
		o.checkBooks()
	}
	switch i := o.m.Info(); {
	case i.Phase == Halted && !o.aborted:
		o.s.fail("%s halts: %s", o.name, i.Reason)
	case i.Phase == Fenced && !o.fenced:
		o.s.counts["fenced"]++
		o.s.log("%s is fenced: %s", o.name, i.Reason)
		o.fenced, o.draining = true, true
		o.s.after(o.s.pause(10*o.s.mix.latency), func() { o.dead = true })
	case o.draining && i.Phase == Serving && o.m.Drained() && !o.s.calm && o.s.coin():
		o.s.counts["drained"]++
		o.s.log("%s is drained and ends", o.name)
		o.dead = true
	}
}

// schedule plans the next tick, as the host's one timer does.
func (o *simOwner) schedule() {
	at := o.m.Wake()
	if at == 0 || o.dead {
		return
	}
	if o.wakeAt != 0 && o.wakeAt <= at && o.skew == 0 {
		return
	}
	o.wakeAt = at
	o.ticket++
	ticket := o.ticket
	o.s.at(max(at-o.skew, o.s.now+int64(time.Millisecond)), func() {
		if ticket == o.ticket {
			o.tick()
		}
	})
}

// tick wakes the machine and notices when waking it is of no use.
func (o *simOwner) tick() {
	if o.dead {
		return
	}
	o.wakeAt = 0
	asked := o.m.Wake()
	o.s.log("%s <- tick, asked for %v", o.name, time.Duration(asked-simStart))
	quiet := true
	o.input(func(now int64) {
		o.m.Tick(now)
		r := o.m.Ready()
		quiet = len(r.Answers)+len(r.Stops)+len(r.Recovers)+len(r.Handles)+len(r.Encodes) == 0 &&
			!r.NeedSlot && r.Append == nil && r.Check == nil && !r.ReadHead && r.ReadLog == nil && r.LoadTimers == nil && r.Derive == nil
	})
	if next := o.m.Wake(); quiet && asked != 0 && next != 0 && next <= o.m.now && asked <= o.m.now {
		o.idle++
	} else {
		o.idle = 0
	}
	if o.idle > 20 {
		o.s.fail("%s spins: Wake tells a time that has come, Tick changes nothing", o.name)
	}
}

// recover rebuilds an entity as the host does: snapshot, then pages, then pins, then the
// log where these leave a hole. Time passes in between.
func (o *simOwner) recover(x Recover) {
	s := o.s
	s.counts["recovery"]++
	s.log("%s -> recover %s, %d pinned, up to %d", o.name, x.Entity.Of.ID, len(x.Pinned), x.UpTo)
	fail := func(broken bool) {
		s.counts["recovery failed"]++
		s.after(s.pause(s.mix.latency), func() {
			o.input(func(now int64) {
				s.log("%s <- not recovered %s, broken %v", o.name, x.Entity.Of.ID, broken)
				o.m.Recovered(now, &Recovered{Entity: x.Entity, Generation: x.Generation, Err: errNoAnswer, Broken: broken})
			})
		})
	}
	if s.chance(s.mix.recoveryFails) {
		fail(s.chance(s.mix.recoveryBroken))
		return
	}
	r := &simRebuilt{of: x.Entity.Of, ahead: map[uint64][]byte{}}
	s.after(s.pause(s.mix.latency), func() {
		if o.clock() >= x.Entity.wantedUntil {
			s.counts["recovery skipped"]++
			o.input(func(now int64) {
				s.log("%s <- nobody wants %s any more", o.name, x.Entity.Of.ID)
				o.m.Recovered(now, &Recovered{Entity: x.Entity, Generation: x.Generation, Skipped: true})
			})
			return
		}
		r.snapshot(s)
		s.after(s.pause(s.mix.latency), func() { o.rebuildFrom(r, x, fail) })
	})
}

func (o *simOwner) rebuildFrom(r *simRebuilt, x Recover, fail func(bool)) {
	s := o.s
	for _, p := range s.journal.pages[indexOfEntity(r.of)] {
		if p.Last > r.image.Entry {
			r.page(s, p)
		}
	}
	for _, b := range x.Pinned {
		r.add(s, b)
	}
	if r.err == nil && (len(r.ahead) > 0 || r.image.Entry < x.UpTo) {
		s.counts["recovery from the log"]++
		r.fromLog(s)
		if r.err == nil && (len(r.ahead) > 0 || r.image.Entry < x.UpTo) {
			s.fail("%s: %s cannot be recovered: entry %d is neither in pages nor in the log", o.name, r.of.ID, r.image.Entry+1)
		}
	}
	if r.err != nil {
		s.counts["recovery of an overtaken owner's pins"]++
		if s.truth.prev.Writer == o.name && x.Generation == x.Entity.generation {
			s.fail("%s: recovery of %s: %v", o.name, r.of.ID, r.err)
		}
		fail(true)
		return
	}
	if s.chance(s.mix.recoveryFails) {
		fail(false)
		return
	}
	a := &simActor{o: o, of: r.of, state: r.state}
	o.input(func(now int64) {
		s.log("%s <- recovered %s at entry %d", o.name, r.of.ID, r.image.Entry)
		o.m.Recovered(now, &Recovered{
			Entity: x.Entity, Generation: x.Generation, Image: r.image, Host: a,
			Bytes: 16 + r.since/2, Since: r.since, SnapshotBytes: r.size,
		})
	})
}

// simRebuilt is an entity on its way back.
type simRebuilt struct {
	of          journal.Entity
	image       Image
	state       modelState
	since, size int
	ahead       map[uint64][]byte
	entry       Entry // of add, used again
	err         error // what was read cannot be one past
}

func (r *simRebuilt) snapshot(s *sim) {
	for _, x := range s.journal.snapshots[indexOfEntity(r.of)] {
		if s.chance(s.mix.snapshotUnreadable) {
			s.counts["snapshot ignored"]++
			continue
		}
		pb, image, err := ReadSnapshot(x.Body)
		if err != nil {
			s.fail("a stored snapshot cannot be read: %v", err)
		}
		r.image, r.state, r.size = image, decodeState(pb.GetState()), len(x.Body)
		s.counts["recovery from a snapshot"]++
		return
	}
}

func (r *simRebuilt) page(s *sim, p journal.Page) {
	for b := p.Body; len(b) > 0; {
		entry, n := pageEntry(b)
		if n == 0 {
			s.fail("a page that is not one")
		}
		r.add(s, entry)
		b = b[n:]
	}
}

func (r *simRebuilt) add(s *sim, b []byte) {
	e := &r.entry
	if err := e.Decode(b); err != nil {
		s.fail("%v", err)
	}
	next := r.image.Entry + 1
	switch n := e.Number; {
	case n < next, r.err != nil:
		return
	case n > next:
		r.ahead[n] = slices.Clone(b)
		return
	}
	if r.err = r.image.Take(e); r.err != nil {
		return
	}
	for _, ev := range e.Events {
		r.state.apply(ev.Payload)
	}
	r.since += len(b)
	if waiting, ok := r.ahead[next+1]; ok {
		delete(r.ahead, next+1)
		r.add(s, waiting)
	}
}

func (r *simRebuilt) fromLog(s *sim) {
	for _, rec := range s.journal.log[:s.journal.visible()] {
		err := rec.EachEntry(func(b []byte) error {
			if err := r.entry.Decode(b); err != nil {
				return err
			}
			if string(r.entry.ID) == r.of.ID {
				r.add(s, b)
			}
			return nil
		})
		if err != nil {
			s.fail("the log: %v", err)
		}
	}
}

// pageEntry reads the first entry of what is left of a page, and how long it is there. 0: it is none.
func pageEntry(b []byte) (entry []byte, n int) {
	_, _, k := protowire.ConsumeTag(b)
	if k < 0 {
		return nil, 0
	}
	entry, m := protowire.ConsumeBytes(b[k:])
	if m < 0 {
		return nil, 0
	}
	return entry, k + m
}
