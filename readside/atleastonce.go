package readside

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
)

// This file runs processors that call others. Their handlers run outside of any transaction, and how far the
// processor is commits afterwards.

// CallRule is one rule of an at-least-once processor; see [Call].
type CallRule struct{ rule SQLRule }

// Call makes the rule for events whose current type is M, as [On] does. handle may call other services. A crash
// between the call and its commit brings the same event again, so what it sends carries a key: [Event.ID] is one.
//
// An error is retried, and parks the entity after Config.MaxAttempts. One of the class unavailable never parks:
// it wraps entity.ErrUnavailable, is a net.Error, or has a method Unavailable that says so, as the errors of a
// breaker do. Where it has a method RetryAfter, the shard waits as long as that asks, within a minute. ctx ends
// after Config.HandlerTimeout; an error from then on is of the class unavailable too.
func Call[M proto.Message](handle func(ctx context.Context, ev Event[M]) error, options ...RuleOption) CallRule {
	return CallRule{On(func(ctx context.Context, _ *sql.Tx, ev Event[M]) error { return handle(ctx, ev) }, options...)}
}

// AtLeastOnce makes a processor that lets others know: its rules call other services, one command after the
// other, and each has moved the offset before the next is handled. After a crash the last command may come again; none is ever
// passed over. How far it is stands in db, as with [SQL].
//
// AtLeastOnce panics on a wrong definition, as SQL does.
func AtLeastOnce(name string, db *sql.DB, rules ...CallRule) Processor {
	plain := make([]SQLRule, len(rules))
	for i, r := range rules {
		plain[i] = r.rule
	}
	p := define("AtLeastOnce", name, db, plain)
	p.outside = true
	return p
}

// callBatch runs the handlers of a batch, if they call others. Commands that are parked, or are about to
// be, are not handled.
func (w *worker) callBatch(ctx context.Context, b *batch) *failure {
	if !w.outside {
		return nil
	}
	for _, s := range b.shares {
		for i := range s.steps {
			if s.park || s.lane.parked[s.steps[i].command.of] > 0 {
				continue
			}
			if err := w.callOutside(ctx, &s.steps[i]); err != nil {
				return &failure{kind: ofCommand, err: err, share: s, step: i}
			}
		}
	}
	return nil
}

// callParked does the same for commands that are retried, unless they were called before.
func (w *worker) callParked(ctx context.Context, steps []step, called bool) (at int, err error) {
	if !w.outside || called {
		return -1, nil
	}
	for i := range steps {
		if err := w.callOutside(ctx, &steps[i]); err != nil {
			return i, err
		}
	}
	return -1, nil
}

// callOutside runs the handlers of one command.
func (w *worker) callOutside(ctx context.Context, st *step) (err error) {
	bounded, cancel := context.WithTimeout(ctx, w.cfg.HandlerTimeout)
	defer cancel()
	w.running.Store(st.command)
	defer w.running.Store(nil)
	defer context.AfterFunc(bounded, func() { w.reportRunning(bounded) })()
	returned := apart(func() {
		err = w.rulesFor(st, func(rule *SQLRule, d delivery) error { return callHandler(bounded, nil, rule, d) })
	})
	switch {
	case !returned:
		return errGoexit
	case err != nil && bounded.Err() != nil:
		return &overdueError{err}
	}
	return err
}

// overdueError is what a handler returned after its time was over: whoever it called was too slow.
type overdueError struct{ error }

func (e *overdueError) Unwrap() error { return e.error }

// Unavailable tells that it is no verdict on the event.
func (*overdueError) Unavailable() bool { return true }

// maxAsked bounds how long an error may ask a shard to wait.
const maxAsked = time.Minute

// pause is how long a lane waits after an error of the class unavailable: as long as that asks itself, or else the
// back-off. Who is asked to wait does not wait longer each time, so that all go on when the neighbour is back.
func (w *worker) pause(l *lane, err error) time.Duration {
	var says interface{ RetryAfter() time.Duration }
	if errors.As(err, &says) {
		if d := says.RetryAfter(); d > 0 {
			return min(d, maxAsked)
		}
	}
	l.setbacks++
	return w.backoff(l.setbacks)
}
