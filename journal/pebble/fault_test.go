package pebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// errDisk is what a failing disk answers.
var errDisk = fmt.Errorf("injected: %w", syscall.EIO)

// failing fails operations on files whose names contain part, while on.
type failing struct {
	on   atomic.Bool
	part string
	kind func(errorfs.OpKind) bool
	hits atomic.Int64
	hit  chan struct{} // a word when something failed
}

// once lets the disk fail until something did, or the load has ended.
func (f *failing) once(ctx context.Context, l *load) {
	f.on.Store(true)
	defer f.on.Store(false)
	select {
	case <-f.hit:
	case <-l.ended:
	case <-ctx.Done():
	}
}

func (f *failing) MaybeError(op errorfs.Op) error {
	if !f.on.Load() || !strings.Contains(op.Path, f.part) || !f.kind(op.Kind) {
		return nil
	}
	f.hits.Add(1)
	select {
	case f.hit <- struct{}{}:
	default:
	}
	return errDisk
}

func (f *failing) String() string { return "failing " + f.part }

func syncs(k errorfs.OpKind) bool {
	return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo
}

func writes(k errorfs.OpKind) bool { return k == errorfs.OpFileWrite }

func changes(k errorfs.OpKind) bool { return k.ReadOrWrite() == errorfs.OpIsWrite }

func TestAFailedSyncIsAnUnknownOutcomeAndTheJournalReopens(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*failing{
		"sync of the log":  {part: ".log", kind: syncs},
		"write of the log": {part: ".log", kind: writes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := opened(t, Config{Dir: dir, FS: errorfs.Wrap(vfs.NewCrashableMem(), f)})
			c := journaltest.Chain{Writer: "a"}
			if _, err := c.Append(t.Context(), j, 1, c.Next(1)); err != nil {
				t.Fatal(err)
			}
			f.on.Store(true)
			rec := c.Next(1)
			_, err := j.Append(t.Context(), 1, rec)
			if err == nil || errors.Is(err, journal.ErrRefused) {
				t.Fatalf("append on a failing disk: %v, want an unknown outcome", err)
			}
			f.on.Store(false)
			if ours, err := c.Append(t.Context(), j, 1, rec); err != nil || !ours {
				t.Fatalf("the same append after the reopening: ours %v, %v", ours, err)
			}
			if all, err := journaltest.ReadAll(t.Context(), j, 1); err != nil || len(all) != 2 {
				t.Fatalf("%d records, %v, want 2", len(all), err)
			}
		})
	}
}

// TestNothingAcknowledgedIsLostOnAFailingDisk lets a disk fail now and then in
// every way, and ends with a crash that drops what was not synced.
func TestNothingAcknowledgedIsLostOnAFailingDisk(t *testing.T) {
	t.Parallel()
	for _, f := range []*failing{
		{part: ".log", kind: syncs},
		{part: ".log", kind: writes},
		{part: ".log", kind: changes},
		{part: "MANIFEST", kind: changes},
		{part: ".sst", kind: changes},
		{part: "", kind: changes},
	} {
		f.hit = make(chan struct{})
		t.Run(fmt.Sprintf("%q", f.part), func(t *testing.T) {
			t.Parallel()
			// What works behind the writers may do nothing in a round, and so cannot fail.
			for seed := 0; seed < rounds(3) || f.hits.Load() == 0 && seed < 50; seed++ {
				failingRound(t, f, rand.New(rand.NewPCG(uint64(seed), 5)))
			}
			if f.hits.Load() == 0 {
				t.Error("nothing failed: the test proves nothing")
			}
		})
	}
}

func failingRound(t *testing.T, f *failing, random *rand.Rand) {
	mem := vfs.NewCrashableMem()
	j, err := Open(Config{Dir: dir, FS: errorfs.Wrap(mem, f), MemTableBytes: minMemTableBytes})
	if err != nil {
		t.Fatal(err)
	}
	l := newLoad(j, 4)
	ctx, cancel := within(t)
	defer cancel()
	var group sync.WaitGroup
	l.run(ctx, &group)
	for range 8 {
		f.once(ctx, l)
		for range 1 + random.IntN(150) {
			l.wait(ctx)
		}
	}
	cancel()
	promised := l.promised()
	clone := mem.CrashClone(vfs.CrashCloneCfg{})
	group.Wait()
	_ = j.Close()
	again, err := Open(Config{Dir: dir, FS: clone})
	if err != nil {
		t.Fatal(err)
	}
	if err := promised.check(t.Context(), again); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// wait returns when one more record was acknowledged; false when there will be none.
func (l *load) wait(ctx context.Context) bool {
	select {
	case <-l.moved:
		return true
	case <-ctx.Done():
		return false
	case <-l.ended:
		return false
	}
}
