package entity

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// perform does what the machine asks for, until it asks for nothing more.
func (a *shardActor) perform() {
	r := a.m.Ready()
	if r.NeedSlot {
		r.NeedSlot = false
		if now := a.host.now(); a.host.slots.take(a, now) {
			a.m.Slot(now.UnixNano())
		}
	}
	a.host.feed.publish(a.number, r.Committed)
	a.toJournal(r)
	a.toEntities(r)
	a.deliver()
	for _, f := range r.Failures {
		a.host.log.Error(f, "shard", a.number)
	}
	a.m.Done()
	a.account()
	a.schedule()
}

// toJournal starts what the machine wants of the journal.
func (a *shardActor) toJournal(r *shard.Ready) {
	if r.Append != nil {
		a.append(*r.Append)
	}
	if c := r.Check; c != nil {
		a.run(func(ctx context.Context) step {
			slot, err := a.host.cfg.Journal.Tail(ctx, a.number, c.Number)
			return func(m *shard.Machine, now int64) { m.Checked(now, c.Seq, slot, err) }
		})
	}
	if r.ReadHead {
		a.run(func(ctx context.Context) step {
			head, err := a.host.cfg.Journal.Head(ctx, a.number)
			return func(m *shard.Machine, now int64) { m.HeadRead(now, head, err) }
		})
	}
	if l := r.ReadLog; l != nil {
		a.run(func(ctx context.Context) step {
			records, err := a.host.cfg.Journal.Read(ctx, a.number, l.From, readBytes)
			return func(m *shard.Machine, now int64) { m.LogRead(now, records, err) }
		})
	}
	if t := r.LoadTimers; t != nil {
		a.run(func(ctx context.Context) step { return a.loadTimers(ctx, *t) })
	}
	if d := r.Derive; d != nil {
		a.run(func(ctx context.Context) step {
			err := a.derive(ctx, d)
			return func(m *shard.Machine, now int64) { m.Derived(now, err) }
		})
	}
}

// run does f on a goroutine of its own and takes what came of it to the machine.
func (a *shardActor) run(f func(context.Context) step) {
	a.host.work.Add(1)
	go func() {
		defer a.host.work.Done()
		a.then(f(a.host.ctx))
	}()
}

// append sends a record. Its slot goes back with the outcome, an unknown one as well; claims and repeats have
// none. Repeats have a small bound of their own, so that a database of which a part is sick is not flooded with
// them, and those sent the first time go before those that failed again and again.
func (a *shardActor) append(x shard.Append) {
	a.host.work.Add(1)
	if x.Retry && !x.Record.Claim {
		a.host.repeats.enter(!x.Again, func() {
			defer a.host.work.Done()
			slot, err := a.host.cfg.Journal.Append(a.host.ctx, a.number, x.Record)
			a.then(func(m *shard.Machine, now int64) { m.Appended(now, slot, err) })
		})
		return
	}
	answered := a.answered
	a.answered = replies{}
	go func() {
		defer a.host.work.Done()
		slot, err := a.host.cfg.Journal.Append(a.host.ctx, a.number, x.Record)
		if !x.Record.Claim {
			a.host.slots.give(answered, a.host.now())
		}
		a.then(func(m *shard.Machine, now int64) { m.Appended(now, slot, err) })
	}()
}

func (a *shardActor) loadTimers(ctx context.Context, hours shard.HourRange) step {
	var found []journal.Timer
	err := a.host.cfg.Journal.Timers(ctx, a.number, hours.From, hours.To, func(t journal.Timer) error {
		found = append(found, t)
		return nil
	})
	return func(m *shard.Machine, now int64) { m.TimersLoaded(now, hours, found, err) }
}

// derive writes what is derived. Snapshots only shorten recoveries: one that cannot be stored holds up nothing.
func (a *shardActor) derive(ctx context.Context, d *shard.Derive) error {
	err := a.host.cfg.Journal.Derive(ctx, d.Derived)
	var behind *journal.BehindError
	if err != nil && !errors.As(err, &behind) {
		return err
	}
	failed := 0
	for i := 0; i < len(d.Snapshots) && failed < mostSnapshotFailures; i++ {
		s := &d.Snapshots[i]
		if why := a.host.cfg.Journal.SaveSnapshot(ctx, *s); why != nil && ctx.Err() == nil {
			failed++
			a.host.log.Warn("snapshot was not stored", "type", s.Of.Type, "id", s.Of.ID, "entry", s.Entry, "error", why)
		}
	}
	return err
}

