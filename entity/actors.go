package entity

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// This is the one file that knows the actor library. One actor hosts each
// shard's machine; each live entity is an actor below it. Known edges of the library, and
// what we do: Stop loses queued messages (the machine has answered them by then),
// bounded mailboxes spin (ours are unbounded, admission bounds them), a panic drops
// its message (ours never leave Receive), Shutdown stops no actor (we stop each and wait).

// actors is the node's actor system.
type actors struct {
	system   *actor.ActorSystem
	dispatch *dispatcher
}

func newActors(log *slog.Logger) *actors {
	quiet := slog.New(levelAtLeast{log.Handler(), slog.LevelWarn})
	system := actor.NewActorSystem(
		actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return quiet }),
		actor.WithDeadLetterRequestLogging(false),
	)
	return &actors{system, new(dispatcher)}
}

// levelAtLeast keeps the library's chatter out of the service's log.
type levelAtLeast struct {
	slog.Handler
	least slog.Level
}

func (l levelAtLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= l.least && l.Handler.Enabled(ctx, level)
}

// stop ends all shards' actors, and those of their entities with them. A handler that does
// not return cannot be ended: after stopPatience it is left behind, with an error.
func (s *actors) stop(shards []*shardActor) error {
	for _, a := range shards {
		a.tell(abort{})
		s.system.Root.Poison(a.pid)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	for _, a := range shards {
		select {
		case <-a.stopped:
		case <-patience.C:
			s.dispatch.stop()
			return fmt.Errorf("entity: stop: a handler in shard %d does not return; it is left behind", a.number)
		}
	}
	s.dispatch.stop()
	s.dispatch.work.Wait()
	s.system.Shutdown()
	return nil
}

const stopPatience = 5 * time.Second

// shardActor hosts one shard's machine. Its fields belong to its actor, except where they say otherwise.
type shardActor struct {
	host   *Host
	number uint32
	m      *shard.Machine
	pid    *actor.PID
	root   *actor.RootContext
	self   actor.Context

	props    *actor.Props // of the entities
	spawning *entityActor

	performing bool // Ready is being carried out
	slow       slowLines
	troubled   bool // the host knows that the journal does not answer

	pending atomic.Int64 // unanswered commands, counted by the host
	wake    *time.Timer
	wakeAt  int64
	live    int
	bytes   int
	phase   shard.Phase

	answered replies // since the last append

	serving, drained, stopped chan struct{} // closed once
	failure                   string        // read after serving is closed
	draining, isDrained       bool
}

// Messages to a shard's actor, beside *pending and *shard.Handled.
type (
	slotFree struct{}
	tick     struct{}
	drain    struct{}
	abort    struct{}
	// step is anything else that happens to the machine.
	step func(m *shard.Machine, now int64)
)

func (s *actors) spawnShard(h *Host, number uint32, resetTime bool) *shardActor {
	a := &shardActor{
		host: h, number: number, root: s.system.Root,
		m:       shard.New(h.machineConfig(number, resetTime)),
		serving: make(chan struct{}), drained: make(chan struct{}), stopped: make(chan struct{}),
	}
	a.props = actor.PropsFromProducer(func() actor.Actor { return a.spawning },
		actor.WithDispatcher(s.dispatch), actor.WithMailbox(actor.UnboundedLockfree()))
	a.pid = s.system.Root.Spawn(actor.PropsFromFunc(a.receive, actor.WithDispatcher(s.dispatch)))
	a.wake = time.AfterFunc(time.Hour, func() { a.tell(tick{}) })
	a.wake.Stop()
	a.tell(step(func(m *shard.Machine, now int64) { m.Start(now) }))
	return a
}

// machineConfig divides the node's limits among its shards.
func (h *Host) machineConfig(number uint32, resetTime bool) shard.Config {
	const unflushed = 256 << 20 // bytes per node that pages may be behind
	stall := max(unflushed/h.cfg.Shards, 1<<20)
	// Each shard flushes at a time of its own, or all would do it at once, every time.
	spread := time.Duration(number*7919%64) * time.Second / 32
	// What a flush costs is by the page, so a page should hold what an entity does in some seconds.
	const flushAfter = 5 * time.Second
	return shard.Config{
		Shard: number, Node: h.cfg.Node, NewBatch: journal.NewBatch, MaxRecordBytes: h.cfg.MaxRecordBytes,
		FlushBytes: stall / 4, StallBytes: stall, FlushAfter: flushAfter + spread,
		SnapshotBytes: h.cfg.SnapshotBytes, IdleAfter: h.cfg.IdleAfter, ResetTime: resetTime,
	}
}

// tell sends a message to the shard's actor. Anybody may call it.
func (a *shardActor) tell(msg any) { a.root.Send(a.pid, msg) }

// then reports to the machine.
func (a *shardActor) then(s step) { a.tell(s) }

func (a *shardActor) receive(c actor.Context) {
	a.self = c
	switch msg := c.Message().(type) {
	case *actor.Stopped:
		a.wake.Stop()
		close(a.stopped)
		return
	case *actor.Terminated:
		msg.Who.Reset() // the library's set of children keeps the PID, and the PID its actor
		return
	case *actor.Started, *actor.Stopping, *actor.Restarting:
		return
	default:
		a.guarded(msg)
	}
}

// guarded keeps a defect in the machine from taking the process: the shard stops, loudly.
func (a *shardActor) guarded(msg any) {
	defer func() {
		if r := recover(); r != nil {
			a.broken(r)
		}
	}()
	a.handle(msg)
	a.performing = true
	a.perform()
	a.performing = false
}

func (a *shardActor) handle(msg any) {
	now := a.host.now().UnixNano()
	switch msg := msg.(type) {
	case *pending:
		a.m.Command(now, &msg.Command)
	case *shard.Handled:
		a.m.Handled(now, msg)
		recycle(msg)
	case slotFree:
		if !a.m.Slot(now) {
			a.host.slots.give(replies{}, a.host.now())
		}
	case tick:
		a.wakeAt = 0
		a.m.Tick(now)
	case drain:
		a.draining = true
		a.m.Drain(now)
	case abort:
		a.m.Abort(now, "the node is shutting down")
	case step:
		msg(a.m, now)
	}
}

// entityActor runs the commands of one entity. Its goroutine exists only while it has some.
type entityActor struct {
	shard    *shardActor
	instance instance
	print    string
}

// spawnEntity starts an actor. All entities of a shard share one Props, whose producer
// takes the actor that is being spawned: Spawn calls it before it returns.
func (a *shardActor) spawnEntity(i instance, fingerprint string) *actor.PID {
	a.spawning = &entityActor{shard: a, instance: i, print: fingerprint}
	defer func() { a.spawning = nil }()
	return a.self.Spawn(a.props)
}

// Receive implements actor.Actor.
func (e *entityActor) Receive(c actor.Context) {
	switch msg := c.Message().(type) {
	case *shard.Handled:
		defer e.tell(msg) // also when the handler ends its goroutine, as a test's FailNow does
		e.instance.handle(msg, e.shard.maxEntry())
	case *shard.Encoded:
		msg.Fingerprint = e.print
		msg.State, msg.Err = e.instance.encode()
		e.shard.then(func(m *shard.Machine, now int64) { m.Encoded(now, msg) })
	}
}

// tell takes what came of a command back to the shard.
func (e *entityActor) tell(h *shard.Handled) {
	if h.Stack != nil {
		e.shard.host.log.Error("handler panicked", "shard", e.shard.number, "panic", h.Failure, "stack", string(h.Stack))
	}
	e.shard.tell(h)
}

func (a *shardActor) maxEntry() int {
	const frame = 16 // what a record adds to an entry
	return a.host.cfg.MaxRecordBytes - frame
}

// stopEntity ends an entity's actor. What it still has to say is ignored.
func (a *shardActor) stopEntity(pid any) { a.self.Stop(pid.(*actor.PID)) }

// sendEntity gives an entity's actor a message.
func (a *shardActor) sendEntity(pid, msg any) { a.self.Send(pid.(*actor.PID), msg) }
