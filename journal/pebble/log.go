package pebble

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// Head implements journal.Log.
func (j *Journal) Head(ctx context.Context, number uint32) (journal.Head, error) {
	if err := j.begin(ctx, func() bool { return j.handle != nil }); err != nil {
		return journal.Head{}, err
	}
	defer j.mu.Unlock()
	s := j.shards[number]
	if s == nil {
		return journal.Head{}, nil
	}
	return journal.Head{Last: s.synced, Flushed: s.flushed}, nil
}

// Append implements journal.Log.
func (j *Journal) Append(ctx context.Context, number uint32, rec journal.Record) (journal.Slot, error) {
	if err := j.beginAppend(ctx, number, rec); err != nil {
		return journal.Slot{}, err
	}
	s := j.shardOf(number)
	w := &write{lane: s.lane, shard: s}
	switch {
	case rec.Number == 0 || rec.Number > s.queued+1:
		defer j.mu.Unlock()
		return journal.Slot{}, journal.GapError(number, rec.Number, s.queued)
	case rec.Number <= s.queued:
		// Taken already. If by a batch under way, the answer waits for its end.
		if rec.Number <= s.synced.Number {
			j.mu.Unlock()
			return j.holder(ctx, s, rec.Number)
		}
	default:
		if err := j.refuse(rec); err != nil {
			j.mu.Unlock()
			return journal.Slot{}, err
		}
		s.queued = rec.Number
		w.rec = rec
	}
	if err := j.submit(ctx, w); err != nil {
		return journal.Slot{}, err
	}
	if w.rec.Number != 0 {
		return journal.Slot{Taken: true, Holder: rec.Header}, nil
	}
	return j.holder(ctx, s, rec.Number)
}

// beginAppend returns with j.mu held when the journal can be written. An
// append that is in doubt is never refused; any other is, when the journal
// stays away for want of room.
func (j *Journal) beginAppend(ctx context.Context, number uint32, rec journal.Record) error {
	err := j.begin(ctx, func() bool { return j.usable() || j.decidedBefore(number, rec) || j.failedFull(number, rec) })
	if err != nil {
		return err
	}
	if j.failedFull(number, rec) && !j.decidedBefore(number, rec) {
		defer j.mu.Unlock()
		return j.room.refusal()
	}
	return nil
}

// decidedBefore tells that the slot's holder is durable, so that even a failed
// handle can answer.
func (j *Journal) decidedBefore(number uint32, rec journal.Record) bool {
	s := j.shards[number]
	return j.handle != nil && s != nil && rec.Number != 0 && rec.Number <= s.synced.Number
}

// failedFull tells that the append certainly did not happen and that there is
// no room for it now.
func (j *Journal) failedFull(number uint32, rec journal.Record) bool {
	if j.usable() || !j.room.full() {
		return false
	}
	s := j.shards[number]
	if s == nil {
		return true
	}
	_, doubt := s.doubt[rec.Batch]
	return !doubt
}

// refuse says why a record cannot be taken now, its slot being free.
func (j *Journal) refuse(rec journal.Record) error {
	if len(rec.Body) > j.cfg.MaxRecordBytes {
		return fmt.Errorf("%w: record %d has %d bytes, at most %d are allowed (Config.MaxRecordBytes)",
			journal.ErrRefused, rec.Number, len(rec.Body), j.cfg.MaxRecordBytes)
	}
	return j.room.refuse(len(rec.Body))
}

// Tail implements journal.Log.
func (j *Journal) Tail(ctx context.Context, number uint32, slot uint64) (journal.Slot, error) {
	if err := j.begin(ctx, func() bool { return j.handle != nil }); err != nil {
		return journal.Slot{}, err
	}
	s := j.shards[number]
	if s == nil || slot == 0 || slot > s.synced.Number {
		j.mu.Unlock()
		return journal.Slot{}, nil
	}
	j.mu.Unlock()
	return j.holder(ctx, s, slot)
}

// holder returns who holds a slot that is durably taken.
func (j *Journal) holder(ctx context.Context, s *shard, slot uint64) (journal.Slot, error) {
	h, err := j.readable(ctx)
	if err != nil {
		return journal.Slot{}, err
	}
	defer h.done()
	j.mu.Lock()
	last := s.synced
	j.mu.Unlock()
	if slot == last.Number {
		return journal.Slot{Taken: true, Holder: last}, nil
	}
	body, err := h.get(logKey(s.number, slot))
	if err != nil {
		return journal.Slot{}, fmt.Errorf("journal/pebble: shard %d: record %d: %w", s.number, slot, err)
	}
	rec, err := parseSlot(s.number, slot, body)
	return journal.Slot{Taken: err == nil, Holder: rec.Header}, err
}

// parseSlot reads the record that must be in a slot.
func parseSlot(shard uint32, slot uint64, body []byte) (journal.Record, error) {
	if body == nil {
		return journal.Record{}, fmt.Errorf("%w: shard %d: record %d is missing", journal.ErrCorrupt, shard, slot)
	}
	rec, err := journal.ParseRecord(body)
	if err != nil {
		return journal.Record{}, fmt.Errorf("shard %d: record %d: %w", shard, slot, err)
	}
	if rec.Number != slot {
		return journal.Record{}, fmt.Errorf("%w: shard %d: slot %d holds record %d", journal.ErrCorrupt, shard, slot, rec.Number)
	}
	return rec, nil
}

// Read implements journal.Log.
func (j *Journal) Read(ctx context.Context, number uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	h, err := j.readable(ctx)
	if err != nil {
		return nil, err
	}
	defer h.done()
	end := j.end(number)
	from = max(from, 1)
	if from > end {
		return nil, nil
	}
	iter, err := h.db.NewIter(&pebble.IterOptions{LowerBound: logKey(number, from), UpperBound: logKey(number, end+1)})
	if err != nil {
		return nil, asCorrupt(err)
	}
	records, err := readRecords(iter, number, from, end, maxBytes)
	if closeErr := iter.Close(); err == nil && closeErr != nil {
		err = asCorrupt(closeErr)
	}
	if err != nil {
		return nil, fmt.Errorf("journal/pebble: read shard %d from record %d: %w", number, from, err)
	}
	return records, nil
}

// end returns the newest record that readers may see.
func (j *Journal) end(number uint32) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.shards[number]; s != nil {
		return s.synced.Number
	}
	return 0
}

// readRecords reads from slot on; a slot that is not there is corruption.
func readRecords(iter *pebble.Iterator, shard uint32, slot, end uint64, maxBytes int) ([]journal.Record, error) {
	var records []journal.Record
	size := 0
	for valid := iter.First(); valid; valid = iter.Next() {
		_, number, err := parseLogKey(iter.Key())
		if err != nil {
			return nil, err
		}
		if number != slot {
			break
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return nil, asCorrupt(err)
		}
		if size += len(value); size > maxBytes && len(records) > 0 {
			return records, nil
		}
		rec, err := parseSlot(shard, slot, append([]byte{}, value...))
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
		slot++
	}
	if err := iter.Error(); err != nil {
		return nil, asCorrupt(err)
	}
	if slot <= end {
		return nil, fmt.Errorf("%w: shard %d: record %d of %d is missing", journal.ErrCorrupt, shard, slot, end)
	}
	return records, nil
}
