package cassandra

import (
	"context"
	"errors"
	"fmt"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

const (
	insertRecord = "INSERT INTO log (shard, bucket, n, header, body, filled, closes) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
	selectSlot   = "SELECT header, filled, closes FROM log WHERE shard = ? AND bucket = ? AND n = ?"
)

// Append implements journal.Log. It sends one insert, once.
func (j *Journal) Append(ctx context.Context, number uint32, rec journal.Record) (journal.Slot, error) {
	if err := j.enter(ctx); err != nil {
		return journal.Slot{}, err
	}
	defer j.calls.Done()
	if err := j.checkRecord(number, rec); err != nil {
		return journal.Slot{}, err
	}
	s := j.shard(number)
	before, err := j.place(ctx, s, rec.Number-1)
	if err != nil {
		return journal.Slot{}, failure(err, "append record %d of shard %d: find the record before it", rec.Number, number)
	}
	if before.number != rec.Number-1 {
		return journal.Slot{}, journal.GapError(number, rec.Number, before.number)
	}
	if err := j.finish(ctx, s, before); err != nil {
		return journal.Slot{}, failure(err, "append record %d of shard %d: finish the record before it", rec.Number, number)
	}
	slot, err := j.insert(ctx, s, before.next(len(rec.Body), j.cfg.BucketBytes), rec)
	if err != nil {
		return journal.Slot{}, failure(err, "append record %d of shard %d: the outcome is unknown", rec.Number, number)
	}
	return slot, nil
}

// checkRecord refuses what cannot be stored before anything is sent.
func (j *Journal) checkRecord(number uint32, rec journal.Record) error {
	switch {
	case rec.Number == 0 || rec.Number >= newest:
		return journal.GapError(number, rec.Number, 0)
	case len(rec.Body) > j.cfg.MaxRecordBytes:
		return fmt.Errorf("%w: shard %d: record %d has %d bytes, Config.MaxRecordBytes is %d", journal.ErrRefused, number, rec.Number, len(rec.Body), j.cfg.MaxRecordBytes)
	}
	return nil
}

// insert sends the compare-and-set and tells who holds the slot.
func (j *Journal) insert(ctx context.Context, s *shard, at place, rec journal.Record) (journal.Slot, error) {
	header, entries, err := rec.Split()
	if err != nil {
		return journal.Slot{}, fmt.Errorf("%w: %w", journal.ErrRefused, err)
	}
	iter := j.query(ctx, insertRecord, int64(s.number), int64(at.bucket), int64(at.number), header, entries, at.filled, at.closes).
		SerialConsistency(j.cfg.serial()).RoutingKey(bucketKey(s.number, at.bucket)).NoSkipMetadata().Iter()
	applied, stored := false, journal.Header{}
	err = scanCAS(iter, &applied, func(row func(...any) bool) (err error) {
		var held []byte
		if !row(nil, nil, nil, nil, &at.closes, &at.filled, &held) {
			return nil
		}
		stored, err = headerOf(s.number, rec.Number, held)
		return err
	})
	if err != nil {
		return journal.Slot{}, err
	}
	if applied {
		stored = rec.Header
	}
	at.agreed = true
	s.learn(at)
	if at.bucket == at.number {
		j.hint(ctx, s, at.bucket)
	}
	if applied {
		s.mayRemove(rec.Header, j.stamp())
	}
	return journal.Slot{Taken: true, Holder: stored}, nil
}

// errNoAnswer is a compare-and-set that was answered with no row.
var errNoAnswer = errors.New("the database answered with nothing")

// scanCAS reads the answer to a compare-and-set. If it was not applied, held gets what
// is stored: the columns of the key in their order, then the others by their names.
func scanCAS(iter *gocql.Iter, applied *bool, held func(row func(...any) bool) error) error {
	alone := len(iter.Columns()) == 1
	scanned, heldErr := false, error(nil)
	if alone {
		scanned = iter.Scan(applied)
	} else {
		heldErr = held(func(columns ...any) bool {
			scanned = iter.Scan(append([]any{applied}, columns...)...)
			return scanned
		})
	}
	switch err := iter.Close(); {
	case err != nil:
		return err
	case !scanned || alone && !*applied:
		return errNoAnswer
	}
	return heldErr
}

// headerOf reads the stored header of record n.
func headerOf(shard uint32, number uint64, stored []byte) (journal.Header, error) {
	h, err := journal.ParseHeader(stored)
	if err != nil {
		return h, fmt.Errorf("shard %d: slot %d: %w", shard, number, err)
	}
	if h.Number != number {
		return h, fmt.Errorf("%w: shard %d: slot %d holds record %d", journal.ErrCorrupt, shard, number, h.Number)
	}
	return h, nil
}

// finishAgreement never applies, whether the closing record is there or not.
const finishAgreement = "UPDATE log SET closes = true WHERE shard = ? AND bucket = ? AND n = ? IF closes = false"

// finish makes the record that closes a bucket safe before the next bucket is opened behind it. One that is known
// from a read alone may still be on its way to a quorum of its nodes, and nobody else will send a
// compare-and-set to its partition: only such a one finishes what others have begun there. It is needed once for a
// new owner, if it begins at a border.
func (j *Journal) finish(ctx context.Context, s *shard, closing place) error {
	if closing.number == 0 || !closing.closes || closing.agreed {
		return nil
	}
	err := j.query(ctx, finishAgreement, int64(s.number), int64(closing.bucket), int64(closing.number)).
		SerialConsistency(j.cfg.serial()).RoutingKey(bucketKey(s.number, closing.bucket)).Exec()
	if err != nil {
		return err
	}
	closing.agreed = true
	s.learn(closing)
	return nil
}

// Tail implements journal.Log. The slot's bucket follows from the record before it; if
// a quorum shows that one's slot empty, so is this one.
func (j *Journal) Tail(ctx context.Context, number uint32, slot uint64) (journal.Slot, error) {
	if err := j.enter(ctx); err != nil {
		return journal.Slot{}, err
	}
	defer j.calls.Done()
	if slot == 0 || slot >= newest {
		return journal.Slot{}, nil
	}
	s := j.shard(number)
	before, exists, err := j.before(ctx, s, slot)
	if err != nil {
		return journal.Slot{}, failure(err, "look at slot %d of shard %d", slot, number)
	}
	if !exists {
		return journal.Slot{}, nil
	}
	at := place{number: slot, bucket: before.nextBucket()}
	var header []byte
	err = again(ctx, func() error {
		return j.query(ctx, selectSlot, int64(number), int64(at.bucket), int64(slot)).
			RoutingKey(bucketKey(number, at.bucket)).Scan(&header, &at.filled, &at.closes)
	})
	if errors.Is(err, gocql.ErrNotFound) {
		return journal.Slot{}, nil
	}
	if err != nil {
		return journal.Slot{}, failure(err, "look at slot %d of shard %d", slot, number)
	}
	h, err := headerOf(number, slot, header)
	if err != nil {
		return journal.Slot{}, err
	}
	s.learn(at)
	return journal.Slot{Taken: true, Holder: h}, nil
}

// Head implements journal.Log. Flushed is what the newest record says.
func (j *Journal) Head(ctx context.Context, number uint32) (journal.Head, error) {
	if err := j.enter(ctx); err != nil {
		return journal.Head{}, err
	}
	defer j.calls.Done()
	_, header, err := j.search(ctx, j.shard(number), newest)
	if err != nil {
		return journal.Head{}, failure(err, "read the head of shard %d", number)
	}
	return journal.Head{Last: header, Flushed: header.Flushed}, nil
}
