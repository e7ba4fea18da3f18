package journaltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var raceParts = []part{
	{"of two owners racing for each slot one wins", testRace},
	{"unknown outcomes are resolved by repeating the append", testUnknown},
	{"an empty tail proves that nothing was answered before", testTailRace},
	{"a reader sees a growing prefix", testReaderRace},
	{"a settled fact has one value", testSettleRace},
	{"settled facts are found by the beginning of their names", testSettled},
}

// owner writes to a log as a shard's owner does: it goes on while its records
// win, walks on behind data, and claims again behind another's claim.
type owner struct {
	Chain
	journal journal.Log
	won     []journal.Header
}

// run appends until n records of this owner are stored.
func (o *owner) run(ctx context.Context, shard uint32, n int) error {
	claimed := false
	for len(o.won) < n {
		rec := o.Claim()
		if claimed {
			rec = o.Next(len(o.won) % 3)
		}
		ours, err := o.Append(ctx, o.journal, shard, rec)
		if err != nil {
			return fmt.Errorf("%s: record %d: %w", o.Writer, rec.Number, err)
		}
		if ours {
			claimed = true
			o.won = append(o.won, rec.Header)
		} else if o.Last.Claim {
			claimed = false
		}
	}
	return nil
}

// race lets the owners write to one shard and checks what is stored.
func race(t *testing.T, truth journal.Journal, shard uint32, n int, owners ...*owner) {
	t.Helper()
	ctx := within(t)
	var group sync.WaitGroup
	errs := make([]error, len(owners))
	for i, o := range owners {
		group.Go(func() { errs[i] = o.run(ctx, shard, n) })
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	all, err := ReadAll(ctx, truth, shard)
	if err != nil {
		t.Fatal(err)
	}
	checkWinners(t, all, owners)
}

// checkWinners checks that each owner knows exactly what it has stored.
func checkWinners(t *testing.T, all []journal.Record, owners []*owner) {
	t.Helper()
	total := 0
	for _, o := range owners {
		total += len(o.won)
		for _, won := range o.won {
			if won.Number > uint64(len(all)) || all[won.Number-1].Header != won {
				t.Errorf("%s was told that slot %d is its own; it is not", o.Writer, won.Number)
			}
		}
	}
	if len(all) != total {
		t.Errorf("%d records are stored, the owners know of %d", len(all), total)
	}
}

func testRace(t *testing.T, s Suite) {
	j := s.Open(t)
	race(t, j, 9, 100,
		&owner{Chain: Chain{Writer: "a"}, journal: j},
		&owner{Chain: Chain{Writer: "b"}, journal: s.second(t, j)},
	)
}

func testUnknown(t *testing.T, s Suite) {
	for seed := range uint64(4) {
		j := s.Open(t)
		first := NewFlaky(j, Faults{Seed: 2 * seed, Stall: 20, Refuse: 10, Lose: 15, Forget: 15, Late: 10})
		second := NewFlaky(s.second(t, j), Faults{Seed: 2*seed + 1, Stall: 20, Refuse: 10, Lose: 15, Forget: 15, Late: 10})
		race(t, j, 9, 60,
			&owner{Chain: Chain{Writer: "a"}, journal: first},
			&owner{Chain: Chain{Writer: "b"}, journal: second},
		)
		if first.Injected()+second.Injected() == 0 {
			t.Error("no fault was injected: the test proves nothing")
		}
		first.Wait()
		second.Wait()
	}
}

func testTailRace(t *testing.T, s Suite) {
	const records = 200
	j := s.Open(t)
	other := s.second(t, j)
	var answered atomic.Uint64 // the newest record whose append has succeeded
	ctx := within(t)
	var group sync.WaitGroup
	group.Go(func() {
		c := Chain{Writer: "a"}
		for range records {
			if _, err := c.Append(ctx, j, 1, c.Next(1)); err != nil {
				t.Error(err)
				break
			}
			answered.Store(c.Last.Number)
		}
		answered.Store(records)
	})
	for before := uint64(0); before < records && !t.Failed(); {
		before = answered.Load()
		slot, err := other.Tail(ctx, 1, max(before, 1))
		if err != nil {
			t.Fatal(err)
		}
		if before > 0 && !slot.Taken {
			t.Fatalf("slot %d is reported empty; its append had succeeded before", before)
		}
	}
	group.Wait()
}

func testReaderRace(t *testing.T, s Suite) {
	const records = 200
	j := s.Open(t)
	other := s.second(t, j)
	ctx := within(t)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		c := Chain{Writer: "a"}
		for range records {
			if _, err := c.Append(ctx, j, 1, c.Next(2)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var last journal.Header
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		page, err := other.Read(ctx, 1, last.Number+1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page {
			if err := follows(last, rec.Header); err != nil {
				t.Fatalf("behind record %d: %v", last.Number, err)
			}
			last = rec.Header
		}
	}
	group.Wait()
	if last.Number != records {
		t.Errorf("the reader ends at record %d, want %d", last.Number, records)
	}
}

func testSettleRace(t *testing.T, s Suite) {
	j := s.Open(t)
	journals := []journal.Journal{j, s.second(t, j)}
	const callers = 8
	got := make([]string, callers)
	var group sync.WaitGroup
	ctx := within(t)
	for i := range callers {
		group.Go(func() {
			value, err := journals[i%2].Settle(ctx, "history", fmt.Sprint("value ", i))
			if err != nil {
				t.Error(err)
			}
			got[i] = value
		})
	}
	group.Wait()
	for _, value := range got {
		if value != got[0] || value == "" {
			t.Fatalf("settled values %q, want one", got)
		}
	}
	if value, err := j.Settle(ctx, "other", "mine"); err != nil || value != "mine" {
		t.Fatalf("another name settles to %q, %v", value, err)
	}
}

func testSettled(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	names := []string{"b/%2F", "a", "a/", "a/\u540d", "a/b/c", "a/b", "ab", "a0", "b", "a/ \u00fc.x", "a/b c", "\U0001f98a"}
	for i, name := range names {
		if _, err := j.Settle(ctx, name, fmt.Sprint("value ", i)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	other := s.second(t, j)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "b", "\U0001f98a", "c", "a/b/c/d"} {
		var got, want []string
		err := other.Settled(ctx, prefix, func(name, value string) error {
			if !slices.Contains(names, name) && prefix == "" {
				return nil // the journal's own
			}
			if settled, err := j.Settle(ctx, name, "another"); err != nil || settled != value {
				t.Errorf("%q has the value %q, settled is %q, %v", name, value, settled, err)
			}
			got = append(got, name)
			return nil
		})
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("settled with the prefix %q: %q, %v, want %q", prefix, got, err, want)
		}
	}
}
