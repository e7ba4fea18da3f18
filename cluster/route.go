package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Call implements [entity.Caller]: it brings the command to the node that owns the shard, follows it when it moves, and
// sends it again where that is safe, for as long as the caller waits. All attempts have
// one key, so that the command runs once at most. Callers never see where a shard is.
func (n *Node) Call(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	if n.calls.Add(1) > maxCalls {
		n.calls.Add(-1)
		return nil, &entity.Error{Kind: entity.ErrBusy, Reason: fmt.Sprintf("the node has %d unanswered commands already", int64(maxCalls)), RetryAfter: busyPause}
	}
	defer n.calls.Add(-1)
	ctx, cancel := bounded(ctx)
	defer cancel()
	if req.Key != (entity.CommandKey{}) || req.Query || req.Lookup {
		resp, err := n.follow(ctx, *req)
		if err == nil && req.Async {
			n.seeThrough(ctx, *req)
		}
		return resp, err
	}
	keyed, of := *req, journal.Entity{Type: req.Type, ID: req.ID}
	keyed.Key = n.keys.Open(of, time.Now())
	resp, err := n.follow(ctx, keyed)
	if errors.Is(err, entity.ErrUnknownOutcome) { // a copy may still be on its way
		n.keys.Keep(of, keyed.Key)
	} else {
		n.keys.Close(of, keyed.Key)
	}
	return resp, err
}

const (
	// maxCalls bounds the commands that wait on a node for their answers, from wherever.
	maxCalls = 1 << 16
	// defaultPatience is the time of a call without a deadline.
	defaultPatience = 5 * time.Second
	busyPause       = 100 * time.Millisecond
)

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultPatience)
}

// follow sends the command until an answer is final.
func (n *Node) follow(ctx context.Context, req entity.Request) (*entity.Response, error) {
	t := newTrip(n.host.ShardOf(req.Type, req.ID), req)
	for {
		to, epoch, changed, ok := n.routes.to(t.number)
		if ok {
			resp, err := n.attempt(ctx, t, to, epoch)
			n.routes.denied(t.number, to.Node, epoch, err)
			if final := t.judge(n.routes, err); final {
				return resp, err
			}
		} else {
			t.nowhere()
		}
		if !n.rest(ctx, t, to, changed) {
			return nil, t.giveUp(ctx.Err())
		}
	}
}

// attempt sends the command to one process, this one perhaps.
func (n *Node) attempt(ctx context.Context, t *trip, to transport.Peer, epoch uint64) (*entity.Response, error) {
	if to.Node == n.self.Incarnation {
		req := t.req
		return n.host.Call(ctx, &req)
	}
	e := &transport.Envelope{Request: t.req, Epoch: epoch, Remaining: remaining(ctx)}
	if t.around {
		e.Destination = to.Node
		to = n.through(to)
	}
	a := transport.Ask(ctx, n.transport, to, e)
	return a.Response, a.Err
}

func remaining(ctx context.Context) time.Duration {
	at, _ := ctx.Deadline()
	return time.Until(at)
}

// through picks a member that may reach a process which we cannot.
func (n *Node) through(to transport.Peer) transport.Peer {
	for _, p := range n.routes.others() { // in the random order of a map
		if p.Node != to.Node {
			return p
		}
	}
	return to
}

// rest waits for a better way, or a little. It returns false when the caller's time is over.
func (n *Node) rest(ctx context.Context, t *trip, tried transport.Peer, changed <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	pause := t.again(n.routes, tried)
	if pause == 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}
