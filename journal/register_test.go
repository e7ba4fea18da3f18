package journal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// Two operators pin shards at once. Each says what should be, so it does not matter who comes first.
func ExampleChange() {
	ctx := context.Background()
	j := journal.NewMemory()
	defer func() { _ = j.Close() }()

	for _, node := range []string{"node-1", "node-2"} {
		pin, err := journal.Change(ctx, j, journal.Placement, "pins", "shard 7", func(now journal.Register) ([]byte, bool) {
			return []byte(node), string(now.Value) != node
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s is pinned to %s (revision %d)\n", pin.Name, pin.Value, pin.Revision)
	}
	// Output:
	// shard 7 is pinned to node-1 (revision 1)
	// shard 7 is pinned to node-2 (revision 2)
}

func TestChangeLeavesAloneWhatIsWell(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	for range 2 {
		got, err := journal.Change(t.Context(), j, journal.Progress, "p", "pin", func(now journal.Register) ([]byte, bool) {
			return []byte("x"), string(now.Value) != "x"
		})
		if err != nil || got.Revision != 1 {
			t.Errorf("%+v, %v, want revision 1", got, err)
		}
	}
}

func TestChangeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	down := journaltest.NewFlaky(journal.NewMemory(), journaltest.Faults{Lose: 100})
	_, err := journal.Change(ctx, down, journal.Placement, "p", "pin", func(journal.Register) ([]byte, bool) {
		cancel()
		return nil, true
	})
	if !errors.Is(err, journaltest.ErrUnknown) {
		t.Errorf("a journal that never answers: %v, want the last error", err)
	}
}

func TestChangeDoesNotRepeatWhatCannotHelp(t *testing.T) {
	t.Parallel()
	change := func(in journal.Registers, name string) error {
		_, err := journal.Change(t.Context(), in, journal.Placement, "p", name, func(journal.Register) ([]byte, bool) { return nil, true })
		return err
	}
	closed := journal.NewMemory()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := change(closed, "pin"); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("a closed journal: %v", err)
	}
	if err := change(journal.NewMemory(), ""); !errors.Is(err, journal.ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
	full := journal.NewMemory()
	for n := range journal.MaxRegisters {
		if err := change(full, fmt.Sprint("node-", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := change(full, "one more"); !errors.Is(err, journal.ErrCrowded) {
		t.Errorf("a full partition: %v", err)
	}
	if err := change(full, "node-7"); err != nil {
		t.Errorf("a register of a full partition: %v", err)
	}
}
