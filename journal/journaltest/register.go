package journaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var registerParts = []part{
	{"a register is made by its first swap and changed by the next", testSwap},
	{"a swap of another revision stores nothing and shows what is stored", testSwapRevisions},
	{"a swap sent again has no second effect", testSwapAgain},
	{"of owners who make one register at once one wins", testSwapRace},
	{"owners who change one register at once lose nothing", testChangeRace},
	{"unknown swaps are resolved by sending them again", testSwapUnknown},
	{"a reader sees every swap that was answered before", testRegisterReader},
	{"registers of other partitions and spaces are apart", testRegistersApart},
	{"registers are kept byte by byte and ordered by name", testRegisterOrder},
	{"registers out of bounds are refused", testBadRegisters},
	{"registers are there after reopening", testRegistersReopen},
	{"registers of a closed journal say so", testRegistersClosed},
}

// asRegisters returns the journal's registers, which each journal has.
func asRegisters(t *testing.T, j journal.Journal) journal.Registers {
	t.Helper()
	r, ok := j.(journal.Registers)
	if !ok {
		t.Fatalf("%T is no journal.Registers", j)
	}
	return r
}

// swapOf is a swap that nobody else sends.
func swapOf(name string, revision uint64, value string) journal.Register {
	return journal.Register{Name: name, Revision: revision, Attempt: journal.NewBatch(), Value: []byte(value)}
}

// wantSwap sends a swap until it is answered and compares the answer.
func wantSwap(t *testing.T, r journal.Registers, next, want journal.Register) {
	t.Helper()
	got, err := settleSwap(within(t), r, journal.Placement, "p", next)
	if err != nil || !sameRegister(got, want) {
		t.Errorf("swap to revision %d: answer %+v, %v, want %+v", next.Revision, got, err, want)
	}
}

// sameRegister takes an empty value for none.
func sameRegister(a, b journal.Register) bool {
	values := bytes.Equal(a.Value, b.Value)
	a.Value, b.Value = nil, nil
	return values && reflect.DeepEqual(a, b)
}

// settleSwap sends a swap until it is answered.
func settleSwap(ctx context.Context, r journal.Registers, space journal.Space, partition string, next journal.Register) (journal.Register, error) {
	for {
		now, err := r.Swap(ctx, space, partition, next)
		if err == nil || ctx.Err() != nil || errors.Is(err, journal.ErrClosed) || errors.Is(err, journal.ErrInvalid) {
			return now, err
		}
		if err := breathe(ctx); err != nil {
			return now, err
		}
	}
}

func wantRegisters(t *testing.T, r journal.Registers, space journal.Space, partition string, want ...journal.Register) {
	t.Helper()
	got, err := r.Registers(within(t), space, partition)
	if err != nil || !slices.EqualFunc(got, want, sameRegister) {
		t.Errorf("%s, partition %.40q: %+v, %v, want %+v", space, partition, got, err, want)
	}
}

func testSwap(t *testing.T, s Suite) {
	j := s.Open(t)
	first, second := asRegisters(t, j), asRegisters(t, s.second(t, j))
	wantRegisters(t, first, journal.Placement, "p")
	made := swapOf("pin", 1, "node-1")
	wantSwap(t, first, made, made)
	wantRegisters(t, second, journal.Placement, "p", made)
	changed := swapOf("pin", 2, "node-2")
	wantSwap(t, second, changed, changed)
	wantRegisters(t, first, journal.Placement, "p", changed)
	removed := swapOf("pin", 3, "")
	wantSwap(t, first, removed, removed)
	wantRegisters(t, second, journal.Placement, "p", removed)
	back := swapOf("pin", 4, "node-1")
	wantSwap(t, second, back, back)
}

func testSwapRevisions(t *testing.T, s Suite) {
	r := asRegisters(t, s.Open(t))
	none := journal.Register{Name: "pin"}
	wantSwap(t, r, swapOf("pin", 2, "too early"), none)
	wantSwap(t, r, swapOf("pin", 1<<40, "much too early"), none)
	wantRegisters(t, r, journal.Placement, "p")
	for revision := uint64(1); revision <= 3; revision++ {
		stored := swapOf("pin", revision, fmt.Sprint("value ", revision))
		wantSwap(t, r, stored, stored)
		for _, wrong := range []uint64{1, revision, revision + 2, 1 << 63} {
			wantSwap(t, r, swapOf("pin", wrong, "wrong"), stored)
		}
		wantRegisters(t, r, journal.Placement, "p", stored)
	}
}

