package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The kinds of [Error].
var (
	// ErrOpen: the call was not made. The service has failed too often, and nobody needs to wait to
	// learn that it still does.
	ErrOpen = errors.New("breaker is open")
	// ErrFull: the call was not made, because Settings.MaxConcurrent are under way.
	ErrFull = errors.New("too many calls at once")
	// ErrTimeout: the call took longer than Settings.CallTimeout. Whether it had an effect is unknown.
	ErrTimeout = errors.New("call timed out")
)

// maxProbeWait bounds what callers are told to wait while a probe is under way: it may be answered
// at any moment.
const maxProbeWait = time.Second

// Error is a call that a breaker refused or gave up. It is immutable and may be shared by many callers.
//
// It is a net.Error, so whoever sorts errors into those of the network and others takes it for
// one of the network, which it stands for.
type Error struct {
	// Kind is ErrOpen, ErrFull or ErrTimeout, for errors.Is.
	Kind error
	// ID is the breaker's.
	ID string
	// Cause is what the call returned after its time was over, or nil.
	Cause error

	until time.Time // when a call may be let through again
	probe bool
}

var _ interface { // net.Error
	error
	Timeout() bool
	Temporary() bool
} = (*Error)(nil)

// RetryAfter is how long to wait, from now, before a call is worth trying again: 1 ms or more, or 0 if nothing
// speaks against trying at once. The breaker takes nobody's word for it: of all who come then, one is let through.
func (e *Error) RetryAfter() time.Duration {
	if e.until.IsZero() {
		return 0
	}
	wait := max(time.Until(e.until), time.Millisecond)
	if e.probe {
		return min(wait, maxProbeWait)
	}
	return wait
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case errors.Is(e.Kind, ErrOpen) && e.probe:
		return fmt.Sprintf("breaker %s: %v: a probe is under way", e.ID, e.Kind)
	case errors.Is(e.Kind, ErrOpen):
		return fmt.Sprintf("breaker %s: %v: try again after %v", e.ID, e.Kind, e.RetryAfter().Round(time.Millisecond))
	case e.Cause != nil:
		return fmt.Sprintf("breaker %s: %v: %v", e.ID, e.Kind, e.Cause)
	}
	return fmt.Sprintf("breaker %s: %v", e.ID, e.Kind)
}

// Unwrap returns the kind, and the cause unless that is the end of the call's own context: who finds
// context.DeadlineExceeded in an error believes that its own time is up, which it is not.
func (e *Error) Unwrap() []error {
	if e.Cause == nil || errors.Is(e.Cause, context.DeadlineExceeded) || errors.Is(e.Cause, context.Canceled) {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Refused tells that the call was not made, so that it has had no effect.
func (e *Error) Refused() bool { return !errors.Is(e.Kind, ErrTimeout) }

// Unavailable is true: it is the service or the way to it that fails, not the request.
func (e *Error) Unavailable() bool { return true }

// Timeout tells whether the call took too long. It belongs to net.Error.
func (e *Error) Timeout() bool { return errors.Is(e.Kind, ErrTimeout) }

// Temporary is true. It belongs to net.Error.
func (e *Error) Temporary() bool { return true }
