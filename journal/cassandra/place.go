package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

// place is where a record lives, and all that decides where the next one does.
type place struct {
	number uint64
	// bucket is the partition's name: the number of its first record.
	bucket uint64
	// filled is the size of the bucket up to and including this record, in bytes.
	filled int64
	// closes tells that the record is the last of its bucket.
	closes bool
	// agreed tells that a compare-and-set of ours on this slot was answered: no agreement on it is
	// left to be finished.
	agreed bool
}

// origin is the place before the first record.
var origin = place{closes: true}

// nextBucket is where the record behind this one lives.
func (p place) nextBucket() uint64 {
	if p.closes {
		return p.number + 1
	}
	return p.bucket
}

// rowBytes is what a row takes beside header and entries, about.
const rowBytes = 64

// next is the place of a record of that size behind this one, as an owner with that
// limit writes it.
func (p place) next(size int, limit int64) place {
	n := place{number: p.number + 1, bucket: p.nextBucket(), filled: int64(size) + rowBytes}
	if !p.closes {
		n.filled += p.filled
	}
	n.closes = n.filled >= limit
	return n
}

// shard is what is known of one shard's log. Places never change once they
// are taken, so what is known stays true; only the end moves on.
type shard struct {
	number uint32

	mu sync.Mutex
	// tip is the newest place known.
	tip place
	// spans are the buckets known, ascending.
	spans []span
	// hours are hours of the timer index that are known to be noted.
	hours map[int64]bool
	// removable is the Unix hour before which the timer index may be emptied, as of the time asOf, and
	// removed the hour up to which it was.
	removable, removed int64
	asOf               int64
}

// span is a bucket and the newest record known to be in it.
type span struct {
	bucket, last uint64
	closed       bool
	hinted       bool
}

// maxSpans limits the buckets remembered of a shard; the oldest are forgotten.
const maxSpans = 256

// learn takes in the place of a taken slot.
func (s *shard) learn(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.number > s.tip.number || p.number == s.tip.number && p.agreed {
		s.tip = p
	}
	at, found := s.find(p.bucket)
	if !found {
		s.spans = slices.Insert(s.spans, at, span{bucket: p.bucket})
	}
	if known := &s.spans[at]; p.number > known.last {
		known.last, known.closed = p.number, p.closes
	}
	if len(s.spans) > maxSpans {
		s.spans = slices.Delete(s.spans, 0, 1)
	}
}

func (s *shard) find(bucket uint64) (int, bool) {
	return slices.BinarySearchFunc(s.spans, bucket, func(x span, bucket uint64) int { return cmp.Compare(x.bucket, bucket) })
}

