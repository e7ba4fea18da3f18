package transport

import (
	"context"

	"github.com/skerryhq/skerry/entity"
)

// Ask sends an envelope and waits for its answer, or until ctx ends: then the outcome is unknown.
func Ask(ctx context.Context, t Transport, to Peer, e *Envelope) Answer {
	answered := make(chan Answer, 1)
	t.Send(to, e, func(a Answer) { answered <- a })
	select {
	case a := <-answered:
		return a
	case <-ctx.Done():
		return Answer{Err: &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the caller gave up waiting", Cause: ctx.Err()}}
	}
}
