package readside

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// This file is the goroutine that reads ahead of a worker, so that records are decoded
// while statements run. It wakes up when a shard changes or the worker has caught up, and never else.

// changed is called where commands are served.
func (w *worker) changed(shard uint32) { w.stir(w.lanes[shard]) }

// stir makes the feeder look at a lane.
func (w *worker) stir(l *lane) {
	if l.stirred.Swap(true) {
		return
	}
	w.lookMu.Lock()
	w.look = append(w.look, l)
	w.lookMu.Unlock()
	signal(w.lookUp)
}

// signal wakes whoever waits on c, now or next time.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *worker) feed(ctx context.Context) {
	d := newDecoder(w.cfg.Source.Types(), w.cfg.Processors)
	for {
		w.readAgain()
		l := w.nextLook()
		if l == nil {
			if !w.idleFeeder(ctx) {
				return
			}
			continue
		}
		l.stirred.Store(false)
		w.lookAt(ctx, d, l)
	}
}

func (w *worker) nextLook() *lane {
	w.lookMu.Lock()
	defer w.lookMu.Unlock()
	if len(w.look) == 0 {
		return nil
	}
	l := w.look[0]
	w.look = w.look[1:]
	return l
}

// idleFeeder waits until there is a lane to look at; false means that the worker stops.
func (w *worker) idleFeeder(ctx context.Context) bool {
	var retry <-chan time.Time
	if len(w.unread) > 0 {
		timer := time.NewTimer(time.Until(earliest(w.unread)))
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-w.lookUp:
	case <-retry:
	}
	return true
}

func earliest(unread []*lane) time.Time {
	at := unread[0].readAt
	for _, l := range unread[1:] {
		if l.readAt.Before(at) {
			at = l.readAt
		}
	}
	return at
}

// readAgain stirs lanes whose log could not be read once their time has come, however busy others keep the feeder.
func (w *worker) readAgain() {
	if len(w.unread) == 0 {
		return
	}
	now := time.Now()
	w.unread = slices.DeleteFunc(w.unread, func(l *lane) bool {
		if l.readAt.After(now) {
			return false
		}
		l.readAt = time.Time{}
		w.stir(l)
		return true
	})
}

// lookAt reads one page of a lane, if there is one and room for it.
func (w *worker) lookAt(ctx context.Context, d *decoder, l *lane) {
	head, serves := w.cfg.Source.Head(l.shard)
	ask, wanted := w.wants(l, head, w.ours.follows(l.shard, serves))
	if !wanted || !l.readAt.IsZero() {
		return
	}
	page, err := w.tails[l.shard].read(ctx, d, ask.from, ask.bytes)
	if ctx.Err() != nil {
		return
	}
	if w.deliver(l, ask, page, err) {
		w.stir(l) // there may be more
	}
}

// ask is what the feeder reads for a lane, and the life that it reads it for.
type ask struct {
	from, life uint64
	bytes      int // at least one record
}

// wants tells whether a lane is to be read, from where, and notes when the shard comes or goes.
func (w *worker) wants(l *lane, head journal.Header, ours bool) (ask, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.reason != "":
	case !ours && l.phase != passive:
		w.giveUp(l)
	case ours && l.phase == passive:
		w.drop(l, loading)
		w.load(l)
	case !l.reads():
	case head.Number < l.next:
	case l.tied && l.bytes > 0:
	case w.bytes >= w.cfg.BufferBytes:
		w.stall(l)
	case l.tied:
		return ask{l.next, l.life, 1}, true
	default:
		return ask{l.next, l.life, w.cfg.PageBytes}, true
	}
	return ask{}, false
}

// stall lets a lane wait for room, once however often its shard changes. The lock is held.
func (w *worker) stall(l *lane) {
	if !l.stalled {
		l.stalled = true
		w.stalled = append(w.stalled, l)
	}
}

// deliver hands a page to the worker; true means that more may follow.
func (w *worker) deliver(l *lane, a ask, page []*record, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.life != a.life || l.next != a.from || !l.reads() {
		return l.reads() // it was given up or began to wait meanwhile
	}
	for _, r := range page {
		if broken := l.check(r); broken != nil {
			w.halt(l, broken)
			return false
		}
		l.accept(r)
		w.bytes += r.size
		l.ready = append(l.ready, r)
	}
	if len(page) > 0 {
		w.offer(l)
	}
	switch {
	case err == nil:
		l.readFail = 0
		return len(page) > 0
	case errors.Is(err, errBroken), errors.Is(err, journal.ErrCorrupt):
		w.halt(l, err)
	default:
		l.readFail++
		l.readAt = time.Now().Add(w.backoff(l.readFail))
		w.unread = append(w.unread, l)
		w.note(l, fmt.Errorf("the log cannot be read now, it is tried again: %w", err))
		w.log.Warn("a log cannot be read now", "processor", w.name, "shard", l.shard, "record", l.next, "failures", l.readFail, "err", err)
	}
	return false
}

// offer tells the worker that a lane has something to do. The lock is held.
func (w *worker) offer(l *lane) {
	if l.offered {
		return
	}
	l.offered = true
	w.offers = append(w.offers, l)
	signal(w.wake)
}

// load asks the worker to read where a lane stopped. The lock is held.
func (w *worker) load(l *lane) {
	l.reason = ""
	w.loads = append(w.loads, l)
	signal(w.wake)
}

// drop forgets what was read ahead. The lock is held; the worker may still hold records
// of the lane, which it compares by life.
func (w *worker) drop(l *lane, next phase) {
	w.bytes -= l.bytes
	l.life++
	l.phase, l.reason, l.ahead, l.ready, l.tied = next, "", ahead{}, nil, false
	w.roomAgain()
}

// giveUp leaves a lane to whoever follows it now. The lock is held.
func (w *worker) giveUp(l *lane) {
	w.drop(l, passive)
	l.until, l.shown.retryAt, l.shown.failing = time.Time{}, time.Time{}, ""
	if len(l.waiters) > 0 {
		signal(w.abroad)
	}
}

// halt stops a lane for good, loudly. The lock is held.
func (w *worker) halt(l *lane, why error) {
	w.drop(l, halted)
	l.reason = why.Error()
	w.log.Error("a processor stops one shard; the others go on", "processor", w.name, "shard", l.shard, "err", why)
	w.wakeWaiting(l)
}

// roomAgain lets the feeder go on with lanes that waited for room. The lock is held.
func (w *worker) roomAgain() {
	if len(w.stalled) == 0 || w.bytes >= w.cfg.BufferBytes {
		return
	}
	for _, l := range w.stalled {
		l.stalled = false
		w.stir(l)
	}
	clear(w.stalled)
	w.stalled = w.stalled[:0]
}