// bucketOf returns the bucket of a record, if that is known.
func (s *shard) bucketOf(number uint64) (uint64, bool) {
	if number <= 1 {
		return 1, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.find(number)
	if !found {
		at--
	}
	switch {
	case at < 0:
		return 0, false
	case number <= s.spans[at].last:
		return s.spans[at].bucket, true
	case number == s.spans[at].last+1 && s.spans[at].closed:
		return number, true
	case number == s.spans[at].last+1:
		return s.spans[at].bucket, true
	}
	return 0, false
}

// unhinted returns whether a bucket has no hint that we know of, and takes it as
// hinted from now on.
func (s *shard) unhinted(bucket uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := s.find(bucket)
	if !found || s.spans[at].hinted {
		return false
	}
	s.spans[at].hinted = true
	return true
}

// newest is beyond any record.
const newest = math.MaxInt64

const (
	selectBefore = "SELECT n, header, filled, closes FROM log WHERE shard = ? AND bucket = ? AND n <= ? ORDER BY n DESC LIMIT 1"
	selectHint   = "SELECT bucket FROM buckets WHERE shard = ? AND bucket <= ? ORDER BY bucket DESC LIMIT 1"
	insertHint   = "INSERT INTO buckets (shard, bucket) VALUES (?, ?)"
)

// place returns the place of a record. If the slot is empty it is that of the
// log's newest record instead, or the origin.
func (j *Journal) place(ctx context.Context, s *shard, number uint64) (place, error) {
	if number == 0 {
		return origin, nil
	}
	s.mu.Lock()
	tip := s.tip
	s.mu.Unlock()
	if tip.number == number {
		return tip, nil
	}
	p, _, err := j.search(ctx, s, number)
	return p, err
}

// before returns the place of the record before a slot; false if the log ends before that one. It fails
// if later records are there: whoever appends them has seen all before, so the answers come from different moments.
func (j *Journal) before(ctx context.Context, s *shard, slot uint64) (place, bool, error) {
	for attempt := 1; ; attempt++ {
		at, err := j.place(ctx, s, slot-1)
		if err != nil || at.number == slot-1 {
			return at, err == nil, err
		}
		last, _, err := j.search(ctx, s, newest)
		if err != nil || last.number < slot-1 {
			return at, false, err
		}
		if attempt > readAttempts {
			return at, false, fmt.Errorf("shard %d: record %d is not seen, and record %d is: some of its nodes are behind", s.number, slot-1, last.number)
		}
		if err := pause(ctx, holePause<<attempt); err != nil {
			return at, false, err
		}
	}
}

// search finds the newest record up to number, with its header: it walks from the nearest
// bucket known, and each bucket says where the next one begins.
func (j *Journal) search(ctx context.Context, s *shard, number uint64) (place, journal.Header, error) {
	at, header, err := j.nearest(ctx, s, number)
	for err == nil && at != origin && at.closes && at.number < number {
		p, h, err := j.lastIn(ctx, s.number, at.nextBucket(), number)
		if errors.Is(err, gocql.ErrNotFound) {
			break
		}
		if err != nil {
			return place{}, journal.Header{}, err
		}
		at, header = p, h
		s.learn(p)
		j.hint(ctx, s, p.bucket)
	}
	return at, header, err
}

// nearest finds the newest record up to number in the nearest bucket that has one; the origin if the log is empty.
// A hint may be wrong, after a restore for one: an empty bucket says nothing of those before it.
func (j *Journal) nearest(ctx context.Context, s *shard, number uint64) (place, journal.Header, error) {
	for below := number; ; {
		bucket, err := j.near(ctx, s, below)
		if err != nil {
			return place{}, journal.Header{}, err
		}
		at, header, err := j.lastIn(ctx, s.number, bucket, number)
		switch {
		case err == nil:
			s.learn(at)
			return at, header, nil
		case !errors.Is(err, gocql.ErrNotFound):
			return place{}, journal.Header{}, err
		case bucket <= 1:
			return origin, journal.Header{}, nil
		}
		below = bucket - 1
	}
}

// near returns a bucket at or before that of a record: the right one if it is known.
func (j *Journal) near(ctx context.Context, s *shard, number uint64) (uint64, error) {
	if bucket, known := s.bucketOf(number); known && number != newest {
		return bucket, nil
	}
	bucket := int64(1)
	err := again(ctx, func() error {
		return j.query(ctx, selectHint, int64(s.number), int64(number)).RoutingKey(shardKey(s.number)).Scan(&bucket)
	})
	if err != nil && !errors.Is(err, gocql.ErrNotFound) {
		return 0, err
	}
	return uint64(bucket), nil
}

// lastIn returns the newest record of a bucket up to number; gocql.ErrNotFound if there is none.
func (j *Journal) lastIn(ctx context.Context, shard uint32, bucket, number uint64) (place, journal.Header, error) {
	var header []byte
	var n int64
	p := place{bucket: bucket}
	err := again(ctx, func() error {
		return j.query(ctx, selectBefore, int64(shard), int64(bucket), int64(min(number, newest))).
			RoutingKey(bucketKey(shard, bucket)).Scan(&n, &header, &p.filled, &p.closes)
	})
	if err != nil {
		return p, journal.Header{}, err
	}
	p.number = uint64(n)
	h, err := headerOf(shard, p.number, header)
	return p, h, err
}

// hint notes where a bucket begins, for those who come later. If it fails they
// walk from an earlier one.
func (j *Journal) hint(ctx context.Context, s *shard, bucket uint64) {
	if !s.unhinted(bucket) {
		return
	}
	err := j.query(ctx, insertHint, int64(s.number), int64(bucket)).RoutingKey(shardKey(s.number)).WithTimestamp(j.stamp()).Exec()
	if err != nil {
		j.cfg.Logger.Debug("hint at a bucket was not written", "shard", s.number, "bucket", bucket, "cause", err.Error())
	}
}
