package breaker

import (
	"context"
	"time"

	"github.com/skerryhq/skerry/breaker/internal/machine"
)

// call is one that was admitted.
type call struct {
	b      *Breaker // nil if the breaker is off
	gate   *gate
	ticket machine.Ticket
	start  time.Duration
	// patience is how long the caller's own deadline lets it run.
	patience time.Duration
	timed    *timed // with a call-timeout
	left     bool
}

// enter asks for a call. One whose caller has gone already is none.
func (b *Breaker) enter(ctx context.Context) (call, error) {
	if err := ctx.Err(); err != nil {
		return call{}, err
	}
	g := b.gate.Load()
	c := call{b: b, gate: g, ticket: g.ticket}
	switch g.mode {
	case bypass:
		return call{left: true}, nil
	case refuse:
		b.count.stripe().refused.Add(1)
		return call{}, g.refusal
	case ask:
		if err := b.ask(&c); err != nil {
			return call{}, err
		}
	}
	s := c.gate.settings // asked for, the machine may have given newer ones
	deadline, bound := ctx.Deadline()
	if !bound && s.CallTimeout == 0 && s.SlowAfter == 0 {
		return c, nil
	}
	c.start = b.now()
	if bound {
		c.patience = deadline.Sub(b.base) - c.start
	}
	if s.CallTimeout > 0 {
		c.timed = b.time(ctx, c, deadline, bound)
	}
	return c, nil
}

// ask lets the machine decide.
func (b *Breaker) ask(c *call) (err error) {
	b.mu.Lock()
	now := b.now()
	ticket, why, again := b.machine.Admit(now)
	state, _ := b.machine.State()
	switch why {
	case machine.RefusedOpen:
		err = b.refusal(state, again)
	case machine.RefusedFull:
		err = &Error{Kind: ErrFull, ID: b.id}
	}
	b.show(now)
	news := b.tells.take(b.machine.Transitions(), b.lastErr)
	c.ticket, c.gate = ticket, b.gates.ask
	b.mu.Unlock()
	if news {
		b.tells.tell()
	}
	return err
}

// context returns what the call runs with.
func (c *call) context(ctx context.Context) context.Context {
	if c.timed != nil {
		return c.timed
	}
	return ctx
}

// leave takes what the call returned and gives what its caller gets.
func (c *call) leave(ctx context.Context, err error) error {
	if c.left {
		return err
	}
	c.left = true
	if c.timed != nil && !c.timed.end() {
		c.free()
		return c.overdue(ctx, err)
	}
	c.settle(c.judge(ctx, err), err)
	return err
}

// overdue gives a caller the error of a call whose time is over; its outcome has been counted.
func (c *call) overdue(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || c.gate.settings.ignores(err) {
		return err
	}
	return &Error{Kind: ErrTimeout, ID: c.b.id, Cause: err}
}

func (c *call) judge(ctx context.Context, err error) Outcome {
	s := c.gate.settings
	o := s.judge(ctx, err, c.patience)
	if o == Succeeded && s.SlowAfter > 0 && c.b.now()-c.start > s.SlowAfter {
		return Slow
	}
	return o
}

// settle counts the outcome of a call that returned.
func (c *call) settle(o Outcome, err error) {
	if c.gate.mode == pass && c.b.gate.Load() == c.gate {
		switch o {
		case Succeeded:
			c.b.count.stripe().succeeded.Add(1)
			return
		case Rejected:
			c.b.count.stripe().rejected.Add(1)
			return
		}
	}
	c.b.done(c.ticket, o, err, true)
}

// free gives back the slot of a call whose outcome is counted already.
func (c *call) free() {
	if c.ticket.Slot {
		c.b.mu.Lock()
		defer c.b.mu.Unlock()
		c.b.machine.Leave(c.ticket)
	}
}

// done counts an outcome in the machine.
func (b *Breaker) done(t machine.Ticket, o Outcome, err error, returned bool) {
	b.step(func(now time.Duration) {
		if o == Failed || o == TimedOut {
			b.lastErr = err
		}
		b.machine.Done(t, machine.Outcome(o), now)
		if returned {
			b.machine.Leave(t)
		}
	})
}

// unwind ends a call whose function did not return: it panicked, or ended its goroutine.
func (c *call) unwind() {
	if c.left {
		return
	}
	c.left = true
	if c.timed != nil && !c.timed.end() {
		c.free()
		return
	}
	c.settle(Failed, errPanicked)
}
