package readside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/skerryhq/skerry/entity"
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
	// ofPause: an operator paused the processor.
	ofPause
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
	if f := w.callBatch(ctx, b); f != nil {
		return f
	}
	bounded, cancel := w.bounded(ctx)
	defer cancel()
	tx, err := w.store.begin(bounded)
	if err != nil {
		return &failure{kind: ofDatabase, err: err}
	}
	f := w.fill(bounded, tx, b)
	if f != nil {
		if tx.mayBeCommitted(f.err, tx.rollback()) && f.share != nil && ctx.Err() == nil {
			w.endedByHandler(ctx, b, f)
		}
		return f
	}
	if err := tx.commit(); err != nil {
		if bounded.Err() != nil {
			err = fmt.Errorf("%w: the database did not answer in time: %w", entity.ErrUnavailable, err)
		}
		return &failure{kind: ofCommit, err: err}
	}
	return nil
}

// fill does within a transaction all that a batch is for.
func (w *worker) fill(ctx context.Context, tx *transaction, b *batch) *failure {
	bounded, cancel := context.WithTimeout(handlerContext{ctx, w.store.statements}, w.cfg.HandlerTimeout)
	defer cancel()
	defer context.AfterFunc(bounded, func() { w.reportRunning(bounded) })()
	if f := w.moveAll(bounded, tx.Tx, b); f != nil {
		return f
	}
	return w.handleApart(bounded, tx, b)
}

// endedByHandler finds out what became of a transaction that a handler ended on a database that could not
// refuse. If it was committed, the positions, which are moved first, are ahead of the commands behind that
// handler: they are put back behind its command, so that nothing is passed over or doubled, and the processor
// stops until its author has seen it.
func (w *worker) endedByHandler(ctx context.Context, b *batch, f *failure) {
	lost := w.putPositionsBack(ctx, b, f)
	switch {
	case lost == nil:
		w.stopAll(fmt.Errorf("processor %s: a handler committed the runner's transaction; its command counts as handled, nothing behind it ran: %w: correct it and start again", w.name, f.err))
	case lost.kind != ofShard:
		w.stopAll(fmt.Errorf("processor %s: a handler ended the runner's transaction, and the database does not tell whether that was committed (%w): %w: correct it, and build the read model again: events may be missing in it", w.name, lost.err, f.err))
	}
	// Otherwise the positions are the old ones: it was rolled back, and the command failed like any other.
}

func (w *worker) putPositionsBack(ctx context.Context, b *batch, f *failure) *failure {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.HandlerTimeout)
	defer cancel()
	tx, err := w.store.db.BeginTx(ctx, nil)
	if err != nil {
		return &failure{kind: ofDatabase, err: err}
	}
	defer func() { _ = tx.Rollback() }()
	if lost := w.shorten(ctx, tx, b, slices.Index(b.shares, f.share), f.step+1); lost != nil {
		return lost
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
	case errors.Is(err, errPaused):
		return &failure{kind: ofPause, err: err}
	case errors.Is(err, errMoved), isLocked(err):
		return &failure{kind: ofShard, err: err, share: s}
	case err != nil:
		return &failure{kind: ofDatabase, err: err}
	}
	return nil
}

// handleAll runs the handlers of a batch until its time is over, and puts the positions back
// of what it did not come to.
func (w *worker) handleAll(ctx context.Context, tx *transaction, b *batch) *failure {
	defer w.running.Store(nil)
	over := time.Now().Add(w.cfg.MaxTime)
	for n, s := range b.shares {
		for i := range s.steps {
			if (n > 0 || i > 0) && time.Now().After(over) {
				return w.shorten(ctx, tx.Tx, b, n, i)
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
func (w *worker) step(ctx context.Context, tx *transaction, s *share, i int) *failure {
	st, why := &s.steps[i], (*trouble)(nil)
	if s.park {
		why = s.lane.trouble
	}
	if s.park || s.lane.parked[st.command.of] > 0 {
		if err := w.store.park(ctx, tx.Tx, st, why); err != nil {
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
func (w *worker) handle(ctx context.Context, tx *transaction, st *step) error {
	if w.outside {
		return nil // before the transaction
	}
	w.under = st
	w.running.Store(st.command)
	err := w.rulesFor(st, func(rule *SQLRule, d delivery) error { return tx.call(ctx, rule, d) })
	if ctx.Err() == nil {
		return err
	}
	if err == nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%w: %w", errSlow, err)
}

// rulesFor gives each event of a command to the rules that take it.
func (w *worker) rulesFor(st *step, call func(*SQLRule, delivery) error) error {
	for i := range st.command.events {
		e := &st.command.events[i]
		for _, rule := range w.route(e.kind) {
			if e.err != nil {
				return e.err
			}
			d := delivery{history: w.store.history, epoch: st.record.Epoch, shard: st.lane.shard, command: st.command, event: e}
			if err := call(rule, d); err != nil {
				return fmt.Errorf("the rule for %s, event %s: %w", rule.message, eventID(w.store.history, st.lane.shard, e.offset), err)
			}
		}
	}
	return nil
}

// call calls a handler, and notices if it ended the transaction.
func (t *transaction) call(ctx context.Context, rule *SQLRule, d delivery) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	if err := callHandler(ctx, t.Tx, rule, d); err != nil {
		return err
	}
	return t.leave(ctx)
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
	if c == nil || len(c.events) == 0 || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return
	}
	message := "a handler runs longer than Config.HandlerTimeout: calls to the outside do not belong in a SQL handler"
	if w.outside {
		message = "a handler runs longer than Config.HandlerTimeout: whom it calls is slow, and the calls behind it wait"
	}
	w.log.Error(message,
		"processor", w.name, "timeout", w.cfg.HandlerTimeout, "entity_type", c.of.Type, "entity_id", c.of.ID,
		"event", eventID(w.store.history, c.shard, c.first), "message", c.events[0].kind.current)
}
