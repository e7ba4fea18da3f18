package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// Outcome is what a call tells about the service.
type Outcome uint8

// The outcomes. [Do] and [Call.End] find them from the error; who knows better uses [Call.EndAs].
const (
	// Succeeded and Rejected show a service that answers. They end a row of failures, and
	// half-open.
	Succeeded = Outcome(machine.Succeeded)
	Rejected  = Outcome(machine.Rejected)
	// Failed, TimedOut and Slow count against it.
	Failed   = Outcome(machine.Failed)
	TimedOut = Outcome(machine.TimedOut)
	Slow     = Outcome(machine.Slow)
	// Abandoned tells nothing: the caller gave up.
	Abandoned = Outcome(machine.Abandoned)
)

// String implements fmt.Stringer.
func (o Outcome) String() string {
	return [...]string{"succeeded", "rejected", "failed", "timed out", "slow", "abandoned"}[o]
}

// judge says what an error means. patience is how long the caller's own deadline, if it had one,
// let the call run.
func (s *Settings) judge(ctx context.Context, err error, patience time.Duration) Outcome {
	switch {
	case err == nil:
		return Succeeded
	case s.ignores(err):
		return Rejected
	}
	switch ended := ctx.Err(); {
	case errors.Is(ended, context.DeadlineExceeded) && patience >= s.MinDeadline:
		return TimedOut
	case ended != nil, errors.Is(err, context.Canceled):
		return Abandoned
	}
	return Failed
}
