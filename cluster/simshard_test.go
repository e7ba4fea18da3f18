package cluster

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/shardtest"
	"github.com/skerryhq/skerry/journal"
)

// simShard hosts one machine of one process, as a shard's actor does: see package entity.
type simShard struct {
	p      *simProcess
	number uint32
	start  int // which machine of this shard it is, in this process
	m      *shardtest.Machine
	phase  shardtest.Phase
	over   bool
	mail   []func()
	busy   bool
	wakeAt int64
	ticket uint64
}

func (a *simShard) String() string {
	return fmt.Sprintf("%s/%d.%d", a.p.incarnation, a.number, a.start)
}

func (p *simProcess) newShard(number uint32) *simShard {
	s := p.s
	p.starts++
	a := &simShard{p: p, number: number, start: p.starts}
	a.m = shardtest.New(shardtest.Config{
		Shard: number, Node: p.incarnation, NewBatch: s.newBatch, MaxRecordBytes: 1 << 20, FlushBytes: 1 << 20, StallBytes: 4 << 20,
		FlushAfter: s.plan.flushAfter, SnapshotBytes: 1 << 30, IdleAfter: s.plan.idleAfter,
	})
	s.plant(a.m)
	return a
}

func (s *sim) newBatch() (b journal.Batch) {
	s.batches++
	binary.BigEndian.PutUint64(b[:], s.batches)
	return b
}

// begin gives the shard a machine if it has none that may still serve, as entity.Host does.
func (p *simProcess) begin(number uint32, do func(*shardtest.Machine, int64)) {
	if a := p.shards[number]; a == nil || a.over {
		p.shards[number] = p.newShard(number)
	}
	p.shards[number].then(do)
}

func (p *simProcess) toShard(number uint32, do func(*shardtest.Machine, int64)) {
	if a := p.shards[number]; a != nil {
		a.then(do)
	}
}

// then has something happen to the machine in its turn.
func (a *simShard) then(do func(*shardtest.Machine, int64)) {
	a.mail = append(a.mail, func() { a.input(func(now int64) { do(a.m, now) }) })
	a.arrange()
}

func (a *simShard) arrange() {
	if a.busy || len(a.mail) == 0 {
		return
	}
	a.busy = true
	a.p.after(a.p.takes(a.p.s.plan.loop/4), func() {
		a.busy = false
		do := a.mail[0]
		a.mail = a.mail[1:]
		do()
		a.arrange()
	})
}

// input lets something happen to the machine, and does what it asks for then.
func (a *simShard) input(f func(now int64)) {
	if a.p.dead {
		return
	}
	f(a.p.wall())
	a.perform()
}

func (a *simShard) perform() {
	s, r := a.p.s, a.m.Ready()
	if r.NeedSlot {
		r.NeedSlot = false
		if s.coin() {
			a.m.Slot(a.p.wall())
		} else {
			a.p.after(a.p.takes(s.plan.journal), func() { a.input(func(now int64) { a.m.Slot(now) }) })
		}
	}
	a.toJournal(r)
	a.toEntities(r)
	for i := range r.Answers {
		a.answer(&r.Answers[i])
	}
	for _, f := range r.Failures {
		s.fail("%s: %s", a, f)
	}
	a.tellMoves(r)
	a.m.Done()
	a.tellPhase()
	a.schedule()
}

func (a *simShard) toJournal(r *shardtest.Ready) {
	j := a.p.s.journal
	if r.Append != nil {
		j.append(a, *r.Append)
	}
	if r.Check != nil {
		j.tail(a, *r.Check)
	}
	if r.ReadHead {
		j.head(a)
	}
	if r.ReadLog != nil {
		j.read(a, *r.ReadLog)
	}
	if r.LoadTimers != nil {
		j.readTimers(a, *r.LoadTimers)
	}
	if r.Derive != nil {
		j.derive(a, r.Derive)
	}
}

func (a *simShard) toEntities(r *shardtest.Ready) {
	for i := range r.Encodes {
		x := &shardtest.Encoded{Encode: r.Encodes[i]}
		actor := x.Encode.Entity.Host.(*simActor)
		actor.send(func() {
			x.Fingerprint, x.State = "model/1", []byte(actor.state.String())
			a.input(func(now int64) { a.m.Encoded(now, x) })
		})
	}
	for i := range r.Handles {
		h := &shardtest.Handled{Handle: r.Handles[i]}
		actor := h.Handle.Entity.Host.(*simActor)
		actor.send(func() {
			actor.handle(h)
			a.input(func(now int64) { a.m.Handled(now, h) })
		})
	}
	for _, x := range r.Stops {
		x.Host.(*simActor).stopped = true
	}
	for i := range r.Recovers {
		a.recover(r.Recovers[i])
	}
}

// tellMoves tells the process how a planned move goes.
func (a *simShard) tellMoves(r *shardtest.Ready) {
	if r.Prepared {
		a.tell(entity.Prepared)
	}
	if r.Yielded {
		a.tell(entity.Yielded)
	}
	if r.Resumed {
		a.tell(entity.Resumed)
	}
}

