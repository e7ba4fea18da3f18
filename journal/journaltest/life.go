package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var lifeParts = []part{
	{"a closed journal says so", testClosed},
	{"close waits for appends under way", testCloseWaits},
	{"a context that has ended stores nothing", testEndedContext},
	{"what was stored is there after reopening", testReopen},
}

// calls is every method once.
func calls(j journal.Journal) map[string]func(context.Context) error {
	of := journal.Entity{Type: "lot", ID: "42"}
	rec := journal.NewRecord(journal.Header{Number: 1, Epoch: 1, Writer: "a", Batch: journal.NewBatch(), FirstOffset: 1}, nil)
	return map[string]func(context.Context) error{
		"Head":         func(ctx context.Context) error { _, err := j.Head(ctx, 1); return err },
		"Append":       func(ctx context.Context) error { _, err := j.Append(ctx, 1, rec); return err },
		"Tail":         func(ctx context.Context) error { _, err := j.Tail(ctx, 1, 1); return err },
		"Read":         func(ctx context.Context) error { _, err := j.Read(ctx, 1, 1, 100); return err },
		"Derive":       func(ctx context.Context) error { return j.Derive(ctx, journal.Derived{Shard: 1, UpTo: 1}) },
		"Pages":        func(ctx context.Context) error { return j.Pages(ctx, of, 0, func(journal.Page) error { return nil }) },
		"SaveSnapshot": func(ctx context.Context) error { return j.SaveSnapshot(ctx, journal.Snapshot{Of: of, Entry: 1}) },
		"Snapshots":    func(ctx context.Context) error { _, err := j.Snapshots(ctx, of); return err },
		"Timers": func(ctx context.Context) error {
			return j.Timers(ctx, 1, 0, 1, func(journal.Timer) error { return nil })
		},
		"Settle": func(ctx context.Context) error { _, err := j.Settle(ctx, "name", "value"); return err },
		"Settled": func(ctx context.Context) error {
			return j.Settled(ctx, "", func(string, string) error { return nil })
		},
	}
}

func testClosed(t *testing.T, s Suite) {
	j := s.Open(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(j) {
		if err := call(within(t)); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := j.Close(); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("Close: %v, want ErrClosed", err)
	}
}

func testEndedContext(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(j) {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want Canceled", name, err)
		}
	}
	if head, err := j.Head(within(t), 1); err != nil || head != (journal.Head{}) {
		t.Errorf("head %+v, %v: something was stored", head, err)
	}
}

// testCloseWaits closes while owners append: what was answered as stored
// must be stored, and every call must return.
func testCloseWaits(t *testing.T, s Suite) {
	j := s.Open(t)
	const shards = 4
	ctx := within(t)
	last := make([]journal.Header, shards)
	started := make(chan struct{}, shards)
	var group sync.WaitGroup
	for shard := range shards {
		group.Go(func() { last[shard] = appendUntilClosed(ctx, t, j, uint32(shard), started) })
	}
	for range shards {
		<-started
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
	if s.Reopen == nil {
		return
	}
	again := s.Reopen(t, j)
	for shard, header := range last {
		slot, err := again.Tail(ctx, uint32(shard), header.Number)
		if err != nil || slot.Holder != header {
			t.Errorf("shard %d: slot %d holds %+v, %v, want %+v", shard, header.Number, slot.Holder, err, header)
		}
	}
}

func appendUntilClosed(ctx context.Context, t *testing.T, j journal.Journal, shard uint32, started chan<- struct{}) journal.Header {
	c := Chain{Writer: "a"}
	for n := 0; ; n++ {
		if n == 5 {
			started <- struct{}{}
		}
		_, err := c.Append(ctx, j, shard, c.Next(1))
		if errors.Is(err, journal.ErrClosed) {
			return c.Last
		}
		if err != nil {
			t.Error(err)
			return c.Last
		}
	}
}

func testReopen(t *testing.T, s Suite) {
	if s.Reopen == nil {
		t.Skip("the journal does not outlive Close")
	}
	j := s.Open(t)
	ctx := within(t)
	of := journal.Entity{Type: "lot", ID: "42"}
	c := Chain{Writer: "a"}
	var want []journal.Record
	for round := range uint64(3) {
		for range 20 {
			want = append(want, c.mustAppend(t, j, 1, 2))
		}
		d := journal.Derived{Shard: 1, UpTo: c.Last.Number, Pages: []journal.Page{page(of, round+1, round+1)}, Arms: []journal.Timer{timer("a", "close", round, int64(round))}}
		if err := j.Derive(ctx, d); err != nil {
			t.Fatal(err)
		}
		if err := j.SaveSnapshot(ctx, journal.Snapshot{Of: of, Entry: round + 1, Body: fmt.Append(nil, round+1)}); err != nil {
			t.Fatal(err)
		}
		if value, err := j.Settle(ctx, "history", fmt.Sprint(round)); err != nil || value != "0" {
			t.Fatalf("settled %q, %v", value, err)
		}
		if _, err := j.Settle(ctx, fmt.Sprint("round/", round), "over"); err != nil {
			t.Fatal(err)
		}
		j = s.Reopen(t, j)
	}
	got, err := ReadAll(ctx, j, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, got, want)
	wantPages(t, j, of, 0, [][2]uint64{{1, 1}, {2, 2}, {3, 3}})
	wantTimers(t, j, 1, 0, 1, []journal.Timer{timer("a", "close", 0, 0), timer("a", "close", 1, 1), timer("a", "close", 2, 2)})
	if got := entriesOf(t, j, of); len(got) != 2 || got[0] != 3 || got[1] != 2 {
		t.Errorf("snapshots %v, want 3 and 2", got)
	}
	if head, err := j.Head(ctx, 1); err != nil || head.Last != c.Last {
		t.Errorf("head %+v, %v, want %+v", head, err, c.Last)
	}
	var facts []string
	err = j.Settled(ctx, "round/", func(name, _ string) error { facts = append(facts, name); return nil })
	if err != nil || !slices.Equal(facts, []string{"round/0", "round/1", "round/2"}) {
		t.Errorf("settled %q, %v, want one of each round", facts, err)
	}
}
