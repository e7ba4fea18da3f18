package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/skerryhq/skerry/journal"
)

// raise adds the owner's mark n times, each time behind what others have added.
func raise(ctx context.Context, in journal.Registers, owner string, n int) error {
	for i := range n {
		mark := fmt.Sprintf("%s-%d;", owner, i)
		_, err := journal.Change(ctx, in, journal.Progress, "p", "marks", func(now journal.Register) ([]byte, bool) {
			return append(now.Value[:len(now.Value):len(now.Value)], mark...), !strings.Contains(string(now.Value), mark)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", mark, err)
		}
	}
	return nil
}

// revision returns that of the one register; 0 before it exists.
func revision(ctx context.Context, in journal.Registers) (uint64, error) {
	stored, err := in.Registers(ctx, journal.Progress, "p")
	if err != nil || len(stored) == 0 {
		return 0, err
	}
	return stored[0].Revision, nil
}

// TestSwapsOnAFailingDiskAreNeitherLostNorSeenTooEarly lets owners swap and a
// reader read while the disk fails now and then. What the reader saw must never
// be gone, and what was answered survives a crash that drops what was not synced.
func TestSwapsOnAFailingDiskAreNeitherLostNorSeenTooEarly(t *testing.T) {
	t.Parallel()
	f := &failing{part: ".log", kind: syncs, hit: make(chan struct{})}
	mem := vfs.NewCrashableMem()
	j := opened(t, Config{Dir: dir, FS: errorfs.Wrap(mem, f)})
	ctx, cancel := within(t)
	defer cancel()
	const owners, each = 3, 100
	var swapping, reading sync.WaitGroup
	for i := range owners {
		swapping.Go(func() {
			if err := raise(ctx, j, fmt.Sprint("owner", i), each); err != nil {
				t.Error(err)
			}
		})
	}
	ended, moved := make(chan struct{}), make(chan struct{}, 1)
	reading.Go(func() { readOn(ctx, t, j, moved, ended) })
	reading.Go(func() { failOften(f, moved, ended) })
	swapping.Wait()
	close(ended)
	reading.Wait()
	if f.hits.Load() == 0 {
		t.Error("nothing failed: the test proves nothing")
	}
	again := opened(t, Config{Dir: dir, FS: mem.CrashClone(vfs.CrashCloneCfg{})})
	stored, err := again.Registers(ctx, journal.Progress, "p")
	if err != nil || len(stored) != 1 || stored[0].Revision != owners*each || strings.Count(string(stored[0].Value), ";") != owners*each {
		t.Errorf("after the crash: %+v, %v, want %d marks at as many revisions", stored, err, owners*each)
	}
}

// readOn reads until ended, and wants what it saw to be there ever after. It gives a
// word when it sees more than before.
func readOn(ctx context.Context, t *testing.T, in journal.Registers, moved chan<- struct{}, ended <-chan struct{}) {
	last := uint64(0)
	for {
		select {
		case <-ended:
			return
		default:
		}
		seen, err := revision(ctx, in)
		if err != nil {
			continue // the disk fails
		}
		if seen < last {
			t.Errorf("revision %d was seen, now it is %d", last, seen)
			return
		}
		if seen > last {
			select {
			case moved <- struct{}{}:
			default:
			}
		}
		last = seen
	}
}

// failOften lets every operation fail until one did, again and again: each time that
// something was swapped.
func failOften(f *failing, moved, ended <-chan struct{}) {
	defer f.on.Store(false)
	for {
		f.on.Store(true)
		select {
		case <-f.hit:
		case <-ended:
			return
		}
		f.on.Store(false)
		select {
		case <-moved:
		case <-ended:
			return
		}
	}
}

// held is a disk whose syncs of the log wait, while on, until they are let go, and fail then.
type held struct {
	on      atomic.Bool
	reached chan struct{}
	letGo   chan struct{}
}

func (f *held) MaybeError(op errorfs.Op) error {
	if !f.on.Load() || !strings.Contains(op.Path, ".log") || !syncs(op.Kind) {
		return nil
	}
	select {
	case f.reached <- struct{}{}:
	default:
	}
	<-f.letGo
	return errDisk
}

func (f *held) String() string { return "held syncs" }

func TestASwapIsNotSeenBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	f := &held{reached: make(chan struct{}, 1), letGo: make(chan struct{})}
	j := opened(t, Config{Dir: dir, FS: errorfs.Wrap(vfs.NewCrashableMem(), f)})
	f.on.Store(true)
	swapped := make(chan error, 1)
	next := journal.Register{Name: "pin", Revision: 1, Attempt: journal.NewBatch()}
	go func() {
		_, err := j.Swap(t.Context(), journal.Progress, "p", next)
		swapped <- err
	}()
	<-f.reached
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := j.Registers(ctx, journal.Progress, "p"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while the sync is under way: %+v, %v, want no answer", got, err)
	}
	f.on.Store(false)
	close(f.letGo)
	if err := <-swapped; err == nil || errors.Is(err, journal.ErrRefused) {
		t.Errorf("the swap: %v, want an unknown outcome", err)
	}
	if got, err := j.Swap(t.Context(), journal.Progress, "p", next); err != nil || got.Attempt != next.Attempt {
		t.Errorf("the same swap again: %+v, %v", got, err)
	}
}

