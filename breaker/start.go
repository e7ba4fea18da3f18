package breaker

import (
	"context"
	"sync"
)

// Call is a call whose end is elsewhere than its beginning, such as where its answer is a stream. It may be
// used concurrently.
type Call struct {
	call
	caller context.Context //nolint:containedctx // a Call is one call: it ends with it
	mu     sync.Mutex
	heard  bool // the outcome is counted
	over   bool
}

// Start asks for a call; most want [Do]. A call that was given must be ended with [Call.End] or [Call.EndAs]; one that is
// not counts as a failure at the call-timeout, and holds its place in a bulkhead for ever.
func (b *Breaker) Start(ctx context.Context) (*Call, error) {
	c, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	return &Call{call: c, caller: ctx, heard: c.left}, nil
}

// Context is what the call runs with. It ends at the call-timeout, and with the call.
func (c *Call) Context() context.Context { return c.call.context(c.caller) }

// Answered counts the call now, as a success if it was in time, and lets it go on without a call-timeout.
func (c *Call) Answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard {
		return
	}
	c.heard = true
	if c.timed != nil && !c.timed.answer() {
		return
	}
	c.count(c.judge(c.caller, nil), nil)
}

// End ends the call with what it brought, and returns the error to pass on: err, or an [*Error] of the
// kind ErrTimeout if err came of the call-timeout. Only the first end counts.
func (c *Call) End(err error) error {
	c.finish(func() Outcome { return c.judge(c.caller, err) }, err)
	return c.told(err)
}

// EndAs is End with an outcome that only the call's maker can tell.
func (c *Call) EndAs(o Outcome, err error) error {
	c.finish(func() Outcome { return o }, err)
	if o == Rejected {
		return err // an answer, however late
	}
	return c.told(err)
}

// TimedOut tells whether the call-timeout has ended the call.
func (c *Call) TimedOut() bool { return c.timed != nil && c.timed.phase.Load() == expired }

func (c *Call) told(err error) error {
	if c.TimedOut() {
		return c.overdue(c.caller, err)
	}
	return err
}

// finish counts the call if it has not been, and frees what it holds.
func (c *Call) finish(judge func() Outcome, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.b == nil {
		return
	}
	c.over = true
	inTime := c.timed == nil || c.timed.end()
	if !c.heard && inTime {
		c.heard = true
		c.count(judge(), err)
	}
	c.free()
}

// count settles the call but keeps its place.
func (c *Call) count(o Outcome, err error) {
	ticket := c.ticket
	c.ticket.Slot = false
	c.settle(o, err)
	c.ticket = ticket
}
