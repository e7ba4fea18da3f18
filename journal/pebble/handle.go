package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// handle is one opened Pebble. After a failure it is frozen and only read;
// the journal replaces it by a new one.
type handle struct {
	db    *pebble.DB
	guard *guard
	flush backlog

	// synced is the sequence number of the newest batch known to be durable.
	// Each batch carries it into the write-ahead log (see walcheck.go).
	synced atomic.Uint64

	mu      sync.Mutex
	users   int
	closing bool
	drained chan struct{} // closed when closing and no user is left
}

func newHandle() *handle { return &handle{drained: make(chan struct{})} }

// use keeps the handle open until done is called; false if it is being closed.
func (h *handle) use() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.users++
	return true
}

func (h *handle) done() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users--
	if h.closing && h.users == 0 {
		close(h.drained)
	}
}

// close waits for the users and closes Pebble. A frozen handle is closed too,
// and leaves the disk as it was when it froze.
func (h *handle) close() error {
	h.mu.Lock()
	h.closing = true
	if h.users == 0 {
		close(h.drained)
	}
	h.mu.Unlock()
	<-h.drained
	close(h.guard.closed)
	if errors.Is(h.guard.failure(), errPanicked) {
		return nil // Pebble's locks are held for ever: Close would wait for them
	}
	err := h.db.Close()
	if h.guard.isFrozen() {
		return nil // the failure was told already, and this one follows from it
	}
	return err
}

// errPanicked is wrapped by the failure of a handle whose Pebble panicked.
var errPanicked = errors.New("pebble panicked")

// errUntried is wrapped by the error of a commit that wrote nothing.
var errUntried = errors.New("nothing was written")

// commit writes the batch of all ws and syncs it once. A nil error means that
// everything in it is durable; one that wraps errUntried that nothing is stored;
// any other leaves it unknown, and the handle is frozen.
func (h *handle) commit(ws []*write) (err error) {
	if err := h.keepUp(ws); err != nil {
		return err
	}
	defer h.rescue(&err)
	batch := h.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxBatchBytes))
	if err := h.fill(batch, ws); err != nil || batch.Empty() {
		return errors.Join(err, batch.Close())
	}
	err = h.db.Apply(batch, pebble.Sync)
	if failure := h.guard.failure(); failure != nil {
		return failure
	}
	if err == nil && batch.Len() > 0 { // Pebble keeps the bytes of a very large batch
		h.advance(uint64(batch.SeqNum()))
	}
	if err = errors.Join(err, batch.Close()); err != nil {
		h.guard.fail(err)
	}
	return err
}

// rescue turns a panic of Pebble into the handle's failure.
func (h *handle) rescue(err *error) {
	if r := recover(); r != nil {
		h.guard.fail(fmt.Errorf("%w: %v", errPanicked, r))
		*err = h.guard.failure()
	}
}

// advance notes that the batch of a sequence number is durable, and so all before it.
func (h *handle) advance(seq uint64) {
	for {
		old := h.synced.Load()
		if seq <= old || h.synced.CompareAndSwap(old, seq) {
			return
		}
	}
}

// fill lays all writes into one batch. An error means that something stored
// could not be read; nothing was written then.
func (h *handle) fill(batch *pebble.Batch, ws []*write) error {
	settled, before := map[string]string{}, changed{}
	marked := false
	for _, w := range ws {
		if w.size() == 0 {
			continue
		}
		if !marked {
			marked = true
			if err := batch.LogData(h.mark(), nil); err != nil {
				return fmt.Errorf("%w: %w", errUntried, err)
			}
		}
		if err := w.lay(h, batch, settled, before); err != nil {
			return fmt.Errorf("%w: %w", errUntried, err)
		}
	}
	if batch.Count() == 0 {
		batch.Reset()
	}
	return nil
}

// get returns a copy of the value under a key, nil if there is none.
func (h *handle) get(key []byte) ([]byte, error) {
	value, closer, err := h.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, asCorrupt(err)
	}
	copied := append([]byte{}, value...)
	return copied, closer.Close()
}

// asCorrupt makes Pebble's word for corruption ours.
func asCorrupt(err error) error {
	if err != nil && pebble.IsCorruptionError(err) && !errors.Is(err, journal.ErrCorrupt) {
		return fmt.Errorf("%w: %w", journal.ErrCorrupt, err)
	}
	return err
}

// markMagic begins the mark that each batch carries in the write-ahead log.
const markMagic = "skerry1\x00"

const markSize = len(markMagic) + 8

// mark tells, inside the log itself, what was durable before this batch.
func (h *handle) mark() []byte {
	return binary.LittleEndian.AppendUint64([]byte(markMagic), h.synced.Load())
}