func testSwapAgain(t *testing.T, s Suite) {
	j := s.Open(t)
	first, second := asRegisters(t, j), asRegisters(t, s.second(t, j))
	made, changed, last := swapOf("pin", 1, "a"), swapOf("pin", 2, "b"), swapOf("pin", 3, "")
	for _, next := range []journal.Register{made, changed, last} {
		for range 3 {
			wantSwap(t, first, next, next)
			wantSwap(t, second, next, next)
		}
	}
	// Others went on: the answer is what they stored.
	wantSwap(t, first, made, last)
	wantSwap(t, first, changed, last)
	wantRegisters(t, second, journal.Placement, "p", last)
}

func testSwapRace(t *testing.T, s Suite) {
	j := s.Open(t)
	owners := []journal.Registers{asRegisters(t, j), asRegisters(t, s.second(t, j))}
	const callers = 8
	ctx := within(t)
	var sent, got [callers]journal.Register
	var group sync.WaitGroup
	for i := range callers {
		sent[i] = swapOf("pin", 1, fmt.Sprint("caller ", i))
		group.Go(func() {
			var err error
			if got[i], err = settleSwap(ctx, owners[i%2], journal.Progress, "p", sent[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	won := slices.IndexFunc(sent[:], func(r journal.Register) bool { return sameRegister(r, got[0]) })
	if won < 0 {
		t.Fatalf("the register holds %+v, which nobody sent", got[0])
	}
	for i := range got {
		if !sameRegister(got[i], sent[won]) {
			t.Errorf("caller %d was told of %+v, caller 0 of %+v", i, got[i], got[0])
		}
	}
	wantRegisters(t, owners[1], journal.Progress, "p", sent[won])
}

// tally is a value that says who did how much: an owner finds its own part in
// it, also when others have gone on.
type tally map[string]int

func parseTally(value []byte) tally {
	counts := tally{}
	for _, line := range strings.Fields(string(value)) {
		owner, count, _ := strings.Cut(line, "=")
		counts[owner], _ = strconv.Atoi(count)
	}
	return counts
}

func (c tally) value() []byte {
	var text []byte
	for _, owner := range slices.Sorted(maps.Keys(c)) {
		text = fmt.Appendf(text, "%s=%d ", owner, c[owner])
	}
	return text
}

// count raises the owner's part of a register to n, one by one.
func count(ctx context.Context, r journal.Registers, owner string, n int) error {
	for i := 1; i <= n; i++ {
		_, err := journal.Change(ctx, r, journal.Placement, "p", "tally", func(now journal.Register) ([]byte, bool) {
			counts := parseTally(now.Value)
			wanted := counts[owner] < i
			counts[owner] = i
			return counts.value(), wanted
		})
		if err != nil {
			return fmt.Errorf("%s: count %d: %w", owner, i, err)
		}
	}
	return nil
}

// countRace lets owners count at once in one register. A part that was overwritten by another's
// older view of it would stay behind or be counted twice: the revision tells.
func countRace(t *testing.T, n int, owners ...journal.Registers) journal.Register {
	t.Helper()
	ctx := within(t)
	var group sync.WaitGroup
	for i, r := range owners {
		group.Go(func() {
			if err := count(ctx, r, fmt.Sprint("owner-", i), n); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	stored, err := owners[0].Registers(ctx, journal.Placement, "p")
	if err != nil || len(stored) != 1 {
		t.Fatalf("stored %+v, %v, want one register", stored, err)
	}
	counts := parseTally(stored[0].Value)
	for i := range owners {
		if got := counts[fmt.Sprint("owner-", i)]; got != n {
			t.Errorf("owner %d has counted to %d, %d is stored", i, n, got)
		}
	}
	return stored[0]
}

func testChangeRace(t *testing.T, s Suite) {
	j := s.Open(t)
	first, second := asRegisters(t, j), asRegisters(t, s.second(t, j))
	const each = 100
	// Two callers of each owner: journals may put swaps that come at once into one write.
	owners := []journal.Registers{first, first, second, second}
	got := countRace(t, each, owners...)
	if got.Revision != uint64(len(owners)*each) {
		t.Errorf("%d swaps made revision %d", len(owners)*each, got.Revision)
	}
}

func testSwapUnknown(t *testing.T, s Suite) {
	for seed := range uint64(3) {
		j := s.Open(t)
		first := NewFlaky(j, Faults{Seed: 2 * seed, Stall: 20, Refuse: 10, Lose: 15, Forget: 15, Late: 10})
		second := NewFlaky(s.second(t, j), Faults{Seed: 2*seed + 1, Stall: 20, Refuse: 10, Lose: 15, Forget: 15, Late: 10})
		const each = 40
		got := countRace(t, each, first, second)
		if got.Revision != 2*each {
			t.Errorf("%d swaps made revision %d", 2*each, got.Revision)
		}
		if first.Injected()+second.Injected() == 0 {
			t.Error("no fault was injected: the test proves nothing")
		}
		first.Wait()
		second.Wait()
		wantRegisters(t, asRegisters(t, j), journal.Placement, "p", got)
	}
}

func testRegisterReader(t *testing.T, s Suite) {
	const swaps = 100
	j := s.Open(t)
	writer, reader := asRegisters(t, j), asRegisters(t, s.second(t, j))
	var answered atomic.Uint64 // the newest revision whose swap was answered
	ctx := within(t)
	var group sync.WaitGroup
	group.Go(func() {
		defer answered.Store(swaps)
		for revision := uint64(1); revision <= swaps; revision++ {
			next := swapOf("pin", revision, fmt.Sprint(revision))
			if got, err := settleSwap(ctx, writer, journal.Progress, "p", next); err != nil || got.Attempt != next.Attempt {
				t.Errorf("swap to revision %d: %+v, %v", revision, got, err)
				return
			}
			answered.Store(revision)
		}
	})
	for before, last := uint64(0), uint64(0); before < swaps && !t.Failed(); {
		before = answered.Load()
		got, err := reader.Registers(ctx, journal.Progress, "p")
		if err != nil {
			t.Fatal(err)
		}
		var seen journal.Register
		if len(got) > 0 {
			seen = got[0]
		}
		if seen.Revision < max(before, last) || seen.Revision > 0 && string(seen.Value) != fmt.Sprint(seen.Revision) {
			t.Fatalf("read %+v behind revision %d, %d was answered before", seen, last, before)
		}
		last = seen.Revision
	}
	group.Wait()
}

func testRegistersApart(t *testing.T, s Suite) {
	r := asRegisters(t, s.Open(t))
	ctx := within(t)
	places := []struct {
		space     journal.Space
		partition string
	}{
		{journal.Placement, "p"},
		{journal.Progress, "p"},
		{journal.Placement, "pp"},
		{journal.Placement, "p\x00"},
		{journal.Placement, "p/q"},
		{journal.Progress, "p\U0001f98a"},
	}
	want := map[int]journal.Register{}
	for round := uint64(1); round <= 2; round++ {
		for i, at := range places {
			want[i] = swapOf("q", round, fmt.Sprint(round, " of ", i))
			got, err := settleSwap(ctx, r, at.space, at.partition, want[i])
			if err != nil || !sameRegister(got, want[i]) {
				t.Errorf("%+v: %+v, %v", at, got, err)
			}
		}
	}
	for i, at := range places {
		wantRegisters(t, r, at.space, at.partition, want[i])
	}
	wantRegisters(t, r, journal.Progress, "nobody's")
}

func testRegisterOrder(t *testing.T, s Suite) {
	r := asRegisters(t, s.Open(t))
	names := []string{
		"b", "a", "a\x00", "a\x00b", "a/1", "a/10", "a/2", "ab", "\x00", "\u00fc", "\U0001f98a", "\ufffd", "\x7f", strings.Repeat("n", journal.MaxName),
	}
	var want []journal.Register
	for i, name := range names {
		// All bytes, and a value that is as large as is allowed.
		value := make([]byte, i*journal.MaxValue/(len(names)-1))
		for at := range value {
			value[at] = byte(at + i)
		}
		next := swapOf(name, 1, string(value))
		wantSwap(t, r, next, next)
		want = append(want, next)
	}
	slices.SortFunc(want, func(a, b journal.Register) int { return strings.Compare(a.Name, b.Name) })
	wantRegisters(t, r, journal.Placement, "p", want...)
}

func testBadRegisters(t *testing.T, s Suite) {
	r := asRegisters(t, s.Open(t))
	good := swapOf("pin", 1, "x")
	long := strings.Repeat("n", journal.MaxName+1)
	change := func(f func(*journal.Register)) journal.Register {
		next := good
		f(&next)
		return next
	}
	cases := map[string]struct {
		space     journal.Space
		partition string
		next      journal.Register
	}{
		"no space":          {0, "p", good},
		"an unknown space":  {journal.Progress + 1, "p", good},
		"no partition":      {journal.Placement, "", good},
		"a long partition":  {journal.Placement, long, good},
		"a binary one":      {journal.Placement, "\xff", good},
		"no name":           {journal.Placement, "p", change(func(r *journal.Register) { r.Name = "" })},
		"a long name":       {journal.Placement, "p", change(func(r *journal.Register) { r.Name = long })},
		"a binary name":     {journal.Placement, "p", change(func(r *journal.Register) { r.Name = "a\xff" })},
		"revision 0":        {journal.Placement, "p", change(func(r *journal.Register) { r.Revision = 0 })},
		"no attempt":        {journal.Placement, "p", change(func(r *journal.Register) { r.Attempt = journal.Batch{} })},
		"too large a value": {journal.Placement, "p", change(func(r *journal.Register) { r.Value = make([]byte, journal.MaxValue+1) })},
	}
	for name, c := range cases {
		if got, err := r.Swap(within(t), c.space, c.partition, c.next); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("swap with %s: %+v, %v, want ErrInvalid", name, got, err)
		}
	}
	for _, name := range []string{"no space", "no partition", "a long partition", "a binary one"} {
		if got, err := r.Registers(within(t), cases[name].space, cases[name].partition); !errors.Is(err, journal.ErrInvalid) {
			t.Errorf("registers with %s: %+v, %v, want ErrInvalid", name, got, err)
		}
	}
	wantRegisters(t, r, journal.Placement, "p")
}

func testRegistersReopen(t *testing.T, s Suite) {
	if s.Reopen == nil {
		t.Skip("the journal does not outlive Close")
	}
	j := s.Open(t)
	var last journal.Register
	for revision := uint64(1); revision <= 4; revision++ {
		last = swapOf("pin", revision, fmt.Sprint("value ", revision))
		wantSwap(t, asRegisters(t, j), last, last)
		if revision%2 == 0 {
			j = s.Reopen(t, j)
		}
		wantRegisters(t, asRegisters(t, j), journal.Placement, "p", last)
	}
	r := asRegisters(t, j)
	wantSwap(t, r, last, last)
	wantSwap(t, r, swapOf("pin", 4, "late"), last)
}

// registerCalls is every method once.
func registerCalls(r journal.Registers) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Registers": func(ctx context.Context) error { _, err := r.Registers(ctx, journal.Placement, "p"); return err },
		"Swap": func(ctx context.Context) error {
			_, err := r.Swap(ctx, journal.Placement, "p", swapOf("pin", 1, "x"))
			return err
		},
	}
}

func testRegistersClosed(t *testing.T, s Suite) {
	j := s.Open(t)
	r := asRegisters(t, j)
	wantEnded(t, registerCalls(r))
	wantRegisters(t, r, journal.Placement, "p")
	wantClosed(t, j, registerCalls(r))
}

// wantEnded wants every call to honour a context that has ended.
func wantEnded(t *testing.T, calls map[string]func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want Canceled", name, err)
		}
	}
}

// wantClosed closes the journal and wants every call to say so.
func wantClosed(t *testing.T, j journal.Journal, calls map[string]func(context.Context) error) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call(within(t)); !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}
