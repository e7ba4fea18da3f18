package entity

import (
	"testing"
	"time"
)

func TestTheShardThatWaitsLongestIsNext(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	var shards [5]shardActor
	for i := range shards {
		if got, want := s.take(&shards[i]), i < 2; got != want {
			t.Fatalf("shard %d takes a slot: %v", i, got)
		}
	}
	for i := 2; i < len(shards); i++ {
		next := s.release(replies{}, time.Time{})
		if len(next) != 1 || next[0] != &shards[i] {
			t.Fatalf("after a slot came free: %v, want shard %d", next, i)
		}
	}
	if next := s.release(replies{}, time.Time{}); len(next) != 0 {
		t.Fatalf("nobody waits, but %v may go on", next)
	}
	if !s.take(&shards[0]) || s.take(&shards[1]) {
		t.Fatal("one of the two slots was free")
	}
}

// The limit moves only while shards wait for slots, by what is answered under each.
func TestTheLimitFollowsWhatIsAnswered(t *testing.T) {
	t.Parallel()
	s := newAdaptiveSlots(64)
	now, first := time.Unix(0, 0), s.limit
	run := func(periods int, busy bool) {
		for range 4 * periods {
			now = now.Add(measuring / 3)
			for range s.used {
				s.release(replies{}, now)
			}
			for range s.limit {
				if !s.take(nil) {
					t.Fatal("a slot must be free")
				}
			}
			if busy {
				_ = s.take(nil)
				s.waiting, s.head = s.waiting[:0], 0
			}
			s.release(replies{commands: 100 * s.limit, took: time.Second}, now)
		}
	}
	run(100, false)
	if s.limit != first {
		t.Errorf("nobody had to wait, and yet the limit went from %d to %d", first, s.limit)
	}
	run(100, true)
	if s.limit < 48 {
		t.Errorf("the more appends the better, and yet the limit is %d after 100 periods", s.limit)
	}
}
