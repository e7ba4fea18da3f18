package gateway

import (
	"testing"
	"time"
)

func TestBudgetGivesTurnsWithinTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBudget(now)
	for i := range repeatBurst {
		if wait, ok := b.take(now, time.Second); !ok || wait != 0 {
			t.Fatalf("repeat %d of the burst waits %v, %v", i, wait, ok)
		}
	}
	for i := 1; i < 100; i++ {
		want := time.Duration(i) * time.Second / repeatsPerSecond
		if wait, ok := b.take(now, time.Second); !ok || (wait-want).Abs() > time.Microsecond {
			t.Fatalf("repeat %d behind the burst waits %v, %v; want %v", i, wait, ok, want)
		}
	}
	if _, ok := b.take(now, time.Second); ok {
		t.Error("a repeat got a turn beyond its time")
	}
	if wait, ok := b.take(now.Add(2*time.Second), time.Second); !ok || wait != 0 {
		t.Errorf("when the budget has recovered, a repeat waits %v, %v", wait, ok)
	}
}

func TestAnswersFillTheBudget(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBudget(now)
	for range repeatBurst {
		b.take(now, time.Second)
	}
	for range 11 {
		b.succeeded()
	}
	if wait, ok := b.take(now, time.Second); !ok || wait != 0 {
		t.Errorf("after eleven answers, a repeat waits %v, %v", wait, ok)
	}
}
