package readside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// This file pauses processors. A pause is a row of the processor's database, and each compare-and-set of an offset
// looks for it: a worker on whichever node learns of a pause when it moves something the next time, and needs to be told by nobody.
// Only one that knows that it is paused asks now and then whether it still is.

// pauseLook is how often a paused worker asks.
const pauseLook = time.Second

// Pause lets a processor end its transactions and begin no other, on any node and also after a restart, until
// Resume. It returns once that is stored.
func (r *Runner) Pause(ctx context.Context, processor string) error {
	return r.setPaused(ctx, processor, true)
}

// Resume ends a pause. Other nodes learn of it within a second.
func (r *Runner) Resume(ctx context.Context, processor string) error {
	return r.setPaused(ctx, processor, false)
}

func (r *Runner) setPaused(ctx context.Context, processor string, paused bool) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	if paused {
		w.notePaused(true) // at once here, and before a transaction that hangs lets us store it
	}
	if err := w.store.setPaused(ctx, paused); err != nil {
		w.lookAtPause()
		return told(fmt.Errorf("readside: whether processor %s is paused cannot be stored: %w", w.name, err))
	}
	w.notePaused(paused)
	return nil
}

// notePaused takes in whether the processor is paused.
func (w *worker) notePaused(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauseAt = time.Now().Add(pauseLook)
	if w.paused != paused {
		w.log.Info("a processor is paused or resumed by an operator", "processor", w.name, "paused", paused)
	}
	w.paused = paused
	w.refuse()
	signal(w.wake)
}

// lookAtPause makes the worker ask at once whether it is paused.
func (w *worker) lookAtPause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauseAt = time.Now()
	signal(w.wake)
}

// readPause asks whether the processor is still paused, when it is time to; true if it is not any more.
func (w *worker) readPause(ctx context.Context) bool {
	w.mu.Lock()
	due := w.paused && w.reason == "" && !w.pauseAt.After(time.Now())
	w.pauseAt = time.Now().Add(pauseLook)
	w.mu.Unlock()
	if !due {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, w.cfg.HandlerTimeout)
	defer cancel()
	paused, err := w.store.readPaused(ctx)
	if err != nil || paused {
		return false // a database that is away says so to whoever resumes
	}
	w.notePaused(false)
	return true
}

const (
	storePause = `INSERT INTO skerry_paused (processor, since) VALUES ($1, $2) ON CONFLICT (processor) DO NOTHING`
	dropPause  = `DELETE FROM skerry_paused WHERE processor = $1`
)

func (s *store) setPaused(ctx context.Context, paused bool) (err error) {
	if paused {
		_, err = s.db.ExecContext(ctx, storePause, s.processor, time.Now().UnixMilli())
	} else {
		_, err = s.db.ExecContext(ctx, dropPause, s.processor)
	}
	return err
}

func (s *store) readPaused(ctx context.Context) (bool, error) {
	return isPaused(s.db.QueryRowContext(ctx, askPaused, s.processor))
}

func (s *store) paused(ctx context.Context, tx *sql.Tx) (bool, error) {
	return isPaused(tx.QueryRowContext(ctx, askPaused, s.processor))
}

const askPaused = `SELECT since FROM skerry_paused WHERE processor = $1`

func isPaused(row *sql.Row) (bool, error) {
	var since int64
	err := row.Scan(&since)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
