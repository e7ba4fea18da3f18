package entity_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// One entity alone fills what its shard may hold; then a neighbour, that is well, is asked for the first time.
func TestTheOnlyBusyEntityOfAShardIsSickAndStopsNoOther(t *testing.T) {
	t.Parallel()
	j := newSick(journal.NewMemory())
	h := diaryHost(t, j)
	neighbour := sameShard(t, h, "a")
	j.change(func() { j.pages["a"] = true })
	taken, err := fill(t, h, "a", 10*shardShare/noteBytes)
	if !errors.Is(err, entity.ErrUnavailable) {
		t.Errorf("after %d notes the sick one is told: %v", taken, err)
	}
	for n := range 2 * shardShare / noteBytes {
		if err := writeNote(long(t), h, neighbour); err != nil {
			t.Fatalf("note %d of the neighbour: %v", n, err)
		}
	}
	stopHost(t, h) // writes what can be written, and does not wait for the rest
	next := diaryHost(t, j)
	if got := notesOf(t, next, "a"); got != taken {
		t.Errorf("%d notes were taken; whoever takes over finds %d", taken, got)
	}
}

// Two of three busy entities of a shard are sick: the third must go on.
func TestMostEntitiesOfAShardAreSickAndStopNoOther(t *testing.T) {
	t.Parallel()
	j := newSick(journal.NewMemory())
	h := diaryHost(t, j)
	var ids []string
	for n := 0; len(ids) < 2; n++ {
		if id := fmt.Sprint("s-", n); shardOf(t, h, id) == shardOf(t, h, "well") {
			ids = append(ids, id)
		}
	}
	j.change(func() { j.pages[ids[0]], j.pages[ids[1]] = true, true })
	var stop atomic.Bool
	var calls sync.WaitGroup
	defer calls.Wait()
	defer stop.Store(true)
	for _, id := range ids {
		calls.Go(func() {
			for !stop.Load() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				_ = writeNote(ctx, h, id)
				cancel()
			}
		})
	}
	for n := range 6 * shardShare / noteBytes {
		if err := writeNote(long(t), h, "well"); err != nil {
			t.Fatalf("note %d of the entity that is well: %v; unflushed %d", n, err, unflushed(t, h))
		}
	}
}

// More entities than may be recovered at a time are of a part of the journal that does not answer. Another, of the
// part that is well, must be recovered.
func TestRecoveriesThatHangHoldUpNoOther(t *testing.T) {
	t.Parallel()
	const many = 100
	j := hanging{Journal: journal.NewMemory(), asked: make(chan struct{}, many)}
	h := startHost(t, j, func(c *entity.Config) { c.Shards = 16 })
	ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer giveUp()
	for i := range many {
		calls.Go(func() {
			_, _ = addTo.Ask(ctx, tallies.Ref(h, fmt.Sprint("sick", i)), wrapperspb.Int64(1))
		})
	}
	<-j.asked
	for i := range 8 {
		add(t, h, fmt.Sprint("well", i), 1)
	}
}

// hanging does not answer what is read of some entities until the host stops.
type hanging struct {
	journal.Journal
	asked chan struct{}
}

func (j hanging) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	if strings.HasPrefix(of.ID, "sick") {
		j.asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return j.Journal.Snapshots(ctx, of)
}
