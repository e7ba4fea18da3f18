package entity_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

type blob struct{ N, Bytes int64 }

var (
	write = entity.On(func(_ blob, c entity.Command[*wrapperspb.BytesValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg), &emptypb.Empty{}, nil
	})
	blobs = entity.Define[blob]("blob", write,
		entity.Apply(func(s blob, e *wrapperspb.BytesValue) blob { return blob{s.N + 1, s.Bytes + int64(len(e.GetValue()))} }),
	)
)

// BenchmarkAsk measures commands of 100 bytes, each with one durable event.
func BenchmarkAsk(b *testing.B) {
	for _, journalName := range []string{"memory", "pebble"} {
		for _, callers := range []int{1, 64, 1000} {
			for _, entities := range []int{1000, 1} {
				if entities == 1 && callers < 1000 {
					continue
				}
				b.Run(fmt.Sprintf("%s/callers=%d/entities=%d", journalName, callers, entities), func(b *testing.B) {
					benchmarkAsk(b, openJournal(b, journalName), callers, entities)
				})
			}
		}
	}
}

// cpuTime is what the process has used, which a noisy machine changes less than time.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func openJournal(b *testing.B, name string) journal.Journal {
	if name == "memory" {
		return journal.NewMemory()
	}
	j, err := pebble.Open(pebble.Config{Dir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = j.Close() })
	return j
}

func benchmarkAsk(b *testing.B, j journal.Journal, callers, entities int) {
	h := startHost(b, j, func(c *entity.Config) {
		c.Types, c.Shards, c.SlowAfter = []entity.Definition{blobs}, 0, 300*time.Millisecond
	})
	payload := wrapperspb.Bytes(make([]byte, 100))
	var left atomic.Int64
	run := func(n int) {
		left.Store(int64(n))
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := c; left.Add(-1) >= 0; i += callers {
					if _, err := write.Ask(b.Context(), blobs.Ref(h, fmt.Sprint(i%entities)), payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	run(max(entities, callers) * 2)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	run(b.N)
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
}
