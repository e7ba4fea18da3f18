package entity

import (
	"testing"
	"time"
)

func TestTheShardThatWaitsLongestIsNext(t *testing.T) {
	t.Parallel()
	s := newSlots(2, 8, false)
	var shards [5]shardActor
	for i := range shards {
		if got, want := s.take(&shards[i]), i < 2; got != want {
			t.Fatalf("shard %d takes a slot: %v", i, got)
		}
	}
	for i := 2; i < len(shards); i++ {
		next := s.release(1, time.Time{})
		if len(next) != 1 || next[0] != &shards[i] {
			t.Fatalf("after a slot came free: %v, want shard %d", next, i)
		}
	}
	if next := s.release(1, time.Time{}); len(next) != 0 {
		t.Fatalf("nobody waits, but %v may go on", next)
	}
	if !s.take(&shards[0]) || s.take(&shards[1]) {
		t.Fatal("one of the two slots was free")
	}
}

// The rate falls on both sides of a bound of 16.
func TestTheBoundFollowsTheRate(t *testing.T) {
	t.Parallel()
	for _, first := range []int{4, 60} {
		s := newSlots(first, 64, true)
		now := time.Unix(0, 0)
		s.began = now
		var sum, n int
		for period := range 2000 {
			if !s.take(nil) {
				t.Fatal("a slot must be free")
			}
			now = now.Add(slotsPeriod)
			s.release(rateAt(s.limit), now)
			if period > 500 {
				sum, n = sum+s.limit, n+1
			}
		}
		if mean := sum / n; mean < 10 || mean > 24 {
			t.Errorf("from %d the bound goes to %d on average; the best is 16", first, mean)
		}
	}
}

func rateAt(limit int) uint64 {
	if limit < 16 {
		return uint64(1000 * limit * limit / 256)
	}
	return uint64(1000 * 256 / (limit * limit))
}
