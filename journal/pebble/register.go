package pebble

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

var _ journal.Registers = (*Journal)(nil)

// change is a write that depends on what is stored. The leader of the one lane
// for changes lays it, so nobody else changes the same keys meanwhile, and what it finds
// in the store is durable.
type change interface {
	// size returns about how many bytes it adds to a batch; more than none.
	size() int
	// lay puts into the batch what follows from what is stored, and from what
	// changes before it in the batch have set. An error ends the whole batch, unwritten.
	lay(h *handle, batch *pebble.Batch, before changed) error
}

// changed holds the values that a batch has set so far, by key.
type changed map[string][]byte

// get returns what a key holds, behind all that is in the batch; nil if nothing.
func (c changed) get(h *handle, key []byte) ([]byte, error) {
	if value, ok := c[string(key)]; ok {
		return bytes.Clone(value), nil
	}
	return h.get(key)
}

func (c changed) set(batch *pebble.Batch, key, value []byte) error {
	c[string(key)] = value
	return batch.Set(key, value, nil)
}

// swap is a swap of a register. now and err are its answer, once it is laid and
// the batch is synced. It has a copy of the value: it may be committed when its
// caller has gone away.
type swap struct {
	space     journal.Space
	partition string
	next      journal.Register
	stored    []byte

	now journal.Register
	err error
}

func (s *swap) size() int { return len(s.partition) + len(s.next.Name) + len(s.stored) }

// lay implements change. What is wrong with this register alone is its own
// error: others in the batch have nothing to do with it.
func (s *swap) lay(h *handle, batch *pebble.Batch, before changed) error {
	key := appendName(partitionKey(s.space, s.partition), s.next.Name)
	value, err := before.get(h, key)
	if err != nil {
		return err
	}
	wins := false
	if wins, s.err = s.decide(h, value); !wins {
		return nil
	}
	s.now = s.next
	return before.set(batch, key, s.stored)
}

// decide tells whether the swap happens, being given what is stored; nil if nothing.
func (s *swap) decide(h *handle, stored []byte) (wins bool, err error) {
	s.now = journal.Register{Name: s.next.Name}
	if stored != nil {
		if s.now, err = parseRegister(s.next.Name, stored); err != nil {
			return false, err
		}
	}
	if s.now.Revision != s.next.Revision-1 {
		return false, nil
	}
	if stored == nil {
		err = s.crowded(h)
	}
	return err == nil, err
}

// crowded returns why the partition takes no more registers. It does not see
// those of the same batch.
func (s *swap) crowded(h *handle) error {
	found := 0
	err := h.scan(context.Background(), partitionKey(s.space, s.partition), func(_, _ []byte) error {
		if found++; found >= journal.MaxRegisters {
			return journal.ErrCrowded
		}
		return nil
	})
	if errors.Is(err, journal.ErrCrowded) {
		return journal.CrowdedError(s.space, s.partition, s.next.Name)
	}
	return err
}

// Swap implements journal.Registers. It shares a batch and its sync with the
// appends around it.
func (j *Journal) Swap(ctx context.Context, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	if err := cmp.Or(space.CheckPartition(partition), next.Check()); err != nil {
		return journal.Register{}, err
	}
	s := &swap{space: space, partition: partition, next: next, stored: encodeRegister(next)}
	if err := j.change(ctx, s); err != nil {
		return journal.Register{}, fmt.Errorf("journal/pebble: swap %q of %s, partition %q: %w", next.Name, space, partition, err)
	}
	return s.now, s.err
}

// change commits a change.
func (j *Journal) change(ctx context.Context, c change) error {
	if err := j.beginDerived(ctx, c.size()); err != nil {
		return err
	}
	return j.submit(ctx, &write{lane: &j.common, change: c})
}

// Registers implements journal.Registers. What it saw may not be durable yet; it
// waits until that is known, so that nobody sees what is lost afterwards.
func (j *Journal) Registers(ctx context.Context, space journal.Space, partition string) ([]journal.Register, error) {
	if err := space.CheckPartition(partition); err != nil {
		return nil, err
	}
	for {
		h, found, err := j.registers(ctx, partitionKey(space, partition))
		certain := false
		if err == nil {
			certain, err = j.certain(ctx, h)
		}
		if err != nil {
			return nil, fmt.Errorf("journal/pebble: read %s, partition %q: %w", space, partition, err)
		}
		if certain {
			return found, nil
		}
	}
}

// certain waits until everything that h has shown is durable; false if h has
// failed since and was replaced.
func (j *Journal) certain(ctx context.Context, h *handle) (bool, error) {
	if err := j.begin(ctx, j.usable); err != nil {
		return false, err
	}
	if j.handle != h {
		j.mu.Unlock()
		return false, nil
	}
	return true, j.submit(ctx, &write{lane: &j.common})
}

// registers reads a partition, and returns the handle that it read from.
func (j *Journal) registers(ctx context.Context, prefix []byte) (*handle, []journal.Register, error) {
	h, err := j.readable(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer h.done()
	var found []journal.Register
	err = h.scan(ctx, prefix, func(key, value []byte) error {
		name, rest, ok := cutName(key[len(prefix):])
		if !ok || len(rest) > 0 {
			return fmt.Errorf("%w: %x is no key of a register", journal.ErrCorrupt, key)
		}
		r, err := parseRegister(name, append([]byte{}, value...))
		found = append(found, r)
		return err
	})
	return h, found, err
}

// scan visits all keys with a prefix, in order.
func (h *handle) scan(ctx context.Context, prefix []byte, visit func(key, value []byte) error) error {
	iter, err := h.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return asCorrupt(err)
	}
	return visitAll(ctx, iter, iter.First(), visit)
}

// partitionKey is the common prefix of a partition's registers.
func partitionKey(space journal.Space, partition string) []byte {
	return appendName([]byte{kindRegister, byte(space)}, partition)
}

// registerHead is what a stored register has before its value: revision and attempt.
const registerHead = 8 + len(journal.Batch{})

func encodeRegister(r journal.Register) []byte {
	b := make([]byte, 0, registerHead+len(r.Value))
	b = binary.BigEndian.AppendUint64(b, r.Revision)
	return append(append(b, r.Attempt[:]...), r.Value...)
}

// parseRegister reads a stored register; its value shares the given bytes.
func parseRegister(name string, stored []byte) (journal.Register, error) {
	if len(stored) < registerHead {
		return journal.Register{}, fmt.Errorf("%w: register %q: %d bytes are stored, at least %d are expected", journal.ErrCorrupt, name, len(stored), registerHead)
	}
	r := journal.Register{Name: name, Revision: binary.BigEndian.Uint64(stored), Value: stored[registerHead:]}
	copy(r.Attempt[:], stored[8:])
	return r, nil
}
