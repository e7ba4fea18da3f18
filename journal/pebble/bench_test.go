package pebble

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// BenchmarkAppend measures durable appends: as a busy node makes them, and one
// small record at a time; beside them a plain synced Set of the same bytes on
// the same Pebble, which is the store's own ceiling for unshared syncs.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		callers, bytes int
	}{{1, 200}, {32, 20_000}, {16, 4_000}, {64, 1_000}} {
		name := fmt.Sprintf("callers=%d/bytes=%d/", c.callers, c.bytes)
		b.Run(name+"journal", func(b *testing.B) { benchJournal(b, Config{}, c.callers, c.bytes) })
		b.Run(name+"batch per shard", func(b *testing.B) { benchJournal(b, Config{BatchPerShard: true}, c.callers, c.bytes) })
		b.Run(name+"raw set", func(b *testing.B) { benchRaw(b, c.callers, c.bytes) })
	}
}

func benchJournal(b *testing.B, cfg Config, callers, size int) {
	cfg.Dir = b.TempDir()
	j, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	entries := [][]byte{payload(size)}
	bench(b, callers, size, func(shard, n int) error {
		rec := journal.NewRecord(journal.Header{Number: uint64(n + 1), Writer: "bench", Batch: journal.Batch{byte(shard)}}, entries)
		_, err := j.Append(context.Background(), uint32(shard), rec)
		return err
	})
}

func benchRaw(b *testing.B, callers, size int) {
	j, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	body := payload(size)
	bench(b, callers, size, func(shard, n int) error {
		return j.handle.db.Set(logKey(uint32(shard)+1000, uint64(n)), body, pebble.Sync)
	})
}

// payload is like protobuf of short texts: it compresses by about a half.
func payload(size int) []byte {
	var b bytes.Buffer
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, "lot-%d bidder-%x amount %d;", n*2654435761%100000, n*40503*2654435761, n*7919)
	}
	return b.Bytes()[:size]
}

// bench spreads b.N calls over callers and reports what they cost, including
// what Pebble does behind them.
func bench(b *testing.B, callers, size int, call func(caller, n int) error) {
	before := cpu()
	start := time.Now()
	b.ResetTimer()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for n := range b.N/callers + 1 {
				if err := call(caller, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	total := float64((b.N/callers + 1) * callers)
	wall := time.Since(start).Seconds()
	b.ReportMetric(total/wall, "appends/s")
	b.ReportMetric(total*float64(size)/wall/1e6, "MB/s")
	b.ReportMetric((cpu()-before).Seconds()*1e9/total/float64(size), "cpu-ns/byte")
	b.ReportMetric((cpu()-before).Seconds()*1e6/total, "cpu-µs/append")
}

// cpu returns the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
