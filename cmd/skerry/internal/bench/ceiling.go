package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// ceilingTime is how long the bare store is measured at most.
const ceilingTime = 2 * time.Second

// rawWriters is how many writers take the ceiling. A store on this disk is asked for one record at a
// time: what no single caller can exceed. Cassandra serves many at once, so there are as many as the
// host may have appends under way.
func (l Load) rawWriters(shards int) int {
	if l.Journal != Cassandra {
		return 1
	}
	writers := min(l.Callers, shards, writers)
	if l.Hot {
		writers = 1
	}
	if l.Appends > 0 {
		writers = min(writers, l.Appends)
	}
	return writers
}

// raw adds to the figures how many records of a size the store takes per second from some
// writers, each with a log of its own, who wait for each record.
func (l Load) raw(ctx context.Context, f *Figures, recordBytes int) (err error) {
	dir, remove, err := l.scratch()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	j, err := l.open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	f.RawWriters = l.rawWriters(f.Shards)
	if err := claimAll(ctx, j, f.RawWriters); err != nil {
		return err
	}
	begin, cpu := time.Now(), cpuTime()
	database, err := l.databaseTime()
	if err != nil {
		return err
	}
	appended, err := appendAll(ctx, j, f.RawWriters, recordBytes, begin.Add(min(l.For, ceilingTime)))
	if err != nil || appended == 0 {
		return err
	}
	f.RawAppendsPerSecond = appended / time.Since(begin).Seconds()
	f.RawCPUPerAppend = float64((cpuTime() - cpu).Microseconds()) / appended
	after, err := l.databaseTime()
	f.RawDatabaseCPUPerAppend = float64((after - database).Microseconds()) / appended
	return err
}

// claimAll makes the logs of the writers.
func claimAll(ctx context.Context, to journal.Log, writers int) error {
	claim := journal.Header{Number: 1, Epoch: 1, Writer: rawWriter, Claim: true, FirstOffset: 1}
	for shard := range writers {
		claim.Batch = journal.NewBatch()
		if _, err := to.Append(ctx, uint32(shard), journal.NewRecord(claim, nil)); err != nil {
			return fmt.Errorf("claim shard %d of the bare store: %w", shard, err)
		}
	}
	return nil
}

// appendAll lets all writers append until the end and returns how many records they did.
func appendAll(ctx context.Context, to journal.Log, writers, recordBytes int, end time.Time) (appended float64, err error) {
	entry := [][]byte{randomBytes(entryFor(recordBytes, rawWriter))}
	var done atomic.Int64
	err = inParallel(ctx, writers, func(ctx context.Context, shard int) error {
		return appendOneByOne(ctx, to, uint32(shard), entry, end, &done)
	})
	return float64(done.Load()), err
}

// rawWriter names who writes to the bare store.
const rawWriter = "bench"

// appendOneByOne appends to one log until the end, and counts.
func appendOneByOne(ctx context.Context, to journal.Log, shard uint32, entry [][]byte, end time.Time, done *atomic.Int64) error {
	for n := uint64(2); time.Now().Before(end); n++ {
		h := journal.Header{Number: n, Epoch: 1, Writer: rawWriter, Batch: journal.NewBatch(), FirstOffset: n - 1, Events: 1}
		if _, err := to.Append(ctx, shard, journal.NewRecord(h, entry)); err != nil {
			return fmt.Errorf("append record %d to shard %d of the bare store: %w", n, shard, err)
		}
		done.Add(1)
	}
	return nil
}

// entryFor returns the size of the entry that fills a record up to a size.
func entryFor(recordBytes int, writer string) int {
	h := journal.Header{Number: 1 << 20, Epoch: 1, Writer: writer, Batch: journal.NewBatch(), FirstOffset: 1 << 20, Events: 1}
	empty := len(journal.NewRecord(h, [][]byte{nil}).Body)
	return max(recordBytes-empty, 0)
}
