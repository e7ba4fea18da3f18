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
		return n.follow(ctx, *req)
	}
	keyed, of := *req, journal.Entity{Type: req.Type, ID: req.ID}
	keyed.Key = n.keys.Open(of, time.Now())
	resp, err := n.follow(ctx, keyed)
	if !errors.Is(err, entity.ErrUnknownOutcome) { // else a copy may still be on its way: it ends with its age
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
	// firstPause and lastPause bound the wait before a command is sent again, where no better way is known.
	firstPause = 2 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, defaultPatience)
}

// trip is one command on its way, over all its attempts.
type trip struct {
	number  uint32
	req     entity.Request
	unsure  bool // an attempt may have run, or may still
	around  bool // the last attempt found no way to the owner: try through another node
	pause   time.Duration
	lastErr error
}

// follow sends the command until an answer is final.
func (n *Node) follow(ctx context.Context, req entity.Request) (*entity.Response, error) {
	t := &trip{number: n.host.ShardOf(req.Type, req.ID), req: req}
	t.req.Attempt = max(req.Attempt, 1)
	for {
		to, epoch, changed, ok := n.routes.to(t.number)
		if ok {
			resp, err := n.attempt(ctx, t, to, epoch)
			if final := t.judge(n, err); final {
				return resp, t.answer(err)
			}
		} else {
			t.lastErr = &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("no node may own shard %d", t.number), RetryAfter: time.Second}
		}
		if !t.wait(ctx, n, to, changed) {
			return nil, t.giveUp(ctx)
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

// judge tells whether an attempt's answer is the last word.
func (t *trip) judge(n *Node, err error) bool {
	var local *entity.MovedError
	var remote *transport.Moved
	t.lastErr = err
	wasAround := t.around
	t.around = false
	switch {
	case err == nil:
		return true
	case errors.As(err, &local):
		n.routes.learn(t.number, local.Owner, local.Epoch)
		return false
	case errors.As(err, &remote):
		n.routes.learn(t.number, remote.Node, remote.Epoch)
		return false
	case errors.Is(err, transport.ErrUnreachable):
		t.around = !wasAround
		return false
	case wasAround && errors.Is(err, entity.ErrUnavailable):
		return false // who forwarded it has not reached the owner either, or the owner has moved
	case errors.Is(err, entity.ErrUnknownOutcome):
		t.unsure = t.unsure || !t.harmless()
		return false // the same key is safe to send again
	}
	return !t.unsure || isStored(err)
}

// harmless tells that the command stores nothing, so that a lost answer leaves nothing unknown.
func (t *trip) harmless() bool { return t.req.Query || t.req.Lookup }

// isStored tells whether a refusal ends a command of which an earlier attempt may have run: a rejection does, for
// an entity that answers a later attempt looks at the key first.
func isStored(err error) bool {
	var no *entity.Rejection
	return errors.As(err, &no)
}

// answer is what the caller is told at the end.
func (t *trip) answer(err error) error { return err }

// wait waits for a better way, or a little. It returns false when the caller's time is over.
func (t *trip) wait(ctx context.Context, n *Node, tried transport.Peer, changed <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	t.req.Attempt++
	if next, _, _, ok := n.routes.to(t.number); t.around || ok && next != tried {
		t.pause = 0
		return true
	}
	t.pause = min(max(2*t.pause, firstPause), lastPause)
	timer := time.NewTimer(t.pause)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// giveUp tells what is known of a command whose time is over.
func (t *trip) giveUp(ctx context.Context) error {
	switch {
	case t.unsure:
		return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf("after %d attempts: %v", t.req.Attempt, t.lastErr), Cause: ctx.Err()}
	case errors.Is(t.lastErr, entity.ErrUnknownOutcome): // of a query: nothing was stored
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("after %d attempts: %v", t.req.Attempt, t.lastErr), Cause: ctx.Err()}
	}
	var kind *entity.Error
	if errors.As(t.lastErr, &kind) {
		return kind
	}
	return &entity.Error{
		Kind: entity.ErrUnavailable, RetryAfter: time.Second, Cause: ctx.Err(),
		Reason: fmt.Sprintf("no owner of shard %d answered in time; the last attempt of %d: %v", t.number, t.req.Attempt, t.lastErr),
	}
}
