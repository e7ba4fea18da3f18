package journaltest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var storeParts = []part{
	{"pages of two owners live side by side", testPagesOverlap},
	{"pages after an entry are found in order", testPagesOrder},
	{"names are kept byte by byte", testNames},
	{"names out of bounds are refused", testBadNames},
	{"two snapshots are kept, newest first", testSnapshots},
	{"snapshots saved at once leave the newest", testSnapshotRace},
	{"timers are found by hour and ordered by time", testTimers},
	{"disarmed timers are gone", testDisarm},
	{"the flushed position never falls", testFlushed},
	{"a visitor's error ends the visit", testVisitorError},
}

func testPagesOverlap(t *testing.T, s Suite) {
	j := s.Open(t)
	of := journal.Entity{Type: "lot", ID: "42"}
	cuts := [][]journal.Page{
		{page(of, 1, 3), page(of, 4, 6), page(of, 7, 7)},
		{page(of, 1, 2), page(of, 3, 6), page(of, 5, 7), page(of, 7, 7)},
	}
	owners := []journal.Journal{j, s.second(t, j)}
	var group sync.WaitGroup
	for i, cut := range cuts {
		group.Go(func() {
			for _, p := range cut {
				if err := owners[i].Derive(within(t), journal.Derived{Shard: 1, Pages: []journal.Page{p}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantPages(t, j, of, 0, [][2]uint64{{1, 2}, {1, 3}, {3, 6}, {4, 6}, {5, 7}, {7, 7}})
}

func page(of journal.Entity, first, last uint64) journal.Page {
	return journal.Page{Of: of, First: first, Last: last, Body: fmt.Appendf(nil, "entries %d to %d of %q", first, last, of.ID)}
}

// wantPages checks which pages are found behind an entry, and their bodies.
func wantPages(t *testing.T, j journal.Journal, of journal.Entity, after uint64, want [][2]uint64) {
	t.Helper()
	var got [][2]uint64
	err := j.Pages(within(t), of, after, func(p journal.Page) error {
		got = append(got, [2]uint64{p.First, p.Last})
		if wanted := page(of, p.First, p.Last); !reflect.DeepEqual(p, wanted) {
			t.Errorf("page %+v, want %+v", p, wanted)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pages of %.40q after %d: %v, want %v", of.ID, after, got, want)
	}
}

func testPagesOrder(t *testing.T, s Suite) {
	j := s.Open(t)
	of := journal.Entity{Type: "lot", ID: "42"}
	var d journal.Derived
	for _, cut := range [][2]uint64{{257, 300}, {2, 255}, {1, 1}, {256, 256}, {301, 70000}} {
		d.Pages = append(d.Pages, page(of, cut[0], cut[1]))
	}
	if err := j.Derive(within(t), d); err != nil {
		t.Fatal(err)
	}
	all := [][2]uint64{{1, 1}, {2, 255}, {256, 256}, {257, 300}, {301, 70000}}
	for after, from := range map[uint64]int{0: 0, 1: 1, 2: 1, 254: 1, 255: 2, 256: 3, 300: 4, 69999: 4} {
		wantPages(t, j, of, after, all[from:])
	}
	for _, after := range []uint64{70000, 1<<64 - 1} {
		wantPages(t, j, of, after, nil)
	}
}

// oddNames are prefixes of each other, escapes of escapes, and any bytes.
var oddNames = []string{
	"a", "aa", "a\x00", "a\x00\x00", "a\x00\x01", "a\x00\xff", "\x00", "\x00\x01", "\x01", "\xff", "\xff\xff", "\xff\x00",
	"a/b", "a/", "/", "a.b", "naïve 名前 🦊", "\xc3\x28", " ", "\n", strings.Repeat("n", journal.MaxName), strings.Repeat("\x00", journal.MaxName),
}

func testNames(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	var d journal.Derived
	for i, id := range oddNames {
		d.Pages = append(d.Pages, page(journal.Entity{Type: "lot", ID: id}, 1, uint64(i)+1), page(journal.Entity{Type: id, ID: "lot"}, 1, uint64(i)+100))
		d.Arms = append(d.Arms, journal.Timer{Of: journal.Entity{Type: id, ID: id}, Name: id, Armed: uint64(i), Due: int64(i)})
		if err := j.SaveSnapshot(ctx, journal.Snapshot{Of: journal.Entity{Type: id, ID: id}, Entry: uint64(i) + 1, Body: []byte(id)}); err != nil {
			t.Fatalf("snapshot of %q: %v", id, err)
		}
	}
	if err := j.Derive(ctx, d); err != nil {
		t.Fatal(err)
	}
	for i, id := range oddNames {
		wantPages(t, j, journal.Entity{Type: "lot", ID: id}, 0, [][2]uint64{{1, uint64(i) + 1}})
		wantPages(t, j, journal.Entity{Type: id, ID: "lot"}, 0, [][2]uint64{{1, uint64(i) + 100}})
		got, err := j.Snapshots(ctx, journal.Entity{Type: id, ID: id})
		if err != nil || len(got) != 1 || string(got[0].Body) != id {
			t.Errorf("snapshots of %.40q: %d, %v", id, len(got), err)
		}
	}
	wantTimers(t, j, 0, 0, 1, d.Arms)
}

func testBadNames(t *testing.T, s Suite) {
	j := s.Open(t)
	long := strings.Repeat("n", journal.MaxName+1)
	for _, of := range []journal.Entity{{Type: "", ID: "a"}, {Type: "a", ID: ""}, {Type: long, ID: "a"}, {Type: "a", ID: long}} {
		bad := []journal.Derived{{Pages: []journal.Page{page(of, 1, 1)}}, {Arms: []journal.Timer{{Of: of, Name: "n"}}}}
		for _, d := range bad {
			if err := j.Derive(within(t), d); !errors.Is(err, journal.ErrInvalid) {
				t.Errorf("derive for an entity of %d and %d bytes: %v, want ErrInvalid", len(of.Type), len(of.ID), err)
			}
		}
		if err := j.SaveSnapshot(within(t), journal.Snapshot{Of: of, Entry: 1}); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("snapshot of an entity of %d and %d bytes: %v, want ErrInvalid", len(of.Type), len(of.ID), err)
		}
	}
	of := journal.Entity{Type: "a", ID: "a"}
	for _, d := range []journal.Derived{
		{Pages: []journal.Page{page(of, 2, 1)}}, {Pages: []journal.Page{page(of, 0, 1)}}, {Disarms: []journal.Timer{{Of: of, Name: long}}},
	} {
		if err := j.Derive(within(t), d); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("derive %.80v: %v, want ErrInvalid", d, err)
		}
	}
}

func testSnapshots(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	of, neighbour := journal.Entity{Type: "lot", ID: "42"}, journal.Entity{Type: "lot", ID: "421"}
	steps := []struct {
		save uint64
		want []uint64
	}{{10, []uint64{10}}, {20, []uint64{20, 10}}, {300, []uint64{300, 20}}, {300, []uint64{300, 20}}, {5, []uint64{300, 20}}, {100, []uint64{300, 100}}, {70000, []uint64{70000, 300}}}
	if err := j.SaveSnapshot(ctx, journal.Snapshot{Of: neighbour, Entry: 15, Body: []byte("n")}); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if err := j.SaveSnapshot(ctx, journal.Snapshot{Of: of, Entry: step.save, Body: fmt.Append(nil, step.save)}); err != nil {
			t.Fatal(err)
		}
		if got := entriesOf(t, j, of); !reflect.DeepEqual(got, step.want) {
			t.Fatalf("after saving %d: %v, want %v", step.save, got, step.want)
		}
	}
	if got := entriesOf(t, j, neighbour); !reflect.DeepEqual(got, []uint64{15}) {
		t.Errorf("the neighbour's: %v", got)
	}
	if got := entriesOf(t, j, journal.Entity{Type: "lot", ID: "4"}); got != nil {
		t.Errorf("an unknown entity's: %v", got)
	}
}

// entriesOf returns the entries of an entity's snapshots, whose bodies are their numbers.
func entriesOf(t *testing.T, j journal.Journal, of journal.Entity) []uint64 {
	t.Helper()
	snapshots, err := j.Snapshots(within(t), of)
	if err != nil {
		t.Fatal(err)
	}
	var entries []uint64
	for _, snapshot := range snapshots {
		if want := fmt.Sprint(snapshot.Entry); string(snapshot.Body) != want && of.ID == "42" {
			t.Errorf("body %q of snapshot %s", snapshot.Body, want)
		}
		entries = append(entries, snapshot.Entry)
	}
	return entries
}

func testSnapshotRace(t *testing.T, s Suite) {
	j := s.Open(t)
	owners := []journal.Journal{j, s.second(t, j)}
	of := journal.Entity{Type: "lot", ID: "42"}
	var group sync.WaitGroup
	for i, owner := range owners {
		group.Go(func() {
			for entry := uint64(i + 1); entry <= 40; entry += 2 {
				if err := owner.SaveSnapshot(within(t), journal.Snapshot{Of: of, Entry: entry, Body: fmt.Append(nil, entry)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := entriesOf(t, j, of); len(got) == 0 || got[0] != 40 || len(got) > journal.KeptSnapshots {
		t.Errorf("snapshots %v, want 40 first and at most %d", got, journal.KeptSnapshots)
	}
}

const hour = int64(3600e9)

func timer(id, name string, armed uint64, due int64) journal.Timer {
	return journal.Timer{Of: journal.Entity{Type: "lot", ID: id}, Name: name, Armed: armed, Due: due}
}

// wantTimers checks what is found in a range of hours. Timers due at the same
// time have no order.
func wantTimers(t *testing.T, j journal.Journal, shard uint32, from, to int64, want []journal.Timer) {
	t.Helper()
	found := map[journal.Timer]int{}
	last := int64(-1 << 63)
	err := j.Timers(within(t), shard, from, to, func(got journal.Timer) error {
		if got.Due < last {
			t.Errorf("hours %d to %d: due %d comes after %d", from, to, got.Due, last)
		}
		last = got.Due
		found[got]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, timer := range want {
		if found[timer] != 1 {
			t.Errorf("hours %d to %d: timer %.80v found %d times", from, to, timer, found[timer])
		}
		delete(found, timer)
	}
	for timer := range found {
		t.Errorf("hours %d to %d: timer %.80v should not be there", from, to, timer)
	}
}

func testTimers(t *testing.T, s Suite) {
	j := s.Open(t)
	all := []journal.Timer{
		timer("a", "close", 1, -2*hour), timer("a", "close", 1, -1), timer("a", "close", 1, 0), timer("b", "close", 1, 0),
		timer("a", "close", 1, 1), timer("a", "warn", 1, hour-1), timer("a", "close", 2, hour), timer("a", "close", 3, 500000*hour+7),
	}
	if err := j.Derive(within(t), journal.Derived{Shard: 5, Arms: all}); err != nil {
		t.Fatal(err)
	}
	if err := j.Derive(within(t), journal.Derived{Shard: 6, Arms: []journal.Timer{timer("z", "close", 1, 3)}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to    int64
		first, last int
	}{{-3, -2, 0, 0}, {-2, -1, 0, 1}, {-1, 0, 1, 2}, {-2, 0, 0, 2}, {0, 1, 2, 6}, {1, 2, 6, 7}, {0, 500000, 2, 7}, {500000, 500001, 7, 8}, {-1 << 40, 1 << 40, 0, 8}, {1, 1, 0, 0}, {2, 1, 0, 0}} {
		wantTimers(t, j, 5, c.from, c.to, all[c.first:c.last])
	}
	wantTimers(t, j, 7, -1<<40, 1<<40, nil)
}

func testDisarm(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	a, b, c := timer("a", "close", 1, hour), timer("a", "close", 2, hour), timer("a", "warn", 1, hour)
	for _, d := range []journal.Derived{
		{Arms: []journal.Timer{a, c}},
		{Arms: []journal.Timer{b}, Disarms: []journal.Timer{a}},
		{Disarms: []journal.Timer{timer("a", "none", 1, hour), a}},
		{Arms: []journal.Timer{c}},
	} {
		if err := j.Derive(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	wantTimers(t, j, 0, 0, 10, []journal.Timer{b, c})
	if err := j.Derive(ctx, journal.Derived{Arms: []journal.Timer{a}, Disarms: []journal.Timer{a, b, c}}); err != nil {
		t.Fatal(err)
	}
	wantTimers(t, j, 0, 0, 10, nil)
}

func testFlushed(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	c := Chain{Writer: "a"}
	for range 10 {
		c.mustAppend(t, j, 1, 1)
	}
	highest := uint64(0)
	for _, upTo := range []uint64{3, 7, 5, 0, 7} {
		if err := j.Derive(ctx, journal.Derived{Shard: 1, UpTo: upTo}); err != nil {
			t.Fatal(err)
		}
		highest = max(highest, upTo)
		head, err := j.Head(ctx, 1)
		if err != nil || head.Flushed > highest {
			t.Fatalf("flushed %d after deriving up to %d, %v", head.Flushed, highest, err)
		}
	}
}

func testVisitorError(t *testing.T, s Suite) {
	j := s.Open(t)
	ctx := within(t)
	of := journal.Entity{Type: "lot", ID: "42"}
	d := journal.Derived{
		Pages: []journal.Page{page(of, 1, 1), page(of, 2, 2)},
		Arms:  []journal.Timer{timer("a", "close", 1, 1), timer("a", "close", 2, 2)},
	}
	if err := j.Derive(ctx, d); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if _, err := j.Settle(ctx, name, "value"); err != nil {
			t.Fatal(err)
		}
	}
	enough := errors.New("enough")
	visits := 0
	stop := func() error { visits++; return enough }
	for name, visit := range map[string]func(context.Context) error{
		"pages": func(ctx context.Context) error {
			return j.Pages(ctx, of, 0, func(journal.Page) error { return stop() })
		},
		"timers": func(ctx context.Context) error {
			return j.Timers(ctx, 0, 0, 1, func(journal.Timer) error { return stop() })
		},
		"facts": func(ctx context.Context) error {
			return j.Settled(ctx, "", func(string, string) error { return stop() })
		},
	} {
		visits = 0
		if err := visit(ctx); !errors.Is(err, enough) || visits != 1 {
			t.Errorf("%s: %d visits, %v", name, visits, err)
		}
	}
}
