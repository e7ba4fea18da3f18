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

// verb is an operator's request to retry a parked entity. The worker of the node that was asked carries it out between two
// transactions. Where another node follows the shard, the verb's transaction holds the shard's position meanwhile:
// whoever holds that is the shard's worker, and the other one learns of it when it moves the position the next time.
type verb struct {
	of   journal.Entity
	ctx  context.Context //nolint:containedctx // whoever asked waits no longer than this
	done chan error      // gets one value
	// retried tells that a part of it is committed.
	retried bool
}

// maxVerbs bounds the requests that wait.
const maxVerbs = 64

// retryChunk is how many parked commands one transaction tries.
const retryChunk = 100

// Retry handles the parked commands of an entity, on whichever node its shard is followed, in order, and returns when the last of them
// is committed; events that arrived meanwhile follow. If one fails again the entity stays parked
// from there on, and the error is returned. It wraps ErrNotParked if nothing of the entity is parked, ErrPaused or
// ErrHalted if the processor does nothing now.
func (r *Runner) Retry(ctx context.Context, processor, entityType, entityID string) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	v := &verb{of: journal.Entity{Type: entityType, ID: entityID}, ctx: ctx, done: make(chan error, 1)}
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
	more, err := w.retry(ctx, v)
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
func (w *worker) retry(ctx context.Context, v *verb) (more bool, err error) {
	rows, err := w.store.parkedOf(ctx, v.of)
	switch {
	case err != nil:
		return false, fmt.Errorf("readside: read what processor %s has parked: %w", w.name, err)
	case len(rows) == 0 && v.retried:
		return false, nil
	case len(rows) == 0:
		return false, notFound(ErrNotParked, "processor %s has parked nothing of %s %s", w.name, v.of.Type, v.of.ID)
	case int64(rows[0].shard) >= int64(len(w.lanes)):
		return false, fmt.Errorf("readside: skerry_parked of processor %s names shard %d, there are %d", w.name, rows[0].shard, len(w.lanes))
	}
	g, err := w.grip(w.lanes[rows[0].shard])
	if err != nil {
		return false, err
	}
	steps, err := w.readParked(ctx, g.lane, v.of, rows)
	if err != nil {
		return false, err
	}
	more, err = w.drain(ctx, g, v.of, steps)
	v.retried = v.retried || err == nil
	return more || (err == nil && len(rows) == retryChunk), err
}

// grip is how a worker holds a shard whose parked commands it handles.
type grip struct {
	lane *lane
	life uint64
	// borrowed: the lane is not followed here now, or its position not known.
	borrowed bool
}

func (w *worker) grip(l *lane) (grip, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.phase == halted {
		return grip{}, fmt.Errorf("readside: shard %d of processor %s cannot be touched now (%s %s)", l.shard, w.name, l.phase, l.reason)
	}
	known := (l.phase == following || l.phase == blocked) && l.seen == l.life
	return grip{l, l.life, !known}, nil
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
func (w *worker) drain(ctx context.Context, g grip, of journal.Entity, steps []step) (more bool, err error) {
	at, failure := w.tryParked(ctx, g, steps, nil)
	if failure == nil {
		w.unparked(g, of, len(steps))
		return !g.borrowed && g.lane.parked[of] > 0, nil
	}
	if at < 0 {
		return false, w.retryBroken(g, failure)
	}
	if isUnavailable(failure) {
		return false, fmt.Errorf("readside: retry %s %s: %w", of.Type, of.ID, failure)
	}
	if _, err := w.tryParked(ctx, g, steps[:at+1], failure); err != nil {
		return false, w.retryBroken(g, err)
	}
	w.unparked(g, of, at)
	return false, fmt.Errorf("readside: %s %s stays parked at offset %d: %w", of.Type, of.ID, steps[at].command.first, failure)
}

// retryBroken is an error that is no command's fault: what is stored is read again.
func (w *worker) retryBroken(g grip, err error) error {
	if errors.Is(err, errPaused) {
		w.notePaused(true)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if no := w.refusal(); no != nil {
		return no
	}
	w.note(g.lane, err)
	if !g.borrowed {
		w.reload(g.lane, w.backoff(1))
	}
	return fmt.Errorf("readside: retry in shard %d: %w", g.lane.shard, err)
}

// tryParked handles commands and deletes their rows, in one transaction that holds the shard's
// position. With an error, it is stored with the last of them instead of handling that. At is
// the command whose handler failed, or -1.
func (w *worker) tryParked(ctx context.Context, g grip, steps []step, known error) (at int, err error) {
	if at, err := w.callParked(ctx, steps, known != nil); err != nil {
		return at, err
	}
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	tx, err := w.store.begin(ctx)
	if err != nil {
		return -1, err
	}
	moved, at, err := w.fillParked(ctx, tx, g, steps, known)
	if err != nil {
		if tx.mayBeCommitted(err, tx.rollback()) {
			return -1, err // the store tells which rows are left
		}
		return at, err
	}
	if err := tx.commit(); err != nil {
		return -1, err
	}
	if !g.borrowed {
		g.lane.stored = moved
	}
	return -1, nil
}

func (w *worker) fillParked(ctx context.Context, tx *transaction, g grip, steps []step, known error) (moved stored, at int, err error) {
	bounded, cancel := context.WithTimeout(handlerContext{ctx, w.store.statements}, w.cfg.HandlerTimeout)
	defer cancel()
	defer context.AfterFunc(bounded, func() { w.reportRunning(bounded) })()
	if l := g.lane; g.borrowed {
		err = w.store.take(bounded, tx.Tx, l.shard)
	} else {
		moved, err = w.store.move(bounded, tx.Tx, l.shard, l.stored, l.stored.position)
	}
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
func (w *worker) unparked(g grip, of journal.Entity, n int) {
	if g.borrowed {
		return // whoever follows the shard reads its books again
	}
	l := g.lane
	l.rows -= n
	if l.parked[of] -= n; l.parked[of] <= 0 {
		delete(l.parked, of)
		w.log.Info("a parked entity is done", "processor", w.name, "shard", l.shard, "entity_type", of.Type, "entity_id", of.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.life != g.life {
		return
	}
	l.shown.parkedEntities, l.shown.parkedCommands = len(l.parked), l.rows
	if l.phase == blocked && l.rows < w.cfg.MaxParked {
		l.phase, l.reason, l.until = following, "", time.Time{}
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
