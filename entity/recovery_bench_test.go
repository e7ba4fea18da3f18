package entity_test

import (
	"context"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// noSnapshots hides them, so that a recovery reads every event.
type noSnapshots struct{ journal.Journal }

func (noSnapshots) Snapshots(context.Context, journal.Entity) ([]journal.Snapshot, error) {
	return nil, nil
}

// BenchmarkRecovery measures an entity of 10,000 events and no snapshot.
func BenchmarkRecovery(b *testing.B) {
	j := noSnapshots{journal.NewMemory()}
	h := startHost(b, j, func(c *entity.Config) { c.Types = []entity.Definition{blobs} })
	payload := wrapperspb.Bytes(make([]byte, 100))
	for range 10_000 {
		if _, err := write.Ask(b.Context(), blobs.Ref(h, "a"), payload); err != nil {
			b.Fatal(err)
		}
	}
	stopHost(b, h)
	h = startHost(b, j, func(c *entity.Config) { c.Types = []entity.Definition{blobs} })
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := h.Inspect(b.Context(), "blob", "a", nil); err != nil {
			b.Fatal(err)
		}
	}
}
