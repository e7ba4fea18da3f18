package pebble

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// lane is a queue of writes of which one batch at a time is under way. There
// is no goroutine behind it: whoever finds no leader becomes it, commits all
// that is queued, itself included, and hands over to one who came meanwhile.
// So a lonely caller pays for no hop, and nobody works for others for longer
// than one batch.
//
// Writing the next batch while one is being synced was tried and gained nothing
// measurable where a sync takes 0.1 ms: callers that wait gather into larger batches.
type lane struct {
	queue   []*write // guarded by Journal.mu, as all here
	leading bool     // somebody was told to commit the next batch, or does
	shared  bool     // the last batch served more than one caller
}

// write is one caller's part of a batch. It is one of: an append (rec), changes
// of keys (ops), a fact to settle (name), changes that depend on what is stored
// (change), or none of these: such a one only waits until all that was queued
// before it is decided.
type write struct {
	lane  *lane
	shard *shard // of an append
	rec   journal.Record
	ops   []op

	name, value string // of a fact: the wanted value, then the stored one
	change      change

	turn      chan bool // true: lead; false: done
	abandoned bool      // the caller went away: nobody to lead, nobody to tell
	err       error
}

// op sets a key, or deletes it when the value is nil.
type op struct{ key, value []byte }

// size returns about how many bytes the write adds to a batch.
func (w *write) size() int {
	n := len(w.rec.Body) + len(w.name) + len(w.value)
	for _, o := range w.ops {
		n += len(o.key) + len(o.value)
	}
	if w.change != nil {
		n += w.change.size()
	}
	return n
}

// lay puts the write into a batch. settled holds the facts of the same batch,
// and before what its changes have set.
func (w *write) lay(h *handle, batch *pebble.Batch, settled map[string]string, before changed) error {
	switch {
	case w.name != "":
		return w.settle(h, batch, settled)
	case w.change != nil:
		return w.change.lay(h, batch, before)
	}
	if w.rec.Number != 0 {
		var key [logKeySize]byte
		return batch.Set(appendLogKey(key[:0], w.shard.number, w.rec.Number), w.rec.Body, nil)
	}
	for _, o := range w.ops {
		if err := o.lay(batch); err != nil {
			return err
		}
	}
	return nil
}

func (o op) lay(batch *pebble.Batch) error {
	if o.value == nil {
		return batch.Delete(o.key, nil)
	}
	return batch.Set(o.key, o.value, nil)
}

// settle is decided by the leader of the one lane for facts, so nobody else
// can settle the name at the same time; what is found is durable.
func (w *write) settle(h *handle, batch *pebble.Batch, settled map[string]string) error {
	if value, ok := settled[w.name]; ok {
		w.value = value
		return nil
	}
	stored, err := h.get(metaKey(w.name))
	if err != nil {
		return err
	}
	if stored != nil {
		w.value = string(stored)
		return nil
	}
	settled[w.name] = w.value
	return batch.Set(metaKey(w.name), []byte(w.value), nil)
}

// submit queues w and returns when it is decided. The caller holds j.mu, which
// submit releases.
func (j *Journal) submit(ctx context.Context, w *write) error {
	l := w.lane
	l.queue = append(l.queue, w)
	if l.ready() && len(l.queue) == 1 {
		l.leading = true
		j.lead(l)
		return w.err
	}
	w.turn = make(chan bool, 1)
	l.handOver()
	j.mu.Unlock()
	return j.await(ctx, w)
}

// await returns when w is decided, and leads when it is told to: perhaps more
// than once, as what others left behind may fill a batch.
func (j *Journal) await(ctx context.Context, w *write) error {
	gone := ctx.Done()
	for {
		select {
		case lead := <-w.turn:
			if !lead {
				return w.err
			}
			j.mu.Lock()
			j.lead(w.lane)
		case <-gone:
			if j.abandon(w) {
				return fmt.Errorf("journal/pebble: %w: the write is queued and may still happen", context.Cause(ctx))
			}
			gone = nil
		}
	}
}

// abandon leaves a write to the others. False means that it was decided
// already, or has been chosen to lead: a word waits in its turn.
func (j *Journal) abandon(w *write) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.abandoned = len(w.turn) == 0
	return w.abandoned
}

