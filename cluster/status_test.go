package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// eventually asks until what is told is as it should be.
func eventually[T any](t *testing.T, what string, ask func() (T, error), ok func(T) bool) T {
	t.Helper()
	var last T
	var failed error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var got T
		if got, failed = ask(); failed != nil {
			continue // a node that is slow does not answer in time
		}
		if last = got; ok(got) {
			return got
		}
	}
	t.Fatalf("it never comes to: %s; last: %v, %v", what, last, failed)
	return last
}

func members(t *testing.T, n *cluster.Node) func() (*adminv1.Members, error) {
	return func() (*adminv1.Members, error) { return n.Members(t.Context()) }
}

func placement(t *testing.T, n *cluster.Node) func() (*adminv1.Placement, error) {
	return func() (*adminv1.Placement, error) { return n.Placement(t.Context()) }
}

// settled tells that each shard is where it belongs.
func settled(p *adminv1.Placement) bool {
	return !slices.ContainsFunc(p.GetShards(), func(x *adminv1.PlacedShard) bool {
		return x.GetNode() == "" || x.GetNode() != x.GetBelongs() || x.GetState() != "serving" && x.GetState() != "elsewhere"
	})
}

func TestNodesThatAgreeTellOneView(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 16}
	a, b := w.start("a"), w.start("b")
	m := eventually(t, "one view, all shards at home", members(t, a), func(m *adminv1.Members) bool {
		other, err := b.Members(t.Context())
		return err == nil && other.GetView() == m.GetView() && len(m.GetMembers()) == 2 && areAtHome(m) && areAtHome(other)
	})
	if m.GetNode() != "a" || m.GetShards() != 16 {
		t.Fatalf("a tells %v", m)
	}
	var owns uint32
	for _, x := range m.GetMembers() {
		owns += x.GetOwns()
		if x.GetStanding() != "member" || !x.GetReady() || x.GetBelong() == 0 || x.GetOwns() != x.GetBelong() {
			t.Errorf("a tells of %v", x)
		}
	}
	if owns != 16 {
		t.Errorf("%d shards are owned, want 16", owns)
	}
}

// areAtHome tells that each member owns what belongs to it, and all own something.
func areAtHome(m *adminv1.Members) bool {
	return !slices.ContainsFunc(m.GetMembers(), func(x *adminv1.Member) bool { return x.GetOwns() == 0 || x.GetOwns() != x.GetBelong() })
}

