package readside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// verb is an operator's request to retry a parked entity. Only the worker touches parked
// rows, so it carries it out between two transactions.
type verb struct {
	of   journal.Entity
	ctx  context.Context //nolint:containedctx // whoever asked waits no longer than this
	done chan error      // gets one value
}

// maxVerbs bounds the requests that wait.
const maxVerbs = 64

// retryChunk is how many parked commands one transaction tries.
const retryChunk = 100

// Retry handles the parked commands of an entity, in order, and returns when the last of them
// is committed; events that arrived meanwhile follow. If one fails again the entity stays parked
// from there on, and the error is returned. It wraps ErrNotParked if nothing of the entity is parked, ErrPaused or
// ErrHalted if the processor does nothing now.
func (r *Runner) Retry(ctx context.Context, processor, entityType, entityID string) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	v := &verb{journal.Entity{Type: entityType, ID: entityID}, ctx, make(chan error, 1)}
	if err := w.request(v); err != nil {
		return err
	}
	select {
	case err := <-v.done:
		return err // of a kind that operators' tools understand
	case <-r.ended:
		return fmt.Errorf("readside: retry %s %s: the runner has stopped", entityType, entityID)
	case <-ctx.Done():
		return fmt.Errorf("readside: retry %s %s: it is still under way: %w", entityType, entityID, ctx.Err())
	}
}

func (w *worker) request(v *verb) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refusal(); err != nil {
		return err
	}
	w.verbs = slices.DeleteFunc(w.verbs, func(v *verb) bool { return v.ctx.Err() != nil })
	if len(w.verbs) >= maxVerbs {
		return fmt.Errorf("readside: %d requests wait for processor %s already: try again later", maxVerbs, w.name)
	}
	w.verbs = append(w.verbs, v)
	signal(w.wake)
	return nil
}

// refusal is why no request can be carried out until an operator acts; nil if it can. The lock is held.
func (w *worker) refusal() error {
	switch {
	case w.reason != "":
		return refused(ErrHalted, "skerry/halted", "processor %s has stopped for good: %s", w.name, w.reason)
	case w.paused:
		return refused(ErrPaused, "skerry/paused", "processor %s is paused: resume it first", w.name)
	}
	return nil
}

// refuse answers all requests that wait, once none can be carried out. The lock is held.
func (w *worker) refuse() {
	why := w.refusal()
	if why == nil {
		return
	}
	for _, v := range w.verbs {
		v.done <- why
	}
	w.verbs = nil
}

// verb carries out a part of the oldest request; the rest waits behind others, and so
// that events flow meanwhile. False if there is none.
func (w *worker) verb(ctx context.Context) bool {
	w.mu.Lock()
	if w.idle() || len(w.verbs) == 0 {
		w.mu.Unlock()
		return false
	}
	v := w.verbs[0]
	w.verbs = w.verbs[1:]
	w.mu.Unlock()
	if v.ctx.Err() != nil {
		return true // nobody waits for it
	}
	more, err := w.retry(ctx, v.of)
	if more {
		w.mu.Lock()
		w.verbs = append(w.verbs, v)
		w.refuse()
		w.mu.Unlock()
	} else {
		v.done <- told(err)
	}
	w.commitSome(ctx)
	return true
}

// told makes an error one that operators' tools understand.
func told(err error) error {
	var no *refusedError
	switch {
	case err == nil || errors.As(err, &no):
		return err
	case isUnavailable(err):
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: cutText(err.Error()), Cause: err}
	}
	return &entity.Error{Kind: entity.ErrFailed, Reason: cutText(err.Error()), Cause: err}
}

// parkedRow is a parked command as the store holds it.
type parkedRow struct {
	shard          uint32
	record, offset uint64
}

