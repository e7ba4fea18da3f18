package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// Derive implements journal.Store. The write shares a batch and its sync with
// the appends around it: it is durable when Derive returns. Were it only
// ordered before later records, a failed sync would lose it behind an owner's
// back, while the owner's next record told that pages reach up to here.
func (j *Journal) Derive(ctx context.Context, d journal.Derived) error {
	if err := d.Check(); err != nil {
		return err
	}
	w := &write{ops: deriveOps(d)}
	if err := j.beginDerived(ctx, w.size()); err != nil {
		return err
	}
	s := j.shardOf(d.Shard)
	w.lane = s.lane
	if d.UpTo > s.flushed {
		w.ops = append(w.ops, op{flushedKey(d.Shard), binary.BigEndian.AppendUint64(nil, d.UpTo)})
	}
	if len(w.ops) == 0 {
		j.mu.Unlock()
		return nil
	}
	if err := j.submit(ctx, w); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s.flushed = max(s.flushed, d.UpTo)
	return nil
}

// beginDerived returns with j.mu held when derived data can be written.
func (j *Journal) beginDerived(ctx context.Context, size int) error {
	if err := j.begin(ctx, j.usable); err != nil {
		return err
	}
	if err := j.room.refuse(size); err != nil {
		j.mu.Unlock()
		return err
	}
	return nil
}

func deriveOps(d journal.Derived) []op {
	ops := make([]op, 0, len(d.Pages)+len(d.Arms)+len(d.Disarms)+1)
	for _, p := range d.Pages {
		ops = append(ops, op{pageKey(p.Of, p.Last, p.First), present(p.Body)})
	}
	for _, t := range d.Arms {
		ops = append(ops, op{timerKey(d.Shard, t), present(nil)})
	}
	for _, t := range d.Disarms {
		ops = append(ops, op{timerKey(d.Shard, t), nil})
	}
	return ops
}

// present makes an empty value differ from none.
func present(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Pages implements journal.Store.
func (j *Journal) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	prefix := append(entityKey(of), subPage)
	if after == ^uint64(0) {
		return nil
	}
	from := binary.BigEndian.AppendUint64(prefix[:len(prefix):len(prefix)], after+1)
	return j.scanEntity(ctx, from, prefix, func(key, value []byte) error {
		rest := key[len(prefix):]
		if len(rest) != 16 {
			return fmt.Errorf("%w: %x is no key of a page", journal.ErrCorrupt, key)
		}
		return visit(journal.Page{
			Of:    of,
			Last:  binary.BigEndian.Uint64(rest),
			First: binary.BigEndian.Uint64(rest[8:]),
			Body:  value,
		})
	})
}

// scanEntity visits an entity's keys that begin with prefix, from one on. The
// seek by prefix asks the tables' filters, so that an entity that has nothing
// costs no block.
func (j *Journal) scanEntity(ctx context.Context, from, prefix []byte, visit func(key, value []byte) error) error {
	h, err := j.readable(ctx)
	if err != nil {
		return err
	}
	defer h.done()
	iter, err := h.db.NewIter(&pebble.IterOptions{UpperBound: after(prefix)})
	if err != nil {
		return asCorrupt(err)
	}
	return visitAll(ctx, iter, iter.SeekPrefixGE(from), visit)
}

// visitAll visits from where the iterator stands, and closes it.
func visitAll(ctx context.Context, iter *pebble.Iterator, valid bool, visit func(key, value []byte) error) (err error) {
	defer func() {
		if closeErr := iter.Close(); err == nil {
			err = asCorrupt(closeErr)
		}
	}()
	for ; valid; valid = iter.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return asCorrupt(err)
		}
		if err := visit(iter.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

// after returns the key that follows all keys with the prefix. It begins with a
// kind, so it is not all ones.
func after(prefix []byte) []byte {
	end := bytes.TrimRight(bytes.Clone(prefix), "\xff")
	end[len(end)-1]++
	return end
}

// SaveSnapshot implements journal.Store. Older ones go by single deletes: a
// range delete would slow down every read near it.
func (j *Journal) SaveSnapshot(ctx context.Context, s journal.Snapshot) error {
	if err := s.Of.Check(); err != nil {
		return err
	}
	stored, err := j.snapshotEntries(ctx, s.Of)
	if err != nil {
		return err
	}
	ops := snapshotOps(s, stored)
	if len(ops) == 0 {
		return nil
	}
	w := &write{lane: &j.common, ops: ops}
	if err := j.beginDerived(ctx, w.size()); err != nil {
		return err
	}
	return j.submit(ctx, w)
}

// snapshotOps stores s and deletes what is older than the newest ones.
// Two writers at once may leave one too many; the next one deletes it.
func snapshotOps(s journal.Snapshot, stored []uint64) []op {
	newer := 0
	var older []uint64
	for _, entry := range stored { // newest first
		switch {
		case entry > s.Entry:
			newer++
		case entry < s.Entry:
			older = append(older, entry)
		}
	}
	if newer >= journal.KeptSnapshots {
		return nil
	}
	ops := []op{{snapshotKey(s.Of, s.Entry), present(s.Body)}}
	for i, entry := range older {
		if newer+1+i >= journal.KeptSnapshots {
			ops = append(ops, op{snapshotKey(s.Of, entry), nil})
		}
	}
	return ops
}

func (j *Journal) snapshotEntries(ctx context.Context, of journal.Entity) ([]uint64, error) {
	var entries []uint64
	err := j.scanSnapshots(ctx, of, func(entry uint64, _ []byte) { entries = append(entries, entry) })
	slices.Reverse(entries)
	return entries, err
}

// Snapshots implements journal.Store.
func (j *Journal) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	var snapshots []journal.Snapshot
	err := j.scanSnapshots(ctx, of, func(entry uint64, body []byte) {
		snapshots = append(snapshots, journal.Snapshot{Of: of, Entry: entry, Body: append([]byte{}, body...)})
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(snapshots)
	return snapshots[:min(len(snapshots), journal.KeptSnapshots)], nil
}

// scanSnapshots visits an entity's snapshots, oldest first: filters work for
// forward seeks only.
func (j *Journal) scanSnapshots(ctx context.Context, of journal.Entity, visit func(entry uint64, body []byte)) error {
	prefix := append(entityKey(of), subSnapshot)
	return j.scanEntity(ctx, prefix, prefix, func(key, value []byte) error {
		if len(key) != len(prefix)+8 {
			return fmt.Errorf("%w: %x is no key of a snapshot", journal.ErrCorrupt, key)
		}
		visit(binary.BigEndian.Uint64(key[len(prefix):]), value)
		return nil
	})
}

// Timers implements journal.Store.
func (j *Journal) Timers(ctx context.Context, shard uint32, fromHour, toHour int64, visit func(journal.Timer) error) error {
	if fromHour >= toHour {
		return nil
	}
	h, err := j.readable(ctx)
	if err != nil {
		return err
	}
	defer h.done()
	iter, err := h.db.NewIter(&pebble.IterOptions{
		LowerBound: appendTimerHour(nil, shard, fromHour),
		UpperBound: appendTimerHour(nil, shard, toHour),
	})
	if err != nil {
		return asCorrupt(err)
	}
	return visitAll(ctx, iter, iter.First(), func(key, _ []byte) error {
		t, err := parseTimerKey(key)
		if err != nil {
			return err
		}
		return visit(t)
	})
}
