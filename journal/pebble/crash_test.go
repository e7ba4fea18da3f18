package pebble

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// dir is where the journals of the tests lie in their file systems.
const dir = "journal"

// mostRecords bounds what one load appends to a shard.
const mostRecords = 400

// rounds is how often a test of random events repeats them: n times, a part of
// that with -short and under the race detector, which is some ten times slower.
func rounds(n int) int {
	if underRace || testing.Short() {
		return max(1, n/5)
	}
	return n
}

// load keeps some shards busy and knows what was acknowledged.
type load struct {
	j     *Journal
	acked []atomic.Pointer[journal.Header] // per shard: the newest record known to be durable
	seen  []atomic.Uint64                  // per shard: the newest record that a reader saw
	pages []atomic.Uint64                  // per shard: the newest entry derived
	fresh []chan struct{}                  // per shard: a word when there may be something to read
	moved chan struct{}                    // a word for each acknowledged record
	ended chan struct{}                    // closed when the writers have ended
}

func newLoad(j *Journal, shards int) *load {
	l := &load{
		j:     j,
		acked: make([]atomic.Pointer[journal.Header], shards),
		seen:  make([]atomic.Uint64, shards),
		pages: make([]atomic.Uint64, shards),
		moved: make(chan struct{}, shards*mostRecords),
		ended: make(chan struct{}),
	}
	for range shards {
		l.fresh = append(l.fresh, make(chan struct{}, 1))
	}
	return l
}

func entityOf(shard int) journal.Entity { return journal.Entity{Type: "lot", ID: fmt.Sprint(shard)} }

// run appends to every shard and derives from it until ctx ends, beside one
// reader per shard.
func (l *load) run(ctx context.Context, group *sync.WaitGroup) {
	var writers sync.WaitGroup
	for shard := range l.acked {
		writers.Go(func() { l.write(ctx, shard) })
		group.Go(func() { l.read(ctx, shard) })
	}
	group.Go(func() {
		writers.Wait()
		close(l.ended)
	})
}

func (l *load) write(ctx context.Context, shard int) {
	c := journaltest.Chain{Writer: fmt.Sprint("writer of ", shard)}
	for n := 0; n < mostRecords && ctx.Err() == nil; n++ {
		rec := c.Next(n % 5)
		l.wake(shard) // to read while the append is under way
		if ours, err := c.Append(ctx, l.j, uint32(shard), rec); err != nil || !ours {
			return
		}
		l.acked[shard].Store(&rec.Header)
		l.moved <- struct{}{}
		l.wake(shard)
		if n%4 == 3 {
			l.derive(ctx, shard, rec.Number)
		}
	}
}

func (l *load) derive(ctx context.Context, shard int, upTo uint64) {
	body := bytes.Repeat([]byte{byte(upTo)}, 700)
	page := journal.Page{Of: entityOf(shard), First: upTo, Last: upTo, Body: body}
	err := l.j.Derive(ctx, journal.Derived{Shard: uint32(shard), UpTo: upTo, Pages: []journal.Page{page}})
	if err == nil {
		l.pages[shard].Store(upTo)
	}
	_ = l.j.SaveSnapshot(ctx, journal.Snapshot{Of: entityOf(shard), Entry: upTo, Body: body})
}

func (l *load) wake(shard int) {
	select {
	case l.fresh[shard] <- struct{}{}:
	default:
	}
}

func (l *load) read(ctx context.Context, shard int) {
	for next := uint64(1); ; {
		select {
		case <-l.fresh[shard]:
		case <-ctx.Done():
			return
		}
		records, _ := l.j.Read(ctx, uint32(shard), next, 4096) // an error is a disk that fails
		next += uint64(len(records))
		l.seen[shard].Store(next - 1)
	}
}

// promised is what a store must hold: a picture of what was acknowledged.
type promised struct {
	acked []journal.Header
	seen  []uint64
	pages []uint64
}

func (l *load) promised() promised {
	var p promised
	for shard := range l.acked {
		var acked journal.Header
		if h := l.acked[shard].Load(); h != nil {
			acked = *h
		}
		p.acked = append(p.acked, acked)
		p.seen = append(p.seen, l.seen[shard].Load())
		p.pages = append(p.pages, l.pages[shard].Load())
	}
	return p
}

