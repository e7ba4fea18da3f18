package entity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// clusterHost is a host that claims what it is told to, and what it told.
type clusterHost struct {
	*entity.Host
	name  string
	heard chan entity.Ownership
}

func startClusterHost(t *testing.T, j journal.Journal, name string, shards int) *clusterHost {
	t.Helper()
	c := &clusterHost{name: name, heard: make(chan entity.Ownership, 10_000)}
	h, err := entity.Start(t.Context(), entity.Config{
		Journal: j, Types: []entity.Definition{tallies}, Shards: shards, Node: name,
		Ownership: func(o entity.Ownership) { c.heard <- o },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Host = h
	t.Cleanup(func() { stopHost(t, h) })
	return c
}

// await waits until the host tells that of a shard.
func (c *clusterHost) await(t *testing.T, number uint32, states ...entity.OwnershipState) entity.Ownership {
	t.Helper()
	for {
		select {
		case o := <-c.heard:
			for _, s := range states {
				if o.Shard == number && o.State == s {
					return o
				}
			}
		case <-time.After(patience):
			t.Fatalf("%s never tells of shard %d: %v", c.name, number, states)
		}
	}
}

// hop sends a command to the host that owns its shard, as a node of a cluster does.
type hop struct{ hosts []*clusterHost }

func (p hop) Call(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	for i := 0; ; i++ {
		resp, err := p.hosts[i%len(p.hosts)].Call(ctx, req)
		var moved *entity.MovedError
		if !errors.As(err, &moved) || ctx.Err() != nil {
			return resp, err
		}
		if i%len(p.hosts) == len(p.hosts)-1 {
			time.Sleep(100 * time.Microsecond) // nobody has it at this moment
		}
	}
}

// move is what two nodes do for a planned move.
func move(t *testing.T, from, to *clusterHost, number uint32) {
	t.Helper()
	from.Flush(number)
	to.Prepare(number)
	to.await(t, number, entity.Prepared)
	from.Yield(number, time.Minute)
	from.await(t, number, entity.Yielded)
	to.Claim(number)
	if o := to.await(t, number, entity.Serving); o.Owner != to.name {
		t.Errorf("%s serves shard %d and calls its owner %s", to.name, number, o.Owner)
	}
	from.Look(number)
	if o := from.await(t, number, entity.Fenced); o.Owner != to.name {
		t.Errorf("%s was fenced by %s, not by %s", from.name, o.Owner, to.name)
	}
}

func TestShardsMoveUnderLoadAndNoCommandNotices(t *testing.T) {
	t.Parallel()
	const shards, callers, entities, moves = 2, 8, 4, 20
	j := journal.NewMemory()
	a, b := startClusterHost(t, j, "a", shards), startClusterHost(t, j, "b", shards)
	for s := range uint32(shards) {
		a.Claim(s)
		a.await(t, s, entity.Serving)
	}
	caller := hop{[]*clusterHost{a, b}}
	var added [entities]atomic.Int64
	var stop atomic.Bool
	var work sync.WaitGroup
	for n := range callers {
		work.Go(func() {
			for i := 0; !stop.Load(); i++ {
				e := (n + i) % entities
				ref := tallies.Ref(caller, fmt.Sprint("t", e))
				if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1), entity.Key(fmt.Sprint(n, "/", i))); err != nil {
					t.Errorf("caller %d: %v", n, err)
					return
				}
				added[e].Add(1)
			}
		})
	}
	for range moves {
		for s := range uint32(shards) {
			move(t, a, b, s)
		}
		a, b = b, a
	}
	stop.Store(true)
	work.Wait()
	for e := range entities {
		got, err := sum.Ask(long(t), tallies.Ref(caller, fmt.Sprint("t", e)), &emptypb.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		if want := added[e].Load(); got.GetValue() != want {
			t.Errorf("entity %d holds %d, callers added %d", e, got.GetValue(), want)
		}
	}
}

func TestAShardThatYieldedServesOnWhenNobodyClaims(t *testing.T) {
	t.Parallel()
	a := startClusterHost(t, journal.NewMemory(), "a", 1)
	ref := tallies.Ref(a, "x")
	var moved *entity.MovedError
	if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1)); !errors.As(err, &moved) || !errors.Is(err, entity.ErrUnavailable) {
		t.Fatalf("before any claim: %v", err)
	}
	a.Prepare(0)
	a.await(t, 0, entity.Prepared)
	if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1)); !errors.As(err, &moved) {
		t.Fatalf("prepared: %v", err)
	}
	a.Abandon(0)
	a.await(t, 0, entity.Abandoned)
	a.Claim(0)
	a.await(t, 0, entity.Serving)
	a.Yield(0, 20*time.Millisecond)
	a.await(t, 0, entity.Yielded)
	got, err := addTo.Ask(long(t), ref, wrapperspb.Int64(1))
	if err != nil || got.GetValue() != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	a.await(t, 0, entity.Resumed)
}

func TestAClaimOverAnOwnerThatKnowsNothingFencesIt(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	a, b := startClusterHost(t, j, "a", 1), startClusterHost(t, j, "b", 1)
	a.Claim(0)
	a.await(t, 0, entity.Serving)
	if _, err := addTo.Ask(long(t), tallies.Ref(a, "x"), wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	b.Claim(0)
	b.await(t, 0, entity.Serving)
	_, err := addTo.Ask(long(t), tallies.Ref(a, "x"), wrapperspb.Int64(1))
	var moved *entity.MovedError
	if !errors.As(err, &moved) || moved.Owner != "b" || moved.Epoch != 2 {
		t.Fatalf("the overtaken owner answers %v", err)
	}
	got, err := addTo.Ask(long(t), tallies.Ref(b, "x"), wrapperspb.Int64(1))
	if err != nil || got.GetValue() != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	a.Claim(0) // and back again
	a.await(t, 0, entity.Serving)
	b.Look(0)
	b.await(t, 0, entity.Fenced)
}