// lead commits one batch: all that is queued, up to the limit. The caller holds
// j.mu and was told to lead; lead releases both.
func (j *Journal) lead(l *lane) {
	j.gather(l)
	h := j.handle
	if !j.usable() || !h.use() {
		l.leading = false
		l.doubt(nil, errReopening)
		j.goOn(l)
		return
	}
	batch := l.take()
	l.shared = len(batch) > 1
	j.mu.Unlock()

	err := h.commit(batch)

	j.mu.Lock()
	l.leading = false
	j.decide(h, l, batch, err)
	h.done() // now that nothing of the lane is left that counted on h
	j.goOn(l)
}

// gather lets those run whom the last batch served: they are about to queue
// their next writes, and this batch would be theirs only in part.
func (j *Journal) gather(l *lane) {
	if !l.shared {
		return
	}
	j.mu.Unlock()
	runtime.Gosched()
	j.mu.Lock()
}

// goOn lets the next leader commit, or signals that there is none. The caller
// holds j.mu, which goOn releases.
func (j *Journal) goOn(l *lane) {
	l.handOver()
	if j.closing {
		j.leadAbandoned()
	}
	j.signalIdle()
	j.mu.Unlock()
}

// decide tells every caller in the batch its outcome. Unless all went well,
// what is still queued cannot go on either: it builds on this batch.
func (j *Journal) decide(h *handle, l *lane, batch []*write, err error) {
	switch {
	case err == nil:
		for _, w := range batch {
			w.take()
			w.tell(nil)
		}
	case errors.Is(err, errUntried) && !h.guard.isFrozen():
		for _, w := range slices.Concat(batch, l.takeAll()) {
			w.refuse(err)
		}
	default:
		l.doubt(batch, err)
		j.replace(h)
	}
}

// doubt leaves a batch unknown, and what is queued behind it.
func (l *lane) doubt(batch []*write, err error) {
	for _, w := range slices.Concat(batch, l.takeAll()) {
		w.doubt(err)
	}
}

// take removes the next batch from the queue, up to the limit and at least one
// write of those that are there.
func (l *lane) take() []*write {
	size, n := 0, 0
	for n < len(l.queue) && (n == 0 || size+l.queue[n].size() <= maxBatchBytes) {
		size += l.queue[n].size()
		n++
	}
	batch := l.queue[:n:n]
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

// takeAll empties the queue.
func (l *lane) takeAll() []*write {
	all := l.queue
	l.queue = nil
	return all
}

// ready tells whether the next batch waits for a leader.
func (l *lane) ready() bool { return !l.leading && len(l.queue) > 0 }

// handOver lets the first waiting caller lead, if nobody does. Writes whose
// callers went away wait for the next.
func (l *lane) handOver() {
	if !l.ready() {
		return
	}
	for _, w := range l.queue {
		if !w.abandoned {
			l.leading = true
			w.turn <- true
			return
		}
	}
}

// take makes an append count: from now on readers may see it.
func (w *write) take() {
	if w.rec.Number != 0 {
		w.shard.synced = w.rec.Header
		w.shard.flushed = max(w.shard.flushed, w.rec.Flushed)
	}
}

// refuse ends a write that was not tried. An append that only waits for
// another's end learns no outcome: it may repeat one that is stored.
func (w *write) refuse(err error) {
	if w.rec.Number != 0 {
		w.shard.queued = min(w.shard.queued, w.rec.Number-1)
	}
	if w.size() > 0 {
		err = fmt.Errorf("%w: %w", journal.ErrRefused, err)
	}
	w.tell(err)
}

// doubt ends a write that may or may not be stored.
func (w *write) doubt(err error) {
	if w.rec.Number != 0 {
		w.shard.doubt[w.rec.Batch] = struct{}{}
	}
	w.tell(err)
}

// tell gives the caller its outcome, once. A turn that was not taken up goes
// back; a caller without one leads and looks for itself.
func (w *write) tell(err error) {
	w.err = err
	if w.turn == nil {
		return
	}
	select {
	case <-w.turn:
		w.lane.leading = false
	default:
	}
	w.turn <- false
}
