package entity

import (
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
)

var keysTime = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestKeyTellsTheOldestOpenNumberOfItsEntity(t *testing.T) {
	t.Parallel()
	k := NewClientKeys()
	a, b := journal.Entity{Type: "lot", ID: "a"}, journal.Entity{Type: "lot", ID: "b"}
	first, second, other := k.Open(a, keysTime), k.Open(a, keysTime), k.Open(b, keysTime)
	if first.Oldest != first.Number || second.Oldest != first.Number || other.Oldest != other.Number || other.Client != first.Client {
		t.Fatalf("the keys are %+v, %+v, %+v", first, second, other)
	}
	k.Close(a, first)
	if third := k.Open(a, keysTime); third.Oldest != second.Number {
		t.Fatalf("with the first closed, the oldest is %d, want %d", third.Oldest, second.Number)
	}
}

func TestKeptKeyStaysOpenUntilItsAge(t *testing.T) {
	t.Parallel()
	k := NewClientKeys()
	a := journal.Entity{Type: "lot", ID: "a"}
	lost := k.Open(a, keysTime)
	k.Keep(a, lost)
	for _, test := range []struct {
		after time.Duration
		open  bool
	}{{time.Minute, true}, {24*time.Hour - 1, true}, {24 * time.Hour, false}} {
		key := k.Open(a, keysTime.Add(test.after))
		if open := key.Oldest == lost.Number; open != test.open {
			t.Errorf("after %v the oldest is %d: the lost one is open: %v, want %v", test.after, key.Oldest, open, test.open)
		}
		k.Close(a, key)
	}
	if n := len(k.part(a).since) + len(k.part(a).of) + len(k.kept.queue); n != 0 {
		t.Errorf("%d things are left of keys that are all closed", n)
	}
}

// A window holds the answers to all numbers from the oldest on: one lost call must not fill it.
func TestKeptKeyIsClosedWhenManyFollowed(t *testing.T) {
	t.Parallel()
	k := NewClientKeys()
	a := journal.Entity{Type: "lot", ID: "a"}
	lost := k.Open(a, keysTime)
	k.Keep(a, lost)
	for i := 1; ; i++ {
		key := k.Open(a, keysTime)
		k.Close(a, key)
		if i < maxOutrun && key.Oldest != lost.Number || i >= maxOutrun && key.Oldest == lost.Number {
			t.Fatalf("the oldest of the key number %d behind the lost one is %d", i, key.Oldest)
		}
		if i == maxOutrun {
			return
		}
	}
}

func TestOldestKeptKeyGoesWhenThereAreTooMany(t *testing.T) {
	t.Parallel()
	k := NewClientKeys()
	entity := func(n int) journal.Entity { return journal.Entity{Type: "lot", ID: string(rune(n))} }
	for n := range maxKept + 1 {
		k.Keep(entity(n), k.Open(entity(n), keysTime))
	}
	if key := k.Open(entity(0), keysTime); key.Oldest != key.Number {
		t.Errorf("the first kept key is still open")
	}
	if key := k.Open(entity(1), keysTime); key.Oldest == key.Number {
		t.Errorf("the second kept key is closed")
	}
	if len(k.kept.queue) != maxKept {
		t.Errorf("%d keys are kept, want %d", len(k.kept.queue), maxKept)
	}
}

// A busy entity may be full of the answers behind a lost call's key.
func TestABusyEntityIsGivenTheKeptKeys(t *testing.T) {
	t.Parallel()
	k := NewClientKeys()
	a := journal.Entity{Type: "lot", ID: "a"}
	lost := k.Open(a, keysTime)
	k.Keep(a, lost)
	other, key := k.Open(a, keysTime), k.Open(a, keysTime)
	if key.Oldest != lost.Number {
		t.Fatalf("the oldest is %d before, want %d", key.Oldest, lost.Number)
	}
	if again := k.Yield(a, key); again.Oldest != other.Number || again.Number != key.Number {
		t.Errorf("the key is sent again as %+v, want number %d with oldest %d", again, key.Number, other.Number)
	}
}