// mostSnapshotFailures is how many snapshots of one job may fail before the rest is given up: each may take the
// time of a timeout.
const mostSnapshotFailures = 3

// toEntities starts, stops and feeds the entities' actors. A state is asked for before
// the next command goes the same way.
func (a *shardActor) toEntities(r *shard.Ready) {
	for i := range r.Encodes {
		a.sendEntity(r.Encodes[i].Entity.Host, &shard.Encoded{Encode: r.Encodes[i]})
	}
	for i := range r.Handles {
		h := handles.Get().(*shard.Handled)
		h.Handle = r.Handles[i]
		a.sendEntity(h.Handle.Entity.Host, h)
	}
	for _, s := range r.Stops {
		a.stopEntity(s.Host)
	}
	for _, x := range r.Recovers {
		a.recover(x)
	}
	for _, x := range r.Awaits {
		x.Entity.Recovery.(*recovery).until.Store(x.Until)
	}
}

var handles = sync.Pool{New: func() any { return new(shard.Handled) }}

// recycle takes back a message that went to an entity and came again.
func recycle(h *shard.Handled) {
	*h = shard.Handled{}
	handles.Put(h)
}

// recovery is an entity's on its way through the gate. until is when the last of those who want it gives up.
type recovery struct{ until atomic.Int64 }

// recover rebuilds an entity and starts its actor, if anybody wants it still when its turn comes.
func (a *shardActor) recover(x shard.Recover) {
	h, of := a.host, x.Entity.Of
	h.work.Add(1)
	waiting := &recovery{}
	waiting.until.Store(x.Until)
	x.Entity.Recovery = waiting
	in := &h.gate
	if x.Retry {
		in = &h.regate
	}
	in.enter(x.Wanted, func() {
		defer h.work.Done()
		if h.now().UnixNano() >= waiting.until.Load() {
			a.then(func(m *shard.Machine, now int64) {
				m.Recovered(now, &shard.Recovered{Entity: x.Entity, Generation: x.Generation, Skipped: true})
			})
			return
		}
		r, def, err := h.recoverEntity(of, x)
		a.then(func(m *shard.Machine, now int64) {
			out := shard.Recovered{Entity: x.Entity, Generation: x.Generation}
			if err != nil {
				var broken brokenError
				out.Err, out.Broken = err, errors.As(err, &broken)
			} else {
				out.Image, out.Bytes, out.Since, out.SnapshotBytes = r.image, r.bytes, r.since, r.snapshot
				out.Host = a.spawnEntity(r.instance, def.fingerprint())
			}
			m.Recovered(now, &out)
		})
	})
}

func (h *Host) recoverEntity(of journal.Entity, x shard.Recover) (*rebuilt, Definition, error) {
	def, ok := h.types[of.Type]
	if !ok {
		return nil, nil, brokenError{fmt.Errorf("this program defines no type %q", of.Type)}
	}
	r, err := h.rebuild(h.ctx, def, of, x.Pinned, x.UpTo)
	if errors.Is(err, journal.ErrCorrupt) {
		err = brokenError{err}
	}
	return r, def, err
}

func (a *shardActor) deliver() {
	answers := a.m.Ready().Answers
	for i := range answers {
		a.answer(&answers[i])
	}
}

// answer tells a caller what became of its command.
func (a *shardActor) answer(ans *shard.Answer) {
	c := ans.Command.Tag.(*pending)
	a.pending.Add(-1)
	now := a.host.now().UnixNano()
	if ans.Kind == shard.Reply && !c.Query {
		a.answered.add(replies{1, time.Duration(now - c.Arrived)})
	}
	a.logSlow(&c.Command, ans, now)
	if c.async {
		a.finish(c, ans)
		return
	}
	c.answer = *ans
	c.done <- struct{}{}
}

// finish ends a command that nobody waits for. Its answer is in the log, if it has one; what stored nothing
// is told to operators only.
func (a *shardActor) finish(c *pending, ans *shard.Answer) {
	a.host.pendingBytes.Add(-int64(len(c.Payload)))
	if ans.Kind != shard.Reply && ans.Kind != shard.Reject {
		a.host.log.Warn("asynchronous command has no answer", "type", c.To.Type, "id", c.To.ID, "command", c.Name,
			"key", c.Key.String(), "outcome", ans.Kind.String(), "reason", ans.Reason)
	}
	if ans.Released {
		c.free()
	}
}