func (a *simShard) tellPhase() {
	phase := a.m.Phase()
	if phase == a.phase {
		return
	}
	a.phase, a.over = phase, phase >= shardtest.Fenced
	switch i := a.m.Info(); {
	case i.Abandoned:
		a.tell(entity.Abandoned)
	case phase == shardtest.Fenced:
		a.tell(entity.Fenced)
	case phase == shardtest.Halted:
		a.tell(entity.Halted)
	default:
		a.tell(entity.Serving)
	}
}

func (a *simShard) tell(state entity.OwnershipState) {
	i := a.m.Info()
	a.p.s.counts["shards "+state.String()]++
	a.p.s.log("%s is %s; owner %s, epoch %d: %s", a, state, i.Owner, i.Epoch, i.Reason)
	a.p.put(entity.Ownership{Shard: a.number, State: state, Owner: i.Owner, Epoch: i.Epoch, Head: i.Head, Reason: i.Reason})
}

// schedule plans the next tick, as the host's one timer does.
func (a *simShard) schedule() {
	at := a.m.Wake()
	if at == 0 || a.wakeAt != 0 && a.wakeAt <= at {
		return
	}
	a.wakeAt = at
	a.ticket++
	ticket := a.ticket
	a.p.after(max(a.p.untilWall(at), int64(time.Millisecond)), func() {
		if ticket != a.ticket {
			return
		}
		a.wakeAt = 0
		a.input(func(now int64) { a.m.Tick(now) })
	})
}

// answer takes an answer to whoever waits for it.
func (a *simShard) answer(x *shardtest.Answer) {
	x.Command.Tag.(func(*shardtest.Answer))(x)
}

// recover rebuilds an entity as the host does: pages, then pins, then the log where these leave a hole.
func (a *simShard) recover(x shardtest.Recover) {
	s := a.p.s
	s.counts["recoveries"]++
	r := &simRebuilt{s: s, of: x.Entity.Of, ahead: map[uint64][]byte{}}
	var log []journal.Record
	s.journal.call(a.p, false, func() error {
		if s.journal.readFails() {
			return errSimNoAnswer
		}
		for _, p := range s.journal.pages[r.of] {
			r.page(p)
		}
		l := s.journal.logs[a.number]
		log = l.records[:s.journal.visible(l)]
		return nil
	}, func(err error) {
		if err == nil {
			err = r.finish(x, log)
		}
		a.input(func(now int64) {
			s.log("%s <- recovered %s at entry %d of %d: %v", a, r.of.ID, r.image.Entry, x.UpTo, err)
			out := &shardtest.Recovered{Entity: x.Entity, Generation: x.Generation, Err: err}
			if err == nil {
				out.Image, out.Host, out.Bytes, out.Since = r.image, &simActor{shard: a, of: r.of, state: r.state}, 16, r.since
			}
			a.m.Recovered(now, out)
		})
	})
}

// simRebuilt is an entity on its way back.
type simRebuilt struct {
	s     *sim
	of    journal.Entity
	image shardtest.Image
	state simState
	since int
	ahead map[uint64][]byte
	entry shardtest.Entry // of add, used again
	err   error           // what was read cannot be one past
}

func (r *simRebuilt) page(p journal.Page) {
	for b := p.Body; len(b) > 0; {
		_, _, k := protowire.ConsumeTag(b)
		entry, n := protowire.ConsumeBytes(b[max(k, 0):])
		if k < 0 || n < 0 {
			r.s.fail("a page that is not one")
		}
		r.add(entry)
		b = b[k+n:]
	}
}

func (r *simRebuilt) add(b []byte) {
	if err := r.entry.Decode(b); err != nil {
		r.s.fail("%v", err)
	}
	next := r.image.Entry + 1
	switch n := r.entry.Number; {
	case n < next, r.err != nil:
		return
	case n > next:
		r.ahead[n] = slices.Clone(b)
		return
	}
	if r.err = r.image.Take(&r.entry); r.err != nil {
		return
	}
	for _, ev := range r.entry.Events {
		r.state = r.state.with(ev.Payload)
	}
	r.since += len(b)
	if waiting, ok := r.ahead[next+1]; ok {
		delete(r.ahead, next+1)
		r.add(waiting)
	}
}

// finish adds what the machine has pinned, and the log if that leaves a hole.
func (r *simRebuilt) finish(x shardtest.Recover, log []journal.Record) error {
	for _, b := range x.Pinned {
		r.add(b)
	}
	for _, rec := range log {
		if r.err != nil || len(r.ahead) == 0 && r.image.Entry >= x.UpTo {
			break
		}
		_ = rec.EachEntry(func(b []byte) error {
			if err := r.entry.Decode(b); err == nil && string(r.entry.ID) == r.of.ID {
				r.add(b)
			}
			return nil
		})
	}
	if r.err == nil && (len(r.ahead) > 0 || r.image.Entry < x.UpTo) {
		return errSimNoAnswer // the read did not see all yet
	}
	return r.err
}
