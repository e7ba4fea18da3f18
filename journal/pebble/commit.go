package pebble

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// lane is a queue of writes of which one batch at a time is under way. There
// is no goroutine behind it: whoever finds no leader becomes it, commits all
// that is queued, itself included, and hands over to one who came meanwhile.
// So a lonely caller pays for no hop, and nobody works for others for longer
// than one batch.
type lane struct {
	queue   []*write // guarded by Journal.mu, as all here
	leading bool
	shared  bool // the last batch served more than one caller
}

// write is one caller's part of a batch. It is one of: an append (rec), changes
// of keys (ops), a fact to settle (name), or none of these: such a one only
// waits until all that was queued before it is decided.
type write struct {
	lane  *lane
	shard *shard // of an append
	rec   journal.Record
	ops   []op

	name, value string // of a fact: the wanted value, then the stored one

	turn      chan bool // true: lead; false: done
	decided   bool      // err is set and turn was told
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
	return n
}

// lay puts the write into a batch. settled holds the facts of the same batch.
func (w *write) lay(h *handle, batch *pebble.Batch, settled map[string]string) error {
	if w.name != "" {
		return w.settle(h, batch, settled)
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
	if !l.leading {
		l.leading = true
		j.lead(l)
		return w.err
	}
	w.turn = make(chan bool, 1)
	j.mu.Unlock()
	select {
	case lead := <-w.turn:
		if !lead {
			return w.err
		}
	case <-ctx.Done():
		if !j.abandon(w) {
			return w.err
		}
		return fmt.Errorf("journal/pebble: %w: the write is queued and may still happen", context.Cause(ctx))
	}
	j.mu.Lock()
	j.lead(l)
	return w.err
}

// abandon leaves a queued write to the others. False means that it was decided
// already, or had been chosen to lead and did so.
func (j *Journal) abandon(w *write) bool {
	j.mu.Lock()
	select {
	case lead := <-w.turn:
		if !lead {
			j.mu.Unlock()
			return false
		}
		j.lead(w.lane)
		return false
	default:
		w.abandoned = true
		j.mu.Unlock()
		return true
	}
}

// lead commits one batch: all that is queued, up to the limit. The caller
// holds j.mu, which lead releases.
func (j *Journal) lead(l *lane) {
	if l.shared {
		// Those whom the last batch served are about to queue their next
		// writes: let them run first, or this batch would be theirs only in part.
		j.mu.Unlock()
		runtime.Gosched()
		j.mu.Lock()
	}
	batch := l.take()
	l.shared = len(batch) > 1
	h := j.handle
	usable := j.usable()
	j.committing++
	j.mu.Unlock()

	err := errReopening
	if usable && h.use() {
		err = h.commit(batch)
		h.done()
	}

	j.mu.Lock()
	j.committing--
	j.decide(h, l, batch, err)
	l.handOver()
	j.signalIdle()
	j.mu.Unlock()
}

// take removes the next batch from the queue: at least one write.
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

// handOver lets the first waiting caller lead, if there is one. Writes whose
// callers went away wait for the next.
func (l *lane) handOver() {
	for _, w := range l.queue {
		if !w.abandoned {
			w.turn <- true
			return
		}
	}
	l.leading = false
}

// decide tells every caller in the batch its outcome. Unless all went well,
// what is still queued cannot go on either: it builds on this batch.
func (j *Journal) decide(h *handle, l *lane, batch []*write, err error) {
	if err == nil {
		for _, w := range batch {
			w.take()
			w.tell(nil)
		}
		return
	}
	untried := errors.Is(err, errUntried) && h.guard.failure() == nil
	rest := l.queue
	l.queue = nil
	for _, w := range append(batch, rest...) {
		w.fail(err, untried)
	}
	if !untried {
		j.replace(h)
	}
}

// take makes an append count: from now on readers may see it.
func (w *write) take() {
	if w.rec.Number != 0 {
		w.shard.synced = w.rec.Header
		w.shard.flushed = max(w.shard.flushed, w.rec.Flushed)
	}
}

func (w *write) fail(err error, untried bool) {
	switch {
	case untried:
		if w.rec.Number != 0 {
			w.shard.queued = w.shard.synced.Number
		}
		err = fmt.Errorf("%w: %w", journal.ErrRefused, err)
	case w.rec.Number != 0:
		w.shard.doubt[w.rec.Batch] = struct{}{}
	}
	w.tell(err)
}

// tell gives the caller its outcome. The leader itself waits for no word.
func (w *write) tell(err error) {
	w.err, w.decided = err, true
	if w.turn != nil {
		select {
		case w.turn <- false:
		default: // the leader's own turn
		}
	}
}