// logSlow names the phase in which a slow command spent its time.
func (a *shardActor) logSlow(c *shard.Command, ans *shard.Answer, now int64) {
	if now-c.Arrived < int64(a.host.cfg.SlowAfter) || !a.slow.allow(now, a) {
		return
	}
	queued, recovering := c.Dispatched, int64(0)
	if queued == 0 {
		queued = now
	}
	if c.Recovered > c.Arrived {
		recovering = c.Recovered - c.Arrived
	}
	var handling, storing int64
	if c.Handled != 0 {
		handling, storing = c.Handled-c.Dispatched, now-c.Handled
	} else if c.Dispatched != 0 {
		handling = now - c.Dispatched
	}
	a.host.log.Warn("slow command", "type", c.To.Type, "id", c.To.ID, "command", c.Name, "key", c.Key.String(),
		"outcome", ans.Kind.String(), "total", time.Duration(now-c.Arrived),
		"queued", time.Duration(queued-c.Arrived-recovering), "recovering", time.Duration(recovering),
		"handling", time.Duration(handling), "storing", time.Duration(storing))
}

// slowLines bounds the lines about slow commands: a stalled journal makes all of them slow.
type slowLines struct {
	second       int64
	told, untold int
}

const slowLinesPerSecond = 10

// allow reports whether one more line may be written, and tells of those that were not.
func (s *slowLines) allow(now int64, a *shardActor) bool {
	if second := now / int64(time.Second); second != s.second {
		if s.untold > 0 {
			a.host.log.Warn("more slow commands", "shard", a.number, "count", s.untold)
		}
		*s = slowLines{second: second}
	}
	if s.told >= slowLinesPerSecond {
		s.untold++
		return false
	}
	s.told++
	return true
}

// account keeps the node's sums and its budget of live entities.
func (a *shardActor) account() {
	live, bytes := a.m.Live()
	if live != a.live || bytes != a.bytes {
		grown := live > a.live
		n := a.host.live.Add(int64(live - a.live))
		b := a.host.liveBytes.Add(int64(bytes - a.bytes))
		a.live, a.bytes = live, bytes
		if grown && (n > int64(a.host.cfg.MaxLive) || b > int64(a.host.cfg.MaxLiveBytes)) {
			a.then(func(m *shard.Machine, now int64) { m.Evict(now, evictions) })
		}
	}
	a.tellPhase()
}

// evictions is how many entities leave for one that came over the budget: more
// than one, so that the node gets back below it.
const evictions = 4

// tellPhase lets the host know what it waits for.
func (a *shardActor) tellPhase() {
	if trouble := a.m.Trouble(); (trouble != "") != a.troubled {
		a.troubled = trouble != ""
		a.host.troubles.notice(a.host, a.number, trouble, a.m.Phase() == shard.Serving)
	}
	if phase := a.m.Phase(); phase != a.phase {
		a.host.feed.follow(a.number, phase == shard.Serving)
		if phase == shard.Fenced {
			a.host.troubles.taken(a.host, a.number, a.m.Owner())
		}
		if a.phase == shard.Starting {
			if phase != shard.Serving {
				a.failure = a.m.Info().Reason
			}
			close(a.serving)
		}
		a.phase = phase
	}
	if a.draining && !a.isDrained && a.m.Drained() {
		a.isDrained = true
		close(a.drained)
	}
}

// schedule sets the one timer of the shard.
func (a *shardActor) schedule() {
	at := a.m.Wake()
	if at == 0 || a.wakeAt != 0 && a.wakeAt <= at {
		return
	}
	a.wakeAt = at
	a.wake.Reset(max(time.Duration(at-a.host.now().UnixNano()), minWake))
}

// minWake keeps a shard from spinning on a time that has come already.
const minWake = time.Millisecond

// broken stops the shard after a defect of its machine.
func (a *shardActor) broken(r any) {
	a.host.log.Error("shard stops: its machine panicked", "shard", a.number, "panic", r, "stack", string(debug.Stack()))
	if !a.performing {
		a.deliver() // what was decided before the panic
	}
	a.m.Done()
	a.performing = false
	a.m.Abort(a.host.now().UnixNano(), fmt.Sprintf("the shard's machine panicked: %v", r))
	a.deliver()
	a.m.Done()
	a.tellPhase()
}