// retry tries the first parked commands of an entity. More tells that there may be others behind.
func (w *worker) retry(ctx context.Context, of journal.Entity) (more bool, err error) {
	rows, err := w.store.parkedOf(ctx, of)
	if err != nil {
		return false, fmt.Errorf("readside: read what processor %s has parked: %w", w.name, err)
	}
	if len(rows) == 0 {
		return false, notFound(ErrNotParked, "processor %s has parked nothing of %s %s", w.name, of.Type, of.ID)
	}
	l := w.lanes[rows[0].shard]
	w.mu.Lock()
	ready := (l.phase == following || l.phase == blocked) && l.seen == l.life
	reason := l.phase.String() + " " + l.reason
	life := l.life
	w.mu.Unlock()
	if !ready {
		return false, fmt.Errorf("readside: shard %d of processor %s cannot be touched now (%s): try again later", l.shard, w.name, reason)
	}
	steps, err := w.readParked(ctx, l, of, rows)
	if err != nil {
		return false, err
	}
	return w.drain(ctx, l, life, of, steps)
}

// readParked reads parked commands from the log again.
func (w *worker) readParked(ctx context.Context, l *lane, of journal.Entity, rows []parkedRow) ([]step, error) {
	d := newDecoder(w.cfg.Source.Types(), w.cfg.Processors)
	var steps []step
	for _, row := range rows {
		r, err := w.readRecord(ctx, d, l.shard, row.record)
		if err != nil {
			return nil, err
		}
		c := r.commandAt(row.offset)
		if c == nil && row.offset >= r.FirstOffset && row.offset-r.FirstOffset < r.Events {
			c = &command{shard: l.shard, of: of, first: row.offset} // no rule takes its events any more: it is done
		}
		if c == nil || c.of != of {
			return nil, fmt.Errorf("readside: skerry_parked of processor %s names record %d, offset %d of shard %d for %s %s, where the log has another command", w.name, row.record, row.offset, l.shard, of.Type, of.ID)
		}
		steps = append(steps, step{lane: l, record: r, command: c})
	}
	return steps, nil
}

func (w *worker) readRecord(ctx context.Context, d *decoder, shard uint32, number uint64) (*record, error) {
	found, err := w.cfg.Source.Records(ctx, shard, number, 1)
	if err == nil && (len(found) == 0 || found[0].Number != number) {
		err = fmt.Errorf("it is not there")
	}
	if err != nil {
		return nil, fmt.Errorf("readside: read record %d of shard %d: %w", number, shard, err)
	}
	return d.record(shard, found[0])
}

func (r *record) commandAt(offset uint64) *command {
	for i := range r.commands {
		if r.commands[i].first == offset {
			return &r.commands[i]
		}
	}
	return nil
}

// drain handles parked commands in one transaction. When one fails, those before it are
// committed and it is parked again with its error.
func (w *worker) drain(ctx context.Context, l *lane, life uint64, of journal.Entity, steps []step) (more bool, err error) {
	at, failure := w.tryParked(ctx, l, steps, nil)
	if failure == nil {
		w.unparked(l, life, of, len(steps))
		return l.parked[of] > 0, nil
	}
	if at < 0 {
		return false, w.retryBroken(l, failure)
	}
	if isUnavailable(failure) {
		return false, fmt.Errorf("readside: retry %s %s: %w", of.Type, of.ID, failure)
	}
	if _, err := w.tryParked(ctx, l, steps[:at+1], failure); err != nil {
		return false, w.retryBroken(l, err)
	}
	w.unparked(l, life, of, at)
	return false, fmt.Errorf("readside: %s %s stays parked at offset %d: %w", of.Type, of.ID, steps[at].command.first, failure)
}

// retryBroken is an error that is no command's fault: what is stored is read again.
func (w *worker) retryBroken(l *lane, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(l, err)
	w.reload(l, w.backoff(1))
	return fmt.Errorf("readside: retry in shard %d: %w", l.shard, err)
}

// tryParked handles commands and deletes their rows, in one transaction that holds the shard's
// position. With an error, it is stored with the last of them instead of handling that. At is
// the command whose handler failed, or -1.
func (w *worker) tryParked(ctx context.Context, l *lane, steps []step, known error) (at int, err error) {
	if at, err := w.callParked(ctx, steps, known != nil); err != nil {
		return at, err
	}
	tx, err := w.store.begin(ctx)
	if err != nil {
		return -1, err
	}
	moved, at, err := w.fillParked(ctx, tx, l, steps, known)
	if err != nil {
		if tx.mayBeCommitted(err, tx.rollback()) {
			return -1, err // the store tells which rows are left
		}
		return at, err
	}
	if err := tx.commit(); err != nil {
		return -1, err
	}
	l.stored = moved
	return -1, nil
}

