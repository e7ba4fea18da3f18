package cluster

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// trip is one command on its way, over all its attempts. It is a pure machine for one caller at a time: an
// answer goes in, and out comes whether it is the last word, and if not how long to wait before the next attempt.
type trip struct {
	number  uint32
	req     entity.Request
	unsure  bool // an attempt may have run, or may still
	around  bool // the last attempt found no way to the owner: try through another node
	pause   time.Duration
	lastErr error
}

const (
	// firstPause and lastPause bound the wait before a command is sent again, where no better way is known.
	firstPause = 2 * time.Millisecond
	lastPause  = 100 * time.Millisecond
)

func newTrip(number uint32, req entity.Request) *trip {
	t := &trip{number: number, req: req}
	t.req.Attempt = max(req.Attempt, 1)
	return t
}

// nowhere takes in that there is nobody to send the command to.
func (t *trip) nowhere() {
	t.around = false // or it would look for a way without a pause
	t.lastErr = &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("no node may own shard %d", t.number), RetryAfter: time.Second}
}

// judge tells whether an attempt's answer is the last word. What the answer tells of the owner goes to routes.
func (t *trip) judge(r *routes, err error) bool {
	var local *entity.MovedError
	var remote *transport.Moved
	t.lastErr = err
	wasAround := t.around
	t.around = false
	switch {
	case err == nil:
		return true
	case errors.As(err, &local):
		r.learn(t.number, local.Owner, local.Epoch)
		return false
	case errors.As(err, &remote):
		r.learn(t.number, remote.Node, remote.Epoch)
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

// isStored tells whether a refusal ends a command of which an earlier attempt may have run: an entity's rejection does, for
// it looks at the key first. What a node refuses before it asks the entity does not: an older release does not know
// a command that a newer one has run.
func isStored(err error) bool {
	var no *entity.Rejection
	return errors.As(err, &no) && !slices.Contains(unasked, no.Code)
}

// unasked are the rejections of a node that has not asked the entity.
var unasked = []string{"skerry/malformed", "skerry/unknown-type", "skerry/unknown-command", "skerry/too-large"}

// again begins the next attempt and tells how long to wait before it, unless something is learnt sooner: not at all where
// another process than the one that was tried is known to be better, or a way around is.
func (t *trip) again(r *routes, tried transport.Peer) time.Duration {
	t.req.Attempt++
	next, _, _, ok := r.to(t.number)
	switch {
	case ok && next != tried:
		t.pause = 0
		return 0
	case t.around: // once; where that fails as well the pause grows on
		return 0
	}
	t.pause = min(max(2*t.pause, firstPause), lastPause)
	return t.pause
}

// giveUp tells what is known of a command whose time is over; cause is what ended it.
func (t *trip) giveUp(cause error) error {
	switch {
	case t.unsure:
		return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf("after %d attempts: %v", t.req.Attempt, t.lastErr), Cause: cause}
	case errors.Is(t.lastErr, entity.ErrUnknownOutcome): // of a query: nothing was stored
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("after %d attempts: %v", t.req.Attempt, t.lastErr), Cause: cause}
	}
	var kind *entity.Error
	if errors.As(t.lastErr, &kind) {
		return kind
	}
	return &entity.Error{
		Kind: entity.ErrUnavailable, RetryAfter: time.Second, Cause: cause,
		Reason: fmt.Sprintf("no owner of shard %d answered in time; the last attempt of %d: %v", t.number, t.req.Attempt, t.lastErr),
	}
}