// put writes keys past the registers' own checks.
func put(t *testing.T, j *Journal, ops ...op) {
	t.Helper()
	j.mu.Lock()
	if err := j.submit(t.Context(), &write{lane: &j.common, ops: ops}); err != nil {
		t.Fatal(err)
	}
}

func TestAPartitionTakesSoManyRegistersAndNoMore(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	next := journal.Register{Revision: 1, Attempt: journal.NewBatch()}
	var full []op
	for n := range journal.MaxRegisters {
		full = append(full, op{appendName(partitionKey(journal.Placement, "p"), fmt.Sprint("node-", n)), encodeRegister(next)})
	}
	put(t, j, full...)
	next.Name = "one more"
	if got, err := j.Swap(t.Context(), journal.Placement, "p", next); !errors.Is(err, journal.ErrCrowded) {
		t.Errorf("one more: %+v, %v, want ErrCrowded", got, err)
	}
	if _, err := j.Swap(t.Context(), journal.Progress, "p", next); err != nil {
		t.Errorf("in another space: %v", err)
	}
	next.Name, next.Revision = "node-7", 2
	if got, err := j.Swap(t.Context(), journal.Placement, "p", next); err != nil || got.Revision != 2 {
		t.Errorf("one that is there: %+v, %v", got, err)
	}
}

func TestADamagedRegisterHarmsNoOther(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	put(t, j, op{appendName(partitionKey(journal.Placement, "p"), "pin"), []byte("short")})
	next := journal.Register{Name: "pin", Revision: 1, Attempt: journal.NewBatch()}
	if got, err := j.Swap(t.Context(), journal.Placement, "p", next); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("the damaged one: %+v, %v, want ErrCorrupt", got, err)
	}
	if got, err := j.Registers(t.Context(), journal.Placement, "p"); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("its partition: %+v, %v, want ErrCorrupt", got, err)
	}
	next.Name = "another"
	if _, err := j.Swap(t.Context(), journal.Placement, "p", next); err != nil {
		t.Errorf("another: %v", err)
	}
}

func TestWitnessesNotPutForLongGoAway(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	now := time.Now()
	for _, put := range []struct {
		address string
		at      time.Time
	}{
		{"gone:1", now.Add(-journal.WitnessLife - time.Second)},
		{"late:1", now.Add(-journal.WitnessLife + time.Second)},
		{"back:1", now.Add(-2 * journal.WitnessLife)},
		{"back:1", now},
	} {
		w := journal.Witness{Address: put.address, Incarnation: "1"}
		if err := j.change(t.Context(), putting{witnessKey(put.address), encodeWitness(w, put.at), put.at}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := j.Witnesses(t.Context())
	if err != nil || len(got) != 2 || got[0].Address != "back:1" || got[1].Address != "late:1" {
		t.Errorf("witnesses %+v, %v, want back:1 and late:1", got, err)
	}
}

// TestWhatIsStoredStaysReadable holds the bytes of registers and witnesses as the first
// release with them stored them: they never change.
func TestWhatIsStoredStaysReadable(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	put(t, j,
		op{[]byte("r\x01p\x00\x01pin\x00\xff7\x00\x01"), []byte("\x00\x00\x00\x00\x00\x00\x01\x02ABCDEFGHIJKLMNOPvalue")},
		op{[]byte("wa:1\x00\x01"), []byte("\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09start\x00\x01view")},
	)
	registers, err := j.Registers(t.Context(), journal.Placement, "p")
	if err != nil || len(registers) != 1 || fmt.Sprintf("%q %d %s %s", registers[0].Name, registers[0].Revision, registers[0].Attempt[:], registers[0].Value) != `"pin\x007" 258 ABCDEFGHIJKLMNOP value` {
		t.Errorf("registers %+v, %v", registers, err)
	}
	witnesses, err := j.Witnesses(t.Context())
	if err != nil || len(witnesses) != 1 || fmt.Sprintf("%s %s %d %s", witnesses[0].Address, witnesses[0].Incarnation, witnesses[0].Beat, witnesses[0].View) != "a:1 start 9 view" {
		t.Errorf("witnesses %+v, %v", witnesses, err)
	}
}