func (w *worker) fillParked(ctx context.Context, tx *transaction, l *lane, steps []step, known error) (moved stored, at int, err error) {
	bounded, cancel := context.WithTimeout(handlerContext{ctx, w.store.statements}, w.cfg.HandlerTimeout)
	defer cancel()
	defer context.AfterFunc(bounded, func() { w.reportRunning(bounded) })()
	moved, err = w.store.move(bounded, tx.Tx, l.shard, l.stored, l.stored.position)
	if err != nil {
		return moved, -1, err
	}
	at, err = w.parkedApart(bounded, tx, steps, known)
	return moved, at, err
}

// handleParked deletes the row of a command before it handles that: should the database let a
// handler commit, the command does not come twice.
func (w *worker) handleParked(ctx context.Context, tx *transaction, steps []step, known error) (at int, err error) {
	defer w.running.Store(nil)
	for i := range steps {
		if known != nil && i == len(steps)-1 {
			return -1, w.store.failedAgain(ctx, tx.Tx, &steps[i], known)
		}
		if err := w.store.unpark(ctx, tx.Tx, &steps[i]); err != nil {
			return -1, err
		}
		if err := w.handle(ctx, tx, &steps[i]); err != nil {
			return i, err
		}
	}
	return -1, nil
}

// unparked takes n commands of an entity off the books.
func (w *worker) unparked(l *lane, life uint64, of journal.Entity, n int) {
	l.rows -= n
	if l.parked[of] -= n; l.parked[of] <= 0 {
		delete(l.parked, of)
		w.log.Info("a parked entity is done", "processor", w.name, "shard", l.shard, "entity_type", of.Type, "entity_id", of.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.life != life {
		return
	}
	l.shown.parkedEntities, l.shown.parkedCommands = len(l.parked), l.rows
	if l.phase == blocked && l.rows < w.cfg.MaxParked {
		l.phase, l.reason = following, ""
		w.offer(l)
	}
}

// parkedOf returns the first parked commands of an entity, in order.
func (s *store) parkedOf(ctx context.Context, of journal.Entity) (found []parkedRow, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	text := `SELECT shard, record, "offset" FROM skerry_parked WHERE processor = $1 AND entity_type = $2 AND entity_id = $3 ORDER BY "offset" LIMIT $4`
	err = each(ctx, tx, text, []any{s.processor, of.Type, of.ID, retryChunk}, func(rows *sql.Rows) error {
		var p parkedRow
		if err := rows.Scan(&p.shard, &p.record, &p.offset); err != nil {
			return err
		}
		found = append(found, p)
		return nil
	})
	return found, err
}

var (
	deleteParked = Prepare(`DELETE FROM skerry_parked WHERE processor = $1 AND shard = $2 AND "offset" = $3`)
	updateParked = Prepare(`UPDATE skerry_parked SET error = $1, attempts = attempts + 1 WHERE processor = $2 AND shard = $3 AND "offset" = $4`)
)

func (s *store) unpark(ctx context.Context, tx *sql.Tx, st *step) error {
	return changedOne(deleteParked.Exec(ctx, tx, s.processor, int64(st.lane.shard), integer(st.command.first)))
}

func (s *store) failedAgain(ctx context.Context, tx *sql.Tx, st *step, why error) error {
	return changedOne(updateParked.Exec(ctx, tx, cutText(why.Error()), s.processor, int64(st.lane.shard), integer(st.command.first)))
}

// Pause lets a processor end its transaction and begin no other, until Resume or until the process ends.
func (r *Runner) Pause(_ context.Context, processor string) error {
	return r.setPaused(processor, true)
}

// Resume ends a pause.
func (r *Runner) Resume(_ context.Context, processor string) error {
	return r.setPaused(processor, false)
}

func (r *Runner) setPaused(processor string, paused bool) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.paused != paused {
		w.log.Info("a processor is paused or resumed by an operator", "processor", w.name, "paused", paused, "at", time.Now())
	}
	w.paused = paused
	w.refuse()
	signal(w.wake)
	return nil
}
