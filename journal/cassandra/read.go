package cassandra

import (
	"context"
	"fmt"
	"time"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

const selectRecords = "SELECT n, header, body, filled, closes FROM log WHERE shard = ? AND bucket = ? AND n >= ? LIMIT ?"

// Rows asked for at once: a few at first, then as many as should fill what is wanted.
const (
	firstRows = 8
	mostRows  = 1000
)

// reading is one call of Read under way.
type reading struct {
	shard  *shard
	most   int
	next   uint64 // the slot that comes next
	bucket uint64
	size   int
	found  []journal.Record
	full   bool
	// partial tells that the next record was seen without its entries.
	partial bool
}

// Read implements journal.Log.
func (j *Journal) Read(ctx context.Context, number uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.calls.Done()
	r := &reading{shard: j.shard(number), most: maxBytes, next: max(from, 1)}
	if r.next >= newest {
		return nil, nil
	}
	exists, err := j.locate(ctx, r)
	if err == nil && exists {
		err = j.readOn(ctx, r)
	}
	if err != nil {
		return nil, failure(err, "read shard %d from record %d", number, from)
	}
	return r.found, nil
}

// locate finds the bucket to begin in; false if the log ends before.
func (j *Journal) locate(ctx context.Context, r *reading) (bool, error) {
	var known bool
	if r.bucket, known = r.shard.bucketOf(r.next); known {
		return true, nil
	}
	before, exists, err := j.before(ctx, r.shard, r.next)
	r.bucket = before.nextBucket()
	return exists, err
}

// readOn reads until enough is found or the log ends.
func (j *Journal) readOn(ctx context.Context, r *reading) error {
	holes := 0
	for !r.full {
		rows, bucket, next := r.rows(), r.bucket, r.next
		var got int
		err := again(ctx, func() (err error) {
			got, err = r.take(j.query(ctx, selectRecords, int64(r.shard.number), int64(r.bucket), int64(r.next), rows).
				RoutingKey(bucketKey(r.shard.number, r.bucket)).PageSize(rows).Iter())
			return err
		})
		switch {
		case err != nil:
			return err
		case got > 0 && r.next == next:
			// Two nodes of the quorum may answer from different moments: one from before
			// a record, the other from after the next one, having missed the first. Both are
			// committed, so who asks again sees both.
			if holes++; holes > readAttempts {
				return j.hole(ctx, r)
			}
			if err := pause(ctx, holePause<<holes); err != nil {
				return err
			}
		case got < rows && r.bucket == bucket:
			return nil
		}
	}
	return nil
}

// holePause is half the first wait before a hole is looked at again.
const holePause = 5 * time.Millisecond

// hole says what is wrong with the record that comes next. The newest of a log may be seen without its entries
// while it is on its way to a quorum of its nodes: nobody was told of it then. One that others follow was on a quorum.
func (j *Journal) hole(ctx context.Context, r *reading) error {
	if r.partial {
		at, _, err := j.search(ctx, r.shard, newest)
		if err != nil {
			return err
		}
		if at.number > r.next {
			return fmt.Errorf("%w: shard %d: record %d has lost its entries", journal.ErrCorrupt, r.shard.number, r.next)
		}
		return fmt.Errorf("shard %d: record %d has a header and no entries yet: it has not come to a quorum of its nodes", r.shard.number, r.next)
	}
	return fmt.Errorf("%w: shard %d: record %d is missing before later ones", journal.ErrCorrupt, r.shard.number, r.next)
}

// rows is how many rows should fill what is still wanted.
func (r *reading) rows() int {
	if len(r.found) == 0 {
		return firstRows
	}
	return min(max((r.most-r.size)*len(r.found)/max(r.size, 1)+1, 1), mostRows)
}

// take takes the rows that follow what was found, and returns how many rows there were.
func (r *reading) take(iter *gocql.Iter) (rows int, err error) {
	at := place{bucket: r.bucket}
	var n int64
	var body recordBody
	r.partial = false
	for ; !r.full && iter.Scan(&n, &body, &body, &at.filled, &at.closes); rows++ {
		at.number = uint64(n)
		r.partial = at.number == r.next && body.partial
		if at.number != r.next || body.partial {
			rows++
			break
		}
		if err := r.add(at, body.bytes); err != nil {
			_ = iter.Close() // what was read is worse
			return rows, err
		}
		body = recordBody{}
	}
	return rows, iter.Close()
}

func (r *reading) add(at place, body []byte) error {
	rec, err := journal.ParseRecord(body)
	if err != nil {
		return fmt.Errorf("shard %d: slot %d: %w", r.shard.number, at.number, err)
	}
	if rec.Number != at.number {
		return fmt.Errorf("%w: shard %d: slot %d holds record %d", journal.ErrCorrupt, r.shard.number, at.number, rec.Number)
	}
	r.shard.learn(at)
	if len(r.found) > 0 && r.size+len(body) > r.most {
		r.full = true
		return nil
	}
	r.found = append(r.found, rec)
	r.size += len(body)
	r.full = r.size >= r.most
	r.next, r.bucket = at.number+1, at.nextBucket()
	return nil
}

// recordBody is scanned from two columns, header and entries, one after the
// other: together they are the record's body.
type recordBody struct {
	bytes []byte
	// partial tells that a column is not there. A row is inserted whole, but a read of some columns
	// repairs those columns alone on a node that has missed the row.
	partial bool
}

// UnmarshalCQL implements gocql.Unmarshaler.
func (b *recordBody) UnmarshalCQL(_ gocql.TypeInfo, data []byte) error {
	b.partial = b.partial || data == nil
	b.bytes = append(b.bytes, data...)
	return nil
}
