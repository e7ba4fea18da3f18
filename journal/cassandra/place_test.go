package cassandra

import (
	"testing"

	"pgregory.net/rapid"
)

func TestAPlaceFollowsFromTheOneBeforeItAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &shard{hours: map[int64]bool{}}
		var all []place
		at := origin
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			// Each record may be by an owner of another limit.
			limit := rapid.SampledFrom([]int64{0, 1, 300, 1000, 1 << 40}).Draw(t, "limit")
			next := at.next(rapid.IntRange(0, 400).Draw(t, "size"), limit)
			switch {
			case next.number != at.number+1:
				t.Fatalf("%+v follows %+v", next, at)
			case at.closes && next.bucket != next.number, !at.closes && next.bucket != at.bucket:
				t.Fatalf("%+v is in the wrong bucket behind %+v", next, at)
			case next.closes != (next.filled >= limit):
				t.Fatalf("%+v with the limit %d", next, limit)
			case !at.closes && next.filled <= at.filled:
				t.Fatalf("%+v does not fill behind %+v", next, at)
			}
			at = next
			all = append(all, at)
		}
		for _, p := range rapid.Permutation(all).Draw(t, "order")[:rapid.IntRange(0, len(all)).Draw(t, "known")] {
			s.learn(p)
		}
		for _, p := range all {
			if bucket, known := s.bucketOf(p.number); known && bucket != p.bucket {
				t.Fatalf("record %d is said to be in bucket %d, it is in %d", p.number, bucket, p.bucket)
			}
		}
	})
}

func TestBucketsRememberedAreLimited(t *testing.T) {
	t.Parallel()
	s := &shard{hours: map[int64]bool{}}
	at := origin
	for range 3 * maxSpans {
		at = at.next(1, 0)
		s.learn(at)
	}
	if len(s.spans) != maxSpans {
		t.Errorf("%d buckets are remembered, the limit is %d", len(s.spans), maxSpans)
	}
	if bucket, known := s.bucketOf(at.number); !known || bucket != at.bucket {
		t.Errorf("the newest bucket is forgotten: %d, %v", bucket, known)
	}
	if _, known := s.bucketOf(5); known {
		t.Error("the oldest bucket is remembered")
	}
}
