package readside

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// WaitFor returns once a processor has committed all that t has seen, on whichever node: rows read after it
// show at least that, those of parked entities apart. It fails with an error that wraps
// ErrBehind when ctx ends first or the shard is halted, and with one that wraps [journal.ErrToken]
// when t is of another history or journal.
func (r *Runner) WaitFor(ctx context.Context, processor string, t journal.Token) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	if len(t.Offsets) > 0 && t.History != w.store.history {
		return fmt.Errorf("%w: it is of history %q, this journal is %q: the journal was restored in between, read without a token", journal.ErrToken, t.History, w.store.history)
	}
	for _, o := range t.Offsets {
		if int64(o.Shard) >= int64(len(w.lanes)) {
			return fmt.Errorf("%w: it names shard %d, there are %d", journal.ErrToken, o.Shard, len(w.lanes))
		}
		if err := r.waitShard(ctx, w, w.lanes[o.Shard], o.Offset); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) waitShard(ctx context.Context, w *worker, l *lane, offset uint64) error {
	for {
		again, err := w.waitsFor(l, offset)
		if again == nil {
			return err
		}
		select {
		case <-again:
			w.waited(l, nil)
		case <-ctx.Done():
			w.waited(l, again)
			return w.behind(l, offset, ctx.Err())
		case <-r.stopping:
			w.waited(l, again)
			return w.behind(l, offset, fmt.Errorf("the runner has stopped"))
		}
	}
}

// waiter waits for one lane to reach an offset.
type waiter struct {
	offset uint64
	again  chan struct{} // closed when it is worth looking again
}

// waitsFor returns a channel to wait on; nil if there is nothing more to wait for.
func (w *worker) waitsFor(l *lane, offset uint64) (again chan struct{}, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case l.reached >= offset:
		return nil, nil
	case l.phase == halted:
		return nil, fmt.Errorf("%w: processor %s, shard %d: %s", ErrBehind, w.name, l.shard, l.reason)
	case w.waits >= w.cfg.MaxWaiting:
		return nil, fmt.Errorf("%w: processor %s: %d callers wait already, as many as Config.MaxWaiting allows", ErrBehind, w.name, w.waits)
	}
	again = make(chan struct{})
	l.waiters = append(l.waiters, waiter{offset, again})
	w.waits++
	if !l.here() {
		signal(w.abroad)
	}
	return again, nil
}

// waited ends a wait; gone is the channel of one that gave up.
func (w *worker) waited(l *lane, gone chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits--
	for i := range l.waiters {
		if l.waiters[i].again == gone {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			return
		}
	}
}

// reach notes what is committed and wakes those who waited for it. The lock is held.
func (w *worker) reach(l *lane, offset uint64) {
	l.reached = max(l.reached, offset)
	left := l.waiters[:0]
	for _, one := range l.waiters {
		if one.offset <= l.reached {
			close(one.again)
		} else {
			left = append(left, one)
		}
	}
	clear(l.waiters[len(left):])
	l.waiters = left
}

// wakeWaiting lets all who wait for a lane look again. The lock is held.
func (w *worker) wakeWaiting(l *lane) {
	for _, one := range l.waiters {
		close(one.again)
	}
	l.waiters = nil
}

// Halted returns why a processor has stopped for good, or nil. Its rows are not to be trusted then: they
// may be of a log that is no more.
func (r *Runner) Halted(processor string) error {
	w, err := r.worker(processor)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrHalted, w.reason)
}

func (w *worker) behind(l *lane, offset uint64, why error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	state := l.phase.String()
	switch {
	case w.paused:
		state = "paused"
	case w.awayErr != nil:
		state = "its database is away: " + w.awayErr.Error()
	case w.lookErr != nil && !l.here():
		state = "another node follows it, and its database does not tell: " + w.lookErr.Error()
	case l.shown.failing != "":
		state = "a command fails: " + l.shown.failing
	case l.reason != "":
		state += ": " + l.reason
	}
	return fmt.Errorf("%w: processor %s has shard %d up to offset %d, not %d (%s): %w", ErrBehind, w.name, l.shard, l.reached, offset, state, why)
}

// Position returns what a processor has committed; nothing for a name that is not run here.
func (r *Runner) Position(processor string) journal.Token {
	w := r.workers[processor]
	if w == nil {
		return journal.Token{}
	}
	t := journal.Token{History: w.store.history}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		if l.reached > 0 {
			t.Offsets = append(t.Offsets, journal.ShardOffset{Shard: l.shard, Offset: l.reached})
		}
	}
	return t
}
