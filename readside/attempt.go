package readside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// failure is why a transaction did not commit.
type failure struct {
	kind failureKind
	err  error
	// share is whose fault it was; nil if it was nobody's.
	share *share
	// step is the command that failed.
	step int
}

type failureKind int

const (
	// ofCommand: a handler failed.
	ofCommand failureKind = iota
	// ofShard: another worker moved the offset.
	ofShard
	// ofDatabase: nothing was committed.
	ofDatabase
	// ofCommit: it may have been committed or not.
	ofCommit
)

// errSlow is wrapped when a handler used up the transaction's time.
var errSlow = errors.New("it ran longer than Config.HandlerTimeout; calls to the outside do not belong in a SQL handler")

// commitSome commits one batch; false if there was nothing to do.
func (w *worker) commitSome(ctx context.Context) bool {
	b := w.take()
	if len(b.shares) == 0 {
		return false
	}
	for len(b.shares) > 0 {
		f := w.try(ctx, b)
		if f == nil {
			w.committed(b)
			break
		}
		if ctx.Err() != nil {
			break // the store tells the next life what became of it
		}
		w.failed(b, f)
	}
	return true
}

// try runs a batch in one transaction: first all positions are moved, in ascending order, so
// that no two workers wait for each other and one that was overtaken does no work; then the handlers run.
func (w *worker) try(ctx context.Context, b *batch) *failure {
	w.store.statements.prepare(ctx)
	tx, err := w.store.db.BeginTx(ctx, nil)
	if err != nil {
		return &failure{kind: ofDatabase, err: err}
	}
	w.store.statements.begin(tx)
	bounded, cancel := context.WithTimeout(handlerContext{ctx, w.store.statements}, w.cfg.HandlerTimeout)
	defer cancel()
	defer context.AfterFunc(bounded, func() { w.reportRunning(bounded) })()
	f := w.moveAll(bounded, tx, b)
	if f == nil {
		f = w.handleAll(bounded, tx, b)
	}
	if f != nil {
		_ = tx.Rollback() // a connection that cannot roll back is closed by database/sql
		return f
	}
	if err := tx.Commit(); err != nil {
		return &failure{kind: ofCommit, err: err}
	}
	return nil
}

func (w *worker) moveAll(ctx context.Context, tx *sql.Tx, b *batch) *failure {
	for _, s := range b.shares {
		if f := w.moveTo(ctx, tx, s, s.lane.stored); f != nil {
			return f
		}
	}
	return nil
}

func (w *worker) moveTo(ctx context.Context, tx *sql.Tx, s *share, from stored) *failure {
	var err error
	s.to, err = w.store.move(ctx, tx, s.lane.shard, from, s.end.position)
	switch {
	case errors.Is(err, errMoved):
		return &failure{kind: ofShard, err: err, share: s}
	case err != nil:
		return &failure{kind: ofDatabase, err: err}
	}
	return nil
}

// handleAll runs the handlers of a batch until its time is over, and puts the positions back
// of what it did not come to.
func (w *worker) handleAll(ctx context.Context, tx *sql.Tx, b *batch) *failure {
	defer w.running.Store(nil)
	over := time.Now().Add(w.cfg.MaxTime)
	for n, s := range b.shares {
		for i := range s.steps {
			if (n > 0 || i > 0) && time.Now().After(over) {
				return w.shorten(ctx, tx, b, n, i)
			}
			if f := w.step(ctx, tx, s, i); f != nil {
				return f
			}
		}
	}
	return nil
}

// shorten ends a batch before step i of its share n.
func (w *worker) shorten(ctx context.Context, tx *sql.Tx, b *batch, n, i int) *failure {
	for _, s := range b.shares[n:] {
		s.steps, s.end = s.steps[:i], s.lane.start()
		if i > 0 {
			s.end = s.steps[i-1].after
		}
		if f := w.moveTo(ctx, tx, s, s.to); f != nil {
			return f
		}
		i = 0
	}
	return nil
}

// step handles one command, or files it behind its entity's parked ones.
func (w *worker) step(ctx context.Context, tx *sql.Tx, s *share, i int) *failure {
	st, why := &s.steps[i], (*trouble)(nil)
	if s.park {
		why = s.lane.trouble
	}
	if s.park || s.lane.parked[st.command.of] > 0 {
		if err := w.store.park(ctx, tx, st, why); err != nil {
			return &failure{kind: ofDatabase, err: err}
		}
		return nil
	}
	if err := w.handle(ctx, tx, st); err != nil {
		return &failure{kind: ofCommand, err: err, share: s, step: i}
	}
	return nil
}

// handle runs the handlers of a command. An error after the transaction's time is the handler's
// doing, whatever it looks like.
func (w *worker) handle(ctx context.Context, tx *sql.Tx, st *step) error {
	w.running.Store(st.command)
	err := w.rulesFor(ctx, tx, st)
	if ctx.Err() == nil {
		return err
	}
	if err == nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%w: %w", errSlow, err)
}

// rulesFor gives each event of a command to the rules that take it.
func (w *worker) rulesFor(ctx context.Context, tx *sql.Tx, st *step) error {
	for i := range st.command.events {
		e := &st.command.events[i]
		for _, rule := range w.route(e.kind) {
			if e.err != nil {
				return e.err
			}
			d := delivery{history: w.store.history, epoch: st.record.Epoch, shard: st.lane.shard, command: st.command, event: e}
			if err := callHandler(ctx, tx, rule, d); err != nil {
				return fmt.Errorf("the rule for %s, event %s: %w", rule.message, eventID(w.store.history, st.lane.shard, e.offset), err)
			}
		}
	}
	return nil
}

// callHandler makes an error of a panic.
func callHandler(ctx context.Context, tx *sql.Tx, rule *SQLRule, d delivery) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	return rule.handle(ctx, tx, d)
}

// route returns the rules for a kind of event.
func (w *worker) route(k *kind) []*SQLRule {
	rules, ok := w.routes[k]
	if ok {
		return rules
	}
	for i := range w.rules {
		r := &w.rules[i]
		if r.takes(k.entityType, k.current) || (k.err != nil && (r.entityType == "" || r.entityType == k.entityType)) {
			rules = append(rules, r)
		}
	}
	w.routes[k] = rules
	return rules
}

// reportRunning names the handler that runs when a transaction's time is over: one that does
// not look at its context would otherwise be silent.
func (w *worker) reportRunning(ctx context.Context) {
	c := w.running.Load()
	if c == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return
	}
	w.log.Error("a handler runs longer than Config.HandlerTimeout: calls to the outside do not belong in a SQL handler",
		"processor", w.name, "timeout", w.cfg.HandlerTimeout, "entity_type", c.of.Type, "entity_id", c.of.ID,
		"event", eventID(w.store.history, c.shard, c.first), "message", c.events[0].kind.current)
}
