package entity

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// Health is how long a host has owed what it owes: the longest of all its shards. It tells of work, not of
// being alive: a host that has nothing to do owes nothing.
type Health struct {
	// Shards is how many the host runs or is taking.
	Shards int
	// Stuck is a part of the process that does not answer a question.
	Stuck Wait
	// Command is the oldest command without an answer.
	Command Wait
	// Handler is a handler that does not return and whose caller, or one behind it, has given up.
	Handler Wait
	// Unflushed is the oldest stored entry that no page holds: what a take-over has to read. Entities whose pages
	// fail alone are left out; [ShardInfo.Behind] counts them.
	Unflushed Wait
	// Journal is since when nothing was heard from the journal although something was asked: who asks for the health of a host
	// that is idle has it ask. A journal of which only a part is away answers other shards, so it does not count.
	Journal Wait
	// Unready says why the node is to get no requests yet, or no more; empty for a node that serves.
	Unready []string
}

// Wait is something that is not done yet. The zero Wait is nothing.
type Wait struct {
	Age time.Duration
	// Of names it to people: "shard 3".
	Of     string
	Reason string
}

// older returns the longer one.
func (w Wait) older(o Wait) Wait {
	if o.Age > w.Age {
		return o
	}
	return w
}

// Health asks all shards at once and waits for their answers until ctx ends. A shard that has not answered by then
// is told of as stuck since it was asked first. No more than one question is on its way to a
// shard at a time, so it may be called as often as wanted; calls wait for each other.
func (h *Host) Health(ctx context.Context) Health {
	var out Health
	if h.stopping.Load() {
		out.Unready = append(out.Unready, "the node is shutting down")
	}
	all := h.probe(ctx)
	now := h.now().UnixNano()
	var heard int64
	for i := range all {
		out.Shards++
		all[i].add(&out, now)
		heard = max(heard, all[i].waits.Heard)
	}
	switch quiet := time.Duration(now - heard); {
	case out.Journal.Age > 0 && heard != 0:
		out.Journal.Age = min(out.Journal.Age, max(quiet, 1))
	case quiet > maxQuiet && len(all) > 0:
		h.Look(all[uint64(now/int64(time.Second))%uint64(len(all))].number) //nolint:gosec // a time after 1970
	}
	return out
}

// maxQuiet is how long the journal may have told a host nothing until one that is asked for its health asks it
// something: where the log of a shard ends.
const maxQuiet = 2 * time.Second

// probed is what a shard answered, if it did.
type probed struct {
	place    int // among those that are asked
	number   uint32
	answered bool
	since    int64 // when it was asked
	waits    shard.Waits
}

func (p *probed) add(to *Health, now int64) {
	if !p.answered {
		to.Stuck = to.Stuck.older(p.wait(now, p.since, "it does not answer"))
		return
	}
	w := &p.waits
	to.Command = to.Command.older(p.wait(now, w.Command, ""))
	to.Journal = to.Journal.older(p.wait(now, w.Journal, w.Reason))
	to.Unflushed = to.Unflushed.older(p.wait(now, w.Unflushed, ""))
	if running := p.wait(now, w.Handler, "its handler does not return"); running.Age > 0 {
		running.Of = w.Running
		to.Handler = to.Handler.older(running)
	}
}

// wait is what began at a time; 0 is nothing.
func (p *probed) wait(now, since int64, reason string) Wait {
	if since == 0 {
		return Wait{}
	}
	return Wait{Age: max(time.Duration(now-since), 1), Of: fmt.Sprintf("shard %d", p.number), Reason: reason}
}

// probe asks the shards and returns what is known of each when ctx ends, or all have answered.
func (h *Host) probe(ctx context.Context) []probed {
	select {
	case h.probing <- struct{}{}:
		defer func() { <-h.probing }()
	case <-ctx.Done():
		return h.unanswered()
	}
	found := make([]probed, 0, len(h.shards))
	answers := make(chan probed, len(h.shards)) // who answers too late waits for nobody
	waiting := 0
	for i := range h.shards {
		a := h.shards[i].Load()
		if a == nil || a.over.Load() || a.isStopped() {
			continue
		}
		p := probed{place: len(found), number: a.number, since: h.now().UnixNano()}
		if a.asked.CompareAndSwap(0, p.since) {
			waiting++
			a.ask(p, answers)
		} else {
			p.since = cmp.Or(a.asked.Load(), p.since)
		}
		found = append(found, p)
	}
	for ; waiting > 0; waiting-- {
		select {
		case p := <-answers:
			found[p.place] = p
		case <-ctx.Done():
			return found
		}
	}
	return found
}

// unanswered is what is known without asking: who owes another an answer.
func (h *Host) unanswered() (found []probed) {
	for i := range h.shards {
		if a := h.shards[i].Load(); a != nil && a.asked.Load() != 0 && !a.isStopped() {
			found = append(found, probed{number: a.number, since: a.asked.Load()})
		}
	}
	return found
}

// ask has the shard's actor answer with what it waits for.
func (a *shardActor) ask(p probed, answers chan<- probed) {
	a.then(func(m *shard.Machine, _ int64) {
		a.asked.Store(0)
		p.answered, p.waits = true, m.Waits()
		answers <- p
	})
}
