package cassandra

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// record builds the record behind last, with that many events of 100 bytes.
func record(last journal.Header, events int) journal.Record {
	entries := make([][]byte, events)
	for i := range entries {
		entries[i] = bytes.Repeat([]byte{'e'}, 100)
	}
	return journal.NewRecord(journal.Header{
		Number: last.Number + 1, Epoch: 1, Writer: "bench", Batch: journal.NewBatch(),
		FirstOffset: last.NextOffset(), Events: uint64(events),
	}, entries)
}

// BenchmarkAppend is the ceiling of everything above it: bare inserts of records, one
// under way per shard.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ events, shards int }{{1, 1}, {1, 32}, {1, 128}, {10, 32}, {100, 32}, {1000, 8}} {
		b.Run(fmt.Sprintf("events=%d/shards=%d", c.events, c.shards), func(b *testing.B) {
			j := opened(b, fresh(b))
			var group sync.WaitGroup
			b.ResetTimer()
			for shard := range c.shards {
				group.Go(func() {
					var last journal.Header
					for n := shard; n < b.N; n += c.shards {
						slot, err := journaltest.Settle(b.Context(), j, uint32(shard), record(last, c.events))
						if err != nil {
							b.Error(err)
							return
						}
						last = slot.Holder
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(b.N*c.events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkDerivePages writes pages of one event each, of as many entities, 100 a call.
func BenchmarkDerivePages(b *testing.B) {
	j := opened(b, fresh(b))
	ctx := context.WithoutCancel(b.Context())
	var pages []journal.Page
	for n := range b.N {
		of := journal.Entity{Type: "lot", ID: fmt.Sprint(n)}
		pages = append(pages, journal.Page{Of: of, First: 1, Last: 1, Body: bytes.Repeat([]byte{'e'}, 200)})
		if len(pages) < 100 && n < b.N-1 {
			continue
		}
		if err := j.Derive(ctx, journal.Derived{Pages: pages}); err != nil {
			b.Fatal(err)
		}
		pages = pages[:0]
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pages/s")
}

// BenchmarkTail is what a confirmation costs.
func BenchmarkTail(b *testing.B) {
	j := opened(b, fresh(b))
	slot, err := j.Append(b.Context(), 0, record(journal.Header{}, 1))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if slot, err := j.Tail(b.Context(), 0, slot.Holder.Number+1); err != nil || slot.Taken {
			b.Fatal(slot, err)
		}
	}
}
