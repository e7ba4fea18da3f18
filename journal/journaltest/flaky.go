package journaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// Faults says what a Flaky does to appends: each field but the seed is the
// chance in percent, and together they are at most 100.
type Faults struct {
	Seed uint64
	// Stall delays the append.
	Stall int
	// Refuse answers ErrRefused, and the record is not stored.
	Refuse int
	// Lose answers an unknown outcome; the record is not stored.
	Lose int
	// Forget stores the record and answers an unknown outcome.
	Forget int
	// Late answers an unknown outcome, and stores the record some time later.
	Late int
}

// ErrUnknown is the unknown outcome that a Flaky answers.
var ErrUnknown = errors.New("journaltest: injected: the outcome is unknown")

// Flaky is a journal whose appends go wrong as the contract allows. All else
// passes through. Its decisions follow from the seed and the order of appends.
type Flaky struct {
	journal.Journal
	faults Faults

	mu       sync.Mutex
	random   *rand.Rand
	doubtful map[journal.Batch]bool // answered as unknown at least once
	injected int
	late     sync.WaitGroup
}

// NewFlaky puts faults before a journal.
func NewFlaky(j journal.Journal, faults Faults) *Flaky {
	return &Flaky{
		Journal:  j,
		faults:   faults,
		random:   rand.New(rand.NewPCG(faults.Seed, 1)),
		doubtful: map[journal.Batch]bool{},
	}
}

type fault int

const (
	noFault fault = iota
	stall
	refuse
	lose
	forget
	late
)

// maxStall bounds delays, which make room for other orders and prove nothing by their length.
const maxStall = 2 * time.Millisecond

// Append implements journal.Log.
func (f *Flaky) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	what, delay := f.choose(rec.Batch)
	switch what {
	case stall:
		time.Sleep(delay)
	case refuse:
		return journal.Slot{}, fmt.Errorf("%w: injected", journal.ErrRefused)
	case lose:
		return journal.Slot{}, ErrUnknown
	case forget:
		_, _ = f.Journal.Append(ctx, shard, rec)
		return journal.Slot{}, ErrUnknown
	case late:
		f.late.Go(func() {
			time.Sleep(delay)
			_, _ = f.Journal.Append(context.WithoutCancel(ctx), shard, rec)
		})
		return journal.Slot{}, ErrUnknown
	}
	return f.Journal.Append(ctx, shard, rec)
}

// choose decides over one append. One that was unknown before is never
// refused: it may be stored.
func (f *Flaky) choose(batch journal.Batch) (fault, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	what := f.draw()
	if what == refuse && f.doubtful[batch] {
		what = noFault
	}
	if what >= lose {
		f.doubtful[batch] = true
	}
	if what != noFault {
		f.injected++
	}
	return what, time.Duration(f.random.Int64N(int64(maxStall)))
}

func (f *Flaky) draw() fault {
	n := f.random.IntN(100)
	for i, chance := range []int{f.faults.Stall, f.faults.Refuse, f.faults.Lose, f.faults.Forget, f.faults.Late} {
		if n < chance {
			return stall + fault(i)
		}
		n -= chance
	}
	return noFault
}

// Injected tells how many faults there were so far.
func (f *Flaky) Injected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.injected
}

// Wait returns when no late append is left.
func (f *Flaky) Wait() { f.late.Wait() }

// Close waits for late appends and closes the journal.
func (f *Flaky) Close() error {
	f.late.Wait()
	return f.Journal.Close()
}
