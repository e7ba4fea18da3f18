package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

var errPanicked = errors.New("the call panicked")

// timed is the context of a call with a call-timeout. It ends with the caller's, at the
// call-timeout, or when the call has ended. Most calls never ask for Done, so what that needs is made when they do.
type timed struct {
	context.Context //nolint:containedctx // the caller's: this is a context itself
	call            call
	deadline        time.Time
	phase           atomic.Uint32
	alarm           *alarm

	mu     sync.Mutex
	inner  context.Context //nolint:containedctx // made by Done, for what is derived
	cancel context.CancelCauseFunc
}

// The phases of a timed call.
const (
	running  uint32 = iota
	answered        // counted, without a call-timeout from here on
	ended           // counted and over
	expired         // its time was over first
	orphaned        // its time was over, and its caller had gone before
)

// alarm is a timer that one call after the other uses.
type alarm struct {
	timer *time.Timer
	call  *timed
}

func (a *alarm) ring() { a.call.expire() }

// time starts the clock of a call.
func (b *Breaker) time(ctx context.Context, c call, deadline time.Time, bound bool) *timed {
	timeout := c.gate.settings.CallTimeout
	t := &timed{Context: ctx, call: c, deadline: b.base.Add(c.start + timeout)}
	if bound && deadline.Before(t.deadline) {
		t.deadline = deadline
	}
	a, _ := b.alarms.Get().(*alarm)
	if a == nil {
		a = &alarm{}
	}
	a.call, t.alarm = t, a
	if a.timer == nil {
		a.timer = time.AfterFunc(timeout, a.ring)
	} else {
		a.timer.Reset(timeout)
	}
	return t
}

// expire counts the call when its time is over, although it has not returned.
func (t *timed) expire() {
	to := expired
	if t.Context.Err() != nil {
		to = orphaned
	}
	if !t.phase.CompareAndSwap(running, to) {
		return
	}
	c := &t.call
	o, err := TimedOut, error(&Error{Kind: ErrTimeout, ID: c.b.id})
	if to == orphaned {
		o = c.gate.settings.judge(t.Context, t.Context.Err(), c.patience)
	}
	c.b.done(c.ticket, o, err, false)
	t.stop(err)
}

// answer ends the call-timeout but not the context. It tells whether it came in time.
func (t *timed) answer() bool {
	if !t.phase.CompareAndSwap(running, answered) {
		return false
	}
	t.silence()
	return true
}

// end ends the context. It tells whether the call was still running, so that its outcome is to be counted.
func (t *timed) end() bool {
	if t.phase.CompareAndSwap(running, ended) {
		t.silence()
		t.stop(context.Canceled)
		return true
	}
	if t.phase.CompareAndSwap(answered, ended) {
		t.stop(context.Canceled)
	}
	return false
}

// silence stops the alarm, and lets another call have it if it did not ring.
func (t *timed) silence() {
	a, b := t.alarm, t.call.b
	if a.timer.Stop() {
		a.call = nil
		b.alarms.Put(a)
	}
}

// stop ends what was derived from the context.
func (t *timed) stop(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cancel != nil {
		t.cancel(cause)
	}
}

// Deadline implements context.Context.
func (t *timed) Deadline() (time.Time, bool) {
	if t.phase.Load() == answered {
		return t.Context.Deadline()
	}
	return t.deadline, true
}

// Done implements context.Context.
func (t *timed) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inner == nil {
		t.inner, t.cancel = context.WithCancelCause(t.Context)
		switch t.phase.Load() {
		case expired:
			t.cancel(&Error{Kind: ErrTimeout, ID: t.call.b.id})
		case ended:
			t.cancel(context.Canceled)
		}
	}
	return t.inner.Done()
}

// Err implements context.Context.
func (t *timed) Err() error {
	switch t.phase.Load() {
	case expired:
		return context.DeadlineExceeded
	case ended:
		if err := t.Context.Err(); err != nil {
			return err
		}
		return context.Canceled
	}
	return t.Context.Err()
}

// Value implements context.Context. It leads derived contexts to the one behind Done, so that they need no
// goroutine to follow it.
func (t *timed) Value(key any) any {
	t.mu.Lock()
	inner := t.inner
	t.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return t.Context.Value(key)
}