// check returns what is missing in a journal.
func (p promised) check(ctx context.Context, j *Journal) error {
	for shard, acked := range p.acked {
		all, err := journaltest.ReadAll(ctx, j, uint32(shard))
		if err != nil {
			return err
		}
		end := uint64(len(all))
		switch {
		case end < acked.Number:
			return fmt.Errorf("shard %d ends at %d, record %d was acknowledged", shard, end, acked.Number)
		case acked.Number > 0 && all[acked.Number-1].Header != acked:
			return fmt.Errorf("shard %d: slot %d holds %+v, acknowledged was %+v", shard, acked.Number, all[acked.Number-1].Header, acked)
		case end < p.seen[shard]:
			return fmt.Errorf("shard %d ends at %d, a reader saw record %d", shard, end, p.seen[shard])
		}
		if err := p.checkDerived(ctx, j, shard); err != nil {
			return err
		}
	}
	return nil
}

func (p promised) checkDerived(ctx context.Context, j *Journal, shard int) error {
	var last uint64
	err := j.Pages(ctx, entityOf(shard), 0, func(page journal.Page) error { last = page.Last; return nil })
	if err != nil {
		return err
	}
	head, err := j.Head(ctx, uint32(shard))
	if err != nil {
		return err
	}
	if last < p.pages[shard] || head.Flushed < p.pages[shard] {
		return fmt.Errorf("shard %d: pages up to %d and flushed %d, want both at %d", shard, last, head.Flushed, p.pages[shard])
	}
	return nil
}

func TestNothingAcknowledgedIsLostInACrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds(15)) {
		if records := crashRound(t, rand.New(rand.NewPCG(seed, 2)), 20); records < 10 {
			t.Errorf("round %d: only %d records at the last crash: the test proves nothing", seed, records)
		}
	}
}

// crashRound loads a journal and looks at what some crashes under way would
// leave. It returns how many records of all shards the last crash found acknowledged.
func crashRound(t *testing.T, random *rand.Rand, crashes int) (records uint64) {
	fs := vfs.NewCrashableMem()
	l := newLoad(opened(t, Config{Dir: dir, FS: fs, MemTableBytes: minMemTableBytes}), 4)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	l.run(ctx, &group)
	for n := 0; n < crashes && !t.Failed(); n++ {
		for range 1 + random.IntN(100) {
			l.wait(ctx)
		}
		promised := l.promised()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
		j, err := Open(Config{Dir: dir, FS: clone, MemTableBytes: minMemTableBytes})
		if err != nil {
			t.Fatalf("crash %d: %v", n, err)
		}
		if err := promised.check(t.Context(), j); err != nil {
			t.Errorf("crash %d: %v", n, err)
		}
		if err := j.Close(); err != nil {
			t.Errorf("crash %d: close: %v", n, err)
		}
		records = 0
		for _, acked := range promised.acked {
			records += acked.Number
		}
	}
	cancel()
	group.Wait()
	if err := l.j.Close(); err != nil {
		t.Error(err)
	}
	return records
}

func TestACrashWhileAJournalIsMadeLeavesOneThatOpens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds(40)) {
		fs := vfs.NewCrashableMem()
		crashed := make(chan *vfs.MemFS, 1)
		var ops atomic.Uint64
		watched := watchFS{FS: fs, before: func() {
			if ops.Add(1) == seed+1 {
				random := rand.New(rand.NewPCG(seed, 3))
				crashed <- fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
			}
		}}
		first := opened(t, Config{Dir: dir, FS: watched})
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case fs := <-crashed:
			opened(t, Config{Dir: dir, FS: fs})
		default: // made with fewer operations
		}
	}
}

// watchFS calls before each operation that changes the directory.
type watchFS struct {
	vfs.FS
	before func()
}

func (fs watchFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	fs.before()
	return fs.FS.Create(name, category)
}

func (fs watchFS) Rename(from, to string) error {
	fs.before()
	return fs.FS.Rename(from, to)
}

func (fs watchFS) Remove(name string) error {
	fs.before()
	return fs.FS.Remove(name)
}

func (fs watchFS) OpenDir(name string) (vfs.File, error) {
	fs.before()
	return fs.FS.OpenDir(name)
}
