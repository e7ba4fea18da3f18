package cluster

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// events are the newest of what happened. Who watches reads at its own pace, from a number on: it holds
// nothing here, so no number of watchers and no slow one costs the node memory or time. Publishing never waits.
// Safe for concurrent use.
type events struct {
	mu      sync.Mutex
	ring    []event // the event of number n is at n % maxEvents
	last    uint64
	changed chan struct{} // closed at the next event
}

const (
	// maxEvents bounds the events that are remembered. A shard that moves makes four.
	maxEvents = 2048
	// maxTold bounds those that are told at a time.
	maxTold = 512
	// watchPatience bounds the wait for the next event, so that a watcher hears that the node lives.
	watchPatience = 10 * time.Second
)

func newEvents() *events { return &events{changed: make(chan struct{})} }

func (e *events) publish(x event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	x.number = e.last
	if len(e.ring) < maxEvents {
		e.ring = append(e.ring, x)
	} else {
		e.ring[(x.number-1)%maxEvents] = x
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// after returns the events behind a number, how many of those are forgotten, and what is closed at the next event.
func (e *events) after(number uint64) (found []event, missed uint64, changed <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if number > e.last {
		number = 0 // of a process before this one
	}
	if kept := uint64(len(e.ring)); e.last-number > kept {
		missed = e.last - number - kept
		number += missed
	}
	for n := number + 1; n <= e.last && len(found) < maxTold; n++ {
		found = append(found, e.ring[(n-1)%maxEvents])
	}
	return found, missed, e.changed
}

// Watch tells what happened behind the event of that number, 0 for all that is remembered. It waits for the next event if
// there is none yet, and returns without any after 10 s. Who asks for older events than are
// remembered is told how many are missed. Numbers are those of one process.
func (n *Node) Watch(ctx context.Context, after uint64) (*adminv1.ClusterEvents, error) {
	patience := time.NewTimer(watchPatience)
	defer patience.Stop()
	for {
		found, missed, changed := n.chronicle.events.after(after)
		if len(found) > 0 {
			return n.told(found, missed), nil
		}
		select {
		case <-changed:
		case <-patience.C:
			return n.told(nil, 0), nil
		case <-n.ended:
			return nil, unavailable(errStopped)
		case <-ctx.Done():
			return nil, unavailable(context.Cause(ctx))
		}
	}
}

func (n *Node) told(found []event, missed uint64) *adminv1.ClusterEvents {
	out := &adminv1.ClusterEvents{Node: n.self.Node, Incarnation: n.self.Incarnation, Missed: missed}
	for _, e := range found {
		x := &adminv1.ClusterEvent{
			Number: e.number, Time: timestamppb.New(e.at), Kind: string(e.kind), Node: nodeOf(e.who), Incarnation: e.who,
			Epoch: e.epoch, PauseUs: e.pause.Microseconds(), Text: e.String(),
		}
		if e.kind.isAboutShard() {
			x.Shard = &e.shard
		}
		out.Events = append(out.Events, x)
	}
	return out
}

// unavailable is an error as callers of nodes know it.
func unavailable(err error) error {
	return &entity.Error{Kind: entity.ErrUnavailable, Reason: err.Error(), RetryAfter: time.Second, Cause: err}
}
