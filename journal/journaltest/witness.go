package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var witnessParts = []part{
	{"witnesses are ordered by address, the last one of each", testWitnesses},
	{"the next process at an address takes its witness over", testWitnessHandOver},
	{"nodes at once see each other's beats", testWitnessRace},
	{"witnesses out of bounds are refused", testBadWitnesses},
	{"witnesses are there after reopening", testWitnessesReopen},
	{"witnesses of a closed journal say so", testWitnessesClosed},
}

// asWitnesses returns the journal's witnesses, which each journal has.
func asWitnesses(t *testing.T, j journal.Journal) journal.Witnesses {
	t.Helper()
	w, ok := j.(journal.Witnesses)
	if !ok {
		t.Fatalf("%T is no journal.Witnesses", j)
	}
	return w
}

func witness(address string, beat uint64) journal.Witness {
	return journal.Witness{Address: address, Incarnation: fmt.Sprint("start ", len(address)), Beat: beat, View: fmt.Append(nil, "view ", beat)}
}

func putWitness(t *testing.T, in journal.Witnesses, w journal.Witness) {
	t.Helper()
	if err := in.PutWitness(within(t), w); err != nil {
		t.Fatalf("put the witness of %.40q: %v", w.Address, err)
	}
}

// sameWitness takes an empty view for none.
func sameWitness(a, b journal.Witness) bool {
	return a.Address == b.Address && a.Incarnation == b.Incarnation && a.Beat == b.Beat && bytes.Equal(a.View, b.View)
}

func wantWitnesses(t *testing.T, in journal.Witnesses, want ...journal.Witness) {
	t.Helper()
	got, err := in.Witnesses(within(t))
	if err != nil || !slices.EqualFunc(got, want, sameWitness) {
		t.Errorf("witnesses %.400s, %v, want %.400s", fmt.Sprint(got), err, fmt.Sprint(want))
	}
}

func testWitnesses(t *testing.T, s Suite) {
	j := s.Open(t)
	first, second := asWitnesses(t, j), asWitnesses(t, s.second(t, j))
	wantWitnesses(t, first)
	addresses := []string{"b:1", "a:10", "a:2", "a", "\u00fc:1", "a\x00", "\U0001f98a:1", strings.Repeat("n", journal.MaxName)}
	for beat := range uint64(2) {
		for _, address := range addresses {
			putWitness(t, first, witness(address, beat))
		}
	}
	slices.Sort(addresses)
	var want []journal.Witness
	for _, address := range addresses {
		want = append(want, witness(address, 1))
	}
	wantWitnesses(t, first, want...)
	wantWitnesses(t, second, want...)

	want[0].View, want[0].Beat, want[0].Incarnation = nil, 1<<64-1, "another"
	putWitness(t, first, want[0])
	want[1].View, want[1].Beat = bytes.Repeat([]byte{0xff, 0}, journal.MaxView/2), 0
	putWitness(t, first, want[1])
	wantWitnesses(t, second, want...)
}

func testWitnessHandOver(t *testing.T, s Suite) {
	j := s.Open(t)
	for process := range uint64(4) {
		for beat := range uint64(3) {
			w := witness("a:1", beat)
			w.Incarnation = fmt.Sprint("start ", process)
			putWitness(t, asWitnesses(t, j), w)
			wantWitnesses(t, asWitnesses(t, j), w)
		}
		j = s.second(t, j)
	}
}

// testWitnessRace lets nodes beat at once. A node that has put its beat and then
// reads sees it, and of each other's beats never an older one than before.
func testWitnessRace(t *testing.T, s Suite) {
	j := s.Open(t)
	nodes := []journal.Witnesses{asWitnesses(t, j), asWitnesses(t, s.second(t, j)), asWitnesses(t, j)}
	ctx := within(t)
	var group sync.WaitGroup
	for i, in := range nodes {
		group.Go(func() {
			if err := beat(ctx, in, fmt.Sprint("node-", i), 30); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantWitnesses(t, nodes[0], witness("node-0", 30), witness("node-1", 30), witness("node-2", 30))
}

func beat(ctx context.Context, in journal.Witnesses, address string, beats uint64) error {
	seen := map[string]uint64{}
	for n := uint64(1); n <= beats; n++ {
		if err := in.PutWitness(ctx, witness(address, n)); err != nil {
			return err
		}
		seen[address] = n
		all, err := in.Witnesses(ctx)
		if err != nil {
			return err
		}
		found := map[string]uint64{}
		for _, w := range all {
			if !sameWitness(w, witness(w.Address, w.Beat)) {
				return fmt.Errorf("%s sees %+v, which nobody put", address, w)
			}
			found[w.Address] = w.Beat
		}
		for other, before := range seen {
			if found[other] < before {
				return fmt.Errorf("%s sees beat %d of %s, and saw %d before", address, found[other], other, before)
			}
		}
		seen = found
	}
	return nil
}

func testBadWitnesses(t *testing.T, s Suite) {
	in := asWitnesses(t, s.Open(t))
	long := strings.Repeat("n", journal.MaxName+1)
	for name, change := range map[string]func(*journal.Witness){
		"no address":         func(w *journal.Witness) { w.Address = "" },
		"a long address":     func(w *journal.Witness) { w.Address = long },
		"a binary address":   func(w *journal.Witness) { w.Address = "\xff" },
		"no incarnation":     func(w *journal.Witness) { w.Incarnation = "" },
		"a long incarnation": func(w *journal.Witness) { w.Incarnation = long },
		"too large a view":   func(w *journal.Witness) { w.View = make([]byte, journal.MaxView+1) },
	} {
		w := witness("a:1", 1)
		change(&w)
		if err := in.PutWitness(within(t), w); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("a witness with %s: %v, want ErrInvalid", name, err)
		}
	}
	wantWitnesses(t, in)
}

func testWitnessesReopen(t *testing.T, s Suite) {
	if s.Reopen == nil {
		t.Skip("the journal does not outlive Close")
	}
	j := s.Open(t)
	for beat := range uint64(3) {
		putWitness(t, asWitnesses(t, j), witness("a:1", beat))
		putWitness(t, asWitnesses(t, j), witness(fmt.Sprint("b:", beat), beat))
		j = s.Reopen(t, j)
		want := []journal.Witness{witness("a:1", beat)}
		for b := range beat + 1 {
			want = append(want, witness(fmt.Sprint("b:", b), b))
		}
		wantWitnesses(t, asWitnesses(t, j), want...)
	}
}

func testWitnessesClosed(t *testing.T, s Suite) {
	j := s.Open(t)
	in := asWitnesses(t, j)
	calls := map[string]func(context.Context) error{
		"PutWitness": func(ctx context.Context) error { return in.PutWitness(ctx, witness("a:1", 1)) },
		"Witnesses":  func(ctx context.Context) error { _, err := in.Witnesses(ctx); return err },
	}
	wantEnded(t, calls)
	wantWitnesses(t, in)
	wantClosed(t, j, calls)
}
