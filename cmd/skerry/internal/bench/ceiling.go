package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// ceilingTime is how long the bare store is measured at most.
const ceilingTime = 2 * time.Second

// ceiling returns how many records of a size the store takes per second from
// a single writer that waits for each: what no single caller can exceed.
func (s Setup) ceiling(ctx context.Context, recordBytes int, howLong time.Duration) (perSecond float64, err error) {
	dir, remove, err := s.scratch()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	j, err := s.open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return appendOneByOne(ctx, j, recordBytes, howLong)
}

func appendOneByOne(ctx context.Context, to journal.Log, recordBytes int, howLong time.Duration) (float64, error) {
	const writer = "bench"
	claim := journal.Header{Number: 1, Epoch: 1, Writer: writer, Batch: journal.NewBatch(), Claim: true, FirstOffset: 1}
	if _, err := to.Append(ctx, 0, journal.NewRecord(claim, nil)); err != nil {
		return 0, fmt.Errorf("claim a shard of the bare store: %w", err)
	}
	entry := [][]byte{randomBytes(entryFor(recordBytes, writer))}
	begin := time.Now()
	for n := uint64(2); ; n++ {
		h := journal.Header{Number: n, Epoch: 1, Writer: writer, Batch: journal.NewBatch(), FirstOffset: n - 1, Events: 1}
		if _, err := to.Append(ctx, 0, journal.NewRecord(h, entry)); err != nil {
			return 0, fmt.Errorf("append record %d to the bare store: %w", n, err)
		}
		if elapsed := time.Since(begin); elapsed >= howLong {
			return float64(n-1) / elapsed.Seconds(), nil
		}
	}
}

// entryFor returns the size of the entry that fills a record up to a size.
func entryFor(recordBytes int, writer string) int {
	h := journal.Header{Number: 1 << 20, Epoch: 1, Writer: writer, Batch: journal.NewBatch(), FirstOffset: 1 << 20, Events: 1}
	empty := len(journal.NewRecord(h, [][]byte{nil}).Body)
	return max(recordBytes-empty, 0)
}
