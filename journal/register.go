package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
	"unicode/utf8"
)

// Registers are small named values, each changed by compare-and-set. They hold what no
// shard's log can: what operators want of the placement, and how far processors have come whose
// store has no transactions. They are met by journals as an extra ability.
//
// All methods may be called concurrently, by any number of processes.
type Registers interface {
	// Registers returns what a partition holds, ordered by the bytes of the names. Each
	// register is at least as new as when the call began: a swap that was answered before is seen. Of swaps
	// under way while it reads, a later one may show and an earlier one of another register not.
	Registers(ctx context.Context, space Space, partition string) ([]Register, error)

	// Swap stores next if the stored revision is next.Revision-1 (0: the register does not
	// exist yet), and returns what is stored afterwards, durably: the zero Register but for its name if there is none.
	//
	// If the answer has next's revision and attempt, the swap happened, now or when it was sent
	// before. If it has the same revision and another attempt, it did not and never will.
	// If its revision is higher, others went on, and whether next was stored before is not
	// told: go on from the answer (see Change). A lower one tells that next skips revisions: it was not stored.
	//
	// An error that wraps ErrInvalid or ErrCrowded means that this call sent nothing. Any other
	// error leaves the outcome unknown: next may be stored, now or later. Send the same swap
	// again to learn it.
	Swap(ctx context.Context, space Space, partition string, next Register) (Register, error)
}

// Register is one named value.
type Register struct {
	// Name is valid UTF-8 of at most MaxName bytes, not empty.
	Name string
	// Revision counts the swaps that happened, from 1.
	Revision uint64
	// Attempt tells this swap from any other. A swap that is sent again keeps it; it is not zero.
	Attempt Batch
	// Value is at most MaxValue bytes. An empty one is how a register is removed: the register
	// itself stays for ever, so that no old swap can find it missing.
	Value []byte
}

// Space tells apart the uses of registers.
type Space uint8

const (
	// Placement holds pins, drains and other wishes of operators.
	Placement Space = iota + 1
	// Progress holds the positions of processors.
	Progress
)

// String names the space as its tables are named.
func (s Space) String() string {
	switch s {
	case Placement:
		return "placement"
	case Progress:
		return "progress"
	}
	return fmt.Sprintf("space %d", uint8(s))
}

const (
	// MaxValue limits the bytes of a register's value.
	MaxValue = 64 << 10

	// MaxRegisters limits the registers of one partition, within what owners create at the same
	// moment. They are read together and never go away: name them after shards or configured
	// nodes, not after what is new at each start. A journal may agree on one swap
	// of a partition at a time, so registers that change often belong in partitions of their own.
	MaxRegisters = 4096
)

// ErrCrowded is wrapped by swaps that would make a register in a partition that has MaxRegisters.
var ErrCrowded = errors.New("journal: the partition has too many registers")

// CrowdedError is what a journal answers to a swap that would make one register too many. It
// wraps ErrCrowded.
func CrowdedError(space Space, partition, name string) error {
	return fmt.Errorf("%w: %s: partition %q holds %d, %q would be one more: use a partition of its own",
		ErrCrowded, space, partition, MaxRegisters, name)
}

// CheckPartition tells whether registers may be stored there.
func (s Space) CheckPartition(partition string) error {
	if s != Placement && s != Progress {
		return fmt.Errorf("%w: there is no %s for registers", ErrInvalid, s)
	}
	return checkText("a partition of registers", partition)
}

// Check tells whether r may be stored.
func (r Register) Check() error {
	if err := checkText("a register's name", r.Name); err != nil {
		return err
	}
	switch {
	case r.Revision == 0:
		return fmt.Errorf("%w: register %q: revision 0 is the one before the first swap", ErrInvalid, r.Name)
	case r.Attempt == Batch{}:
		return fmt.Errorf("%w: register %q: the attempt has no id", ErrInvalid, r.Name)
	case len(r.Value) > MaxValue:
		return fmt.Errorf("%w: register %q: the value has %d bytes, at most %d are allowed", ErrInvalid, r.Name, len(r.Value), MaxValue)
	}
	return nil
}

// checkText is checkName for what operators read in the database.
func checkText(what, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s is no valid UTF-8: %.64q", ErrInvalid, what, text)
	}
	return checkName(what, text)
}

// Pauses of Change before it repeats a call.
const (
	firstPause = 5 * time.Millisecond
	mostPause  = time.Second
)

// Change swaps one register until it is as wanted, and returns it. The function change gets
// what is stored and returns the value wanted instead, or false if it is well as it is.
//
// It is called again whenever another swap came first, and also when its value was stored but
// others went on before that was known. So it says what should be (drain node 3), never by how much to
// change (one more), and finds its own effect in what it gets.
//
// Change repeats calls that fail until ctx ends; whether anything was changed is unknown then.
func Change(ctx context.Context, in Registers, space Space, partition, name string, change func(now Register) (value []byte, wanted bool)) (Register, error) {
	now, err := untilAnswered(ctx, func() (Register, error) { return find(ctx, in, space, partition, name) })
	for err == nil {
		value, wanted := change(now)
		if !wanted {
			return now, nil
		}
		next := Register{Name: name, Revision: now.Revision + 1, Attempt: NewBatch(), Value: value}
		now, err = untilAnswered(ctx, func() (Register, error) { return in.Swap(ctx, space, partition, next) })
		if err == nil && now.Attempt == next.Attempt {
			return now, nil
		}
	}
	return Register{}, fmt.Errorf("journal: change %q of %s, partition %q: %w", name, space, partition, err)
}

// find returns the register of a name, all zero but for the name if there is none.
func find(ctx context.Context, in Registers, space Space, partition, name string) (Register, error) {
	stored, err := in.Registers(ctx, space, partition)
	if at := slices.IndexFunc(stored, func(r Register) bool { return r.Name == name }); err == nil && at >= 0 {
		return stored[at], nil
	}
	return Register{Name: name}, err
}

// untilAnswered repeats a call that fails while that may help and ctx lasts.
func untilAnswered(ctx context.Context, call func() (Register, error)) (Register, error) {
	for most := firstPause; ; most = min(2*most, mostPause) {
		now, err := call()
		if err == nil || final(err) {
			return now, err
		}
		// Of random length: owners that were in each other's way shall not meet again.
		if pause(ctx, most/2+rand.N(most/2)) != nil {
			return now, err
		}
	}
}

// final tells whether repeating the call cannot help.
func final(err error) bool {
	for _, lasting := range []error{ErrInvalid, ErrClosed, ErrCorrupt, ErrCrowded, ErrFormat} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}

// pause waits; it returns early, with an error, when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
