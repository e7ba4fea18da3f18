package readside

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// loadSome reads where lanes stopped, if any waits for it.
func (w *worker) loadSome(ctx context.Context) bool {
	w.mu.Lock()
	lanes := w.loads
	if w.idle() || len(lanes) == 0 {
		w.mu.Unlock()
		return false
	}
	w.loads = nil
	w.mu.Unlock()

	var only *uint32
	if len(lanes) == 1 && w.store.checked {
		only = &lanes[0].shard
	}
	found, paused, err := w.loadAll(ctx, only)
	if err != nil {
		w.mu.Lock()
		w.loads = append(lanes, w.loads...)
		w.mu.Unlock()
		if ctx.Err() == nil {
			w.setAway(err)
		}
		return true
	}
	w.setBack()
	if paused {
		w.notePaused(true)
	}
	w.checkHistory(found)
	for _, l := range lanes {
		if w.halted() {
			break
		}
		w.begin(ctx, l, found[l.shard])
	}
	return true
}

func (w *worker) loadAll(ctx context.Context, only *uint32) (map[uint32]*loaded, bool, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	return w.store.loadAll(ctx, only)
}

// bounded is for one transaction, its commit included: a database that does not answer is away.
func (w *worker) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 2*w.cfg.HandlerTimeout)
}

// checkHistory looks at all shards before the first transaction, those of other nodes too: rows
// of two histories would otherwise stand side by side before it is noticed.
func (w *worker) checkHistory(found map[uint32]*loaded) {
	if w.store.checked {
		return
	}
	w.store.checked = true
	for shard, at := range found {
		if at.history != w.store.history {
			w.otherHistory(shard, at)
			return
		}
	}
}

func (w *worker) otherHistory(shard uint32, at *loaded) {
	w.stopAll(fmt.Errorf("processor %s followed history %s up to shard %d offset %d, and this journal is history %s (it was restored, or is another one): empty its tables and readside.Forget it, or give the processor a new name",
		w.name, at.history, shard, at.offset, w.store.history))
}

// begin puts a lane where the store says it stopped.
func (w *worker) begin(ctx context.Context, l *lane, at *loaded) {
	if at == nil {
		at = &loaded{parked: map[journal.Entity]int{}}
	}
	if at.exists && at.history != w.store.history {
		w.otherHistory(l.shard, at)
		return
	}
	if l.stored.exists && !at.exists {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.halt(l, fmt.Errorf("processor %s, shard %d: its row in skerry_progress is gone, it stood at offset %d: stop a processor before readside.Forget", w.name, l.shard, l.stored.offset))
		return
	}
	same, err := w.sameLog(ctx, l.shard, at.position)
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errLost):
		w.lost(l, at)
	case err != nil:
		w.unsure(l, err)
	case !same:
		w.stopAll(fmt.Errorf("processor %s, shard %d: the journal went another way after a restore: the event at offset %d is not the one that was followed: empty its tables and readside.Forget it (or, if they have a file of their own, stop and remove that file), or give the processor a new name",
			w.name, l.shard, at.offset))
	default:
		w.follow(l, at)
	}
}

// errLost is returned when the log ends before a position.
var errLost = errors.New("the log ends before the position")

// sameLog tells whether the log still holds the record in which a position's last event is. It asks the log, not for its
// head: another node may have written, and followed, what this one has not heard of.
func (w *worker) sameLog(ctx context.Context, shard uint32, at position) (bool, error) {
	for number := max(at.record, 1); at.batch != (journal.Batch{}); number++ {
		records, err := w.cfg.Source.Records(ctx, shard, number, 1)
		switch {
		case err != nil:
			return false, err
		case len(records) == 0:
			return false, errLost
		case number > at.record || records[0].NextOffset() > at.offset:
			return records[0].Batch == at.batch, nil
		}
	}
	return true, nil
}

// unsure tries again later to begin with a lane whose log cannot be read now.
func (w *worker) unsure(l *lane, err error) {
	l.setbacks++
	wait := w.backoff(l.setbacks)
	w.log.Warn("a log cannot be read now", "processor", w.name, "shard", l.shard, "failures", l.setbacks, "wait", wait, "err", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest(l, wait)
}

// lost is a position that the log does not have.
func (w *worker) lost(l *lane, at *loaded) {
	head, _ := w.cfg.Source.Head(l.shard)
	w.stopAll(fmt.Errorf("processor %s, shard %d: it stands at record %d, offset %d, and the log ends with record %d, offset %d (the journal was restored without a new history?): empty its tables and readside.Forget it, or give the processor a new name",
		w.name, l.shard, at.record, at.offset, head.Number, head.NextOffset()-1))
}

func (w *worker) follow(l *lane, at *loaded) {
	l.stored, l.parked, l.rows = at.stored, at.parked, at.rows
	l.at, l.todo, l.done = at.position, nil, 0
	if l.trouble != nil && l.trouble.offset <= at.offset {
		l.trouble = nil
	}
	w.mu.Lock()
	if l.phase == loading {
		l.life++
		l.phase, l.reason = following, ""
		l.ahead = ahead{next: at.record + 1, offset: at.offset + 1, epoch: at.epoch, within: true}
		l.shown.position, l.shown.parkedEntities, l.shown.parkedCommands = at.position, len(at.parked), at.rows
		l.seen = l.life
		w.reach(l, at.offset)
	}
	w.mu.Unlock()
	w.stir(l)
}

// reload throws away what is known of a lane and reads it from the store again, after a
// wait. The lock is held.
func (w *worker) reload(l *lane, wait time.Duration) {
	switch {
	case l.phase != following && l.phase != blocked:
	case wait == 0:
		w.drop(l, loading)
		w.load(l)
	default:
		w.drop(l, loading)
		w.rest(l, wait)
	}
}

func (w *worker) halted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason != ""
}
