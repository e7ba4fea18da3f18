package shard

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFifoIsAQueue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q fifo[int]
		var want []int
		next := 0
		for range rapid.IntRange(0, 3000).Draw(t, "steps") {
			switch op := next % 7; {
			case op < rapid.IntRange(0, 7).Draw(t, "bias") || len(want) == 0:
				q.push(next)
				want = append(want, next)
			default:
				if got := q.pop(); got != want[0] {
					t.Fatalf("pop gives %d, want %d", got, want[0])
				}
				want = want[1:]
			}
			next++
			if q.len() != len(want) || len(want) > 0 && *q.front() != want[0] {
				t.Fatalf("%d are queued, want %d", q.len(), len(want))
			}
		}
		var got []int
		q.each(func(v *int) { got = append(got, *v) })
		if !slices.Equal(got, want) {
			t.Fatalf("it holds %v, want %v", got, want)
		}
		q.reset()
		if q.len() != 0 {
			t.Fatal("it is not empty after a reset")
		}
	})
}

func TestListHoldsCommandsInOrder(t *testing.T) {
	t.Parallel()
	var l list
	c := [4]Command{}
	for i := range c {
		l.add(&c[i])
	}
	l.remove(&c[1])
	l.remove(&c[3])
	l.remove(&c[0])
	if l.first != &c[2] || l.last != &c[2] || c[2].prev != nil || c[2].next != nil {
		t.Error("only the third should be left")
	}
	l.remove(&c[2])
	if l.first != nil || l.last != nil {
		t.Error("the list should be empty")
	}
}

func TestLruOrdersByLastUse(t *testing.T) {
	t.Parallel()
	m := New(Config{})
	e := [3]Entity{}
	for i := range e {
		m.now++
		m.touch(&e[i])
	}
	m.now++
	m.touch(&e[0])
	m.lru.remove(&e[2])
	m.lru.remove(&e[2]) // not in the list any more
	if m.lru.oldest != &e[1] || m.lru.newest != &e[0] || e[1].lruNext != &e[0] {
		t.Error("want the second, then the first")
	}
	if at := m.lru.wake(10); at != 2+10 {
		t.Errorf("wake at %d, want 12", at)
	}
}
