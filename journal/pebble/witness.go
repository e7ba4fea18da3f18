package pebble

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

var _ journal.Witnesses = (*Journal)(nil)

// putting is a witness to store. It removes those that were not put for longer
// than journal.WitnessLife: nodes that take another address at each start would leave one each.
type putting struct {
	key, stored []byte
	now         time.Time
}

func (p putting) size() int { return len(p.key) + len(p.stored) }

// lay implements change.
func (p putting) lay(h *handle, batch *pebble.Batch, before changed) error {
	err := h.scan(context.Background(), []byte{kindWitness}, func(key, value []byte) error {
		if _, again := before[string(key)]; again || !p.expired(value) {
			return nil
		}
		return batch.Delete(key, nil)
	})
	if err != nil {
		return err
	}
	return before.set(batch, p.key, p.stored)
}

// expired tells of a stored witness whether it may go. The clock is that of the
// machine which has put it.
func (p putting) expired(stored []byte) bool {
	return len(stored) >= witnessHead && p.now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(stored)))) > journal.WitnessLife
}

// PutWitness implements journal.Witnesses. It shares a batch and its sync with
// the appends around it.
func (j *Journal) PutWitness(ctx context.Context, w journal.Witness) error {
	if err := w.Check(); err != nil {
		return err
	}
	now := time.Now()
	if err := j.change(ctx, putting{witnessKey(w.Address), encodeWitness(w, now), now}); err != nil {
		return fmt.Errorf("journal/pebble: put the witness of %s: %w", w.Address, err)
	}
	return nil
}

// Witnesses implements journal.Witnesses.
func (j *Journal) Witnesses(ctx context.Context) ([]journal.Witness, error) {
	h, err := j.readable(ctx)
	if err != nil {
		return nil, err
	}
	defer h.done()
	var found []journal.Witness
	err = h.scan(ctx, []byte{kindWitness}, func(key, value []byte) error {
		w, err := parseWitness(key, append([]byte{}, value...))
		found = append(found, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("journal/pebble: read the witnesses: %w", err)
	}
	return found, nil
}

func witnessKey(address string) []byte { return appendName([]byte{kindWitness}, address) }

// witnessHead is what a stored witness has before its incarnation and view: when it was
// put, in Unix nanoseconds, and its beat.
const witnessHead = 8 + 8

func encodeWitness(w journal.Witness, put time.Time) []byte {
	b := make([]byte, 0, witnessHead+len(w.Incarnation)+nameEndSize+len(w.View))
	b = binary.BigEndian.AppendUint64(b, uint64(put.UnixNano()))
	b = binary.BigEndian.AppendUint64(b, w.Beat)
	return append(appendName(b, w.Incarnation), w.View...)
}

// parseWitness reads a stored witness; its view shares the given bytes.
func parseWitness(key, stored []byte) (w journal.Witness, err error) {
	corrupt := fmt.Errorf("%w: %x is no witness", journal.ErrCorrupt, key)
	address, rest, ok := cutName(key[1:])
	if !ok || len(rest) > 0 || len(stored) < witnessHead {
		return w, corrupt
	}
	w.Address, w.Beat = address, binary.BigEndian.Uint64(stored[8:])
	if w.Incarnation, w.View, ok = cutName(stored[witnessHead:]); !ok {
		return w, corrupt
	}
	return w, nil
}