func TestMemberThatCrashedIsToldLostAndJudged(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a, b := w.start("a"), w.start("b")
	eventually(t, "at rest", placement(t, a), func(p *adminv1.Placement) bool { return settled(p) && onNode(p, "b") > 0 })
	b.Crash()
	eventually(t, "b is no member, a has all", members(t, a), func(m *adminv1.Members) bool {
		return slices.ContainsFunc(m.GetMembers(), func(x *adminv1.Member) bool {
			return x.GetNode() == "b" && (x.GetStanding() == "refusing" || x.GetStanding() == "lost" && x.GetVerdict() == "gone")
		})
	})
	eventually(t, "a has all", placement(t, a), func(p *adminv1.Placement) bool { return settled(p) && onNode(p, "a") == 8 })
	told, err := a.Watch(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(told.GetEvents(), func(e *adminv1.ClusterEvent) bool {
		return (e.GetKind() == "lost" || e.GetKind() == "refusing") && e.GetNode() == "b"
	}) {
		t.Errorf("a never told that b is lost: %v", told.GetEvents())
	}
	if !slices.ContainsFunc(told.GetEvents(), func(e *adminv1.ClusterEvent) bool { return e.GetKind() == "claimed" && e.GetPauseUs() > 0 }) {
		t.Errorf("a never told how long a shard had no owner")
	}
}

func onNode(p *adminv1.Placement, node string) (n int) {
	for _, x := range p.GetShards() {
		if x.GetNode() == node {
			n++
		}
	}
	return n
}

func TestOrdersSurviveTheRestartOfAllNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(do func(*cluster.Node)) {
		j, err := pebble.Open(pebble.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, journal: j, shards: 8}
		a, b := w.start("a"), w.start("b")
		do(a)
		stopNode(t, a)
		stopNode(t, b)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run(func(a *cluster.Node) {
		for _, err := range []error{a.Drain(t.Context(), "b"), a.Pin(t.Context(), 3, "a"), a.Pin(t.Context(), 4, "b"), a.Unpin(t.Context(), 3)} {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	run(func(a *cluster.Node) {
		eventually(t, "the orders", members(t, a), func(m *adminv1.Members) bool {
			ready := !slices.ContainsFunc(m.GetMembers(), func(x *adminv1.Member) bool { return !x.GetReady() })
			return len(m.GetMembers()) == 2 && ready && slices.Equal(m.GetDrains(), []string{"b"}) && len(m.GetPins()) == 1 && m.GetPins()[0].GetShard() == 4
		})
		p := eventually(t, "all on a", placement(t, a), func(p *adminv1.Placement) bool { return onNode(p, "a") == 8 })
		if x := p.GetShards()[4]; x.GetPin() != "b" || x.GetPinIgnored() == "" {
			t.Errorf("shard 4, which is pinned to a drained node, is told as %v", x)
		}
	})
}

func TestOrdersOfSeveralOperatorsAtOnceAllCount(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 32}
	nodes := []*cluster.Node{w.start("a"), w.start("b")}
	var giving sync.WaitGroup
	for shard := range 32 {
		giving.Go(func() {
			n := nodes[shard%2]
			if err := errors.Join(n.Pin(t.Context(), shard, "b"), n.Drain(t.Context(), fmt.Sprint("x", shard%4))); err != nil {
				t.Error(err)
			}
		})
	}
	giving.Wait()
	for _, n := range nodes {
		eventually(t, "all orders", members(t, n), func(m *adminv1.Members) bool { return len(m.GetPins()) == 32 && len(m.GetDrains()) == 4 })
	}
	eventually(t, "all on b", placement(t, nodes[0]), func(p *adminv1.Placement) bool { return onNode(p, "b") == 32 })
	if err := nodes[1].Unpin(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no pins", members(t, nodes[0]), func(m *adminv1.Members) bool { return len(m.GetPins()) == 0 })
}

func TestWhereAllNodesAreDrainedTheyServeOnAndSayWhy(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a := w.start("a")
	eventually(t, "at rest", placement(t, a), settled)
	if err := a.Drain(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	p := eventually(t, "the order", placement(t, a), func(p *adminv1.Placement) bool { return p.GetShards()[0].GetWhy() == "all are drained" })
	for _, x := range p.GetShards() {
		if x.GetNode() != "a" || x.GetState() != "serving" || x.GetWhy() != "all are drained" {
			t.Errorf("shard %d is told as %v", x.GetShard(), x)
		}
	}
}

func TestOrdersThatNobodyCanObeyAreRefused(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 8}
	a := w.start("a")
	for name, err := range map[string]error{
		"a shard beyond the last": a.Pin(t.Context(), 8, "a"), "a negative shard": a.Unpin(t.Context(), -1), "a pin to nobody": a.Pin(t.Context(), 1, ""),
		"a drain of nobody": a.Drain(t.Context(), ""), "a long name": a.Drain(t.Context(), string(make([]byte, cluster.MaxNodeBytes+1))),
	} {
		if !errors.Is(err, entity.ErrMalformed) {
			t.Errorf("%s is answered %v", name, err)
		}
	}
}

// frozen is a journal that can be stopped.
type frozen struct {
	*journal.Memory
	mu   sync.Mutex
	gate chan struct{}
}

func (f *frozen) set(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if on {
		f.gate = make(chan struct{})
	} else {
		close(f.gate)
		f.gate = nil
	}
}

func (f *frozen) wait(ctx context.Context) error {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *frozen) PutWitness(ctx context.Context, w journal.Witness) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	return f.Memory.PutWitness(ctx, w)
}

func (f *frozen) Tail(ctx context.Context, shard uint32, number uint64) (journal.Slot, error) {
	if err := f.wait(ctx); err != nil {
		return journal.Slot{}, err
	}
	return f.Memory.Tail(ctx, shard, number)
}

func TestEntityOfAnotherNodeIsToldWithWhomToAsk(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, _ *island, a, b *cluster.Node) {
		eventually(t, "at rest", placement(t, a), func(p *adminv1.Placement) bool { return settled(p) && onNode(p, "b") > 0 })
		elsewhere := 0
		for i := range 32 {
			id := fmt.Sprint("c", i)
			_, err := a.Inspect(t.Context(), "counter", id, nil)
			if err == nil {
				continue
			}
			elsewhere++
			if !errors.Is(err, entity.ErrUnavailable) || !strings.Contains(err.Error(), "which is on b: ask that node") {
				t.Errorf("a says %v", err)
			}
			if _, err := b.Inspect(t.Context(), "counter", id, nil); err != nil {
				t.Errorf("b says %v", err)
			}
		}
		if elsewhere == 0 {
			t.Error("a has all")
		}
	})
}
