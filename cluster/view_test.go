package cluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cluster"
)

func member(node, incarnation string, started int64) cluster.Member {
	return cluster.Member{Node: node, Incarnation: incarnation, StartedMillis: started, Weight: 100, Ready: true}
}

func TestOfTwoProcessesWithOneNameTheLaterIsTheMember(t *testing.T) {
	t.Parallel()
	old, again, twin := member("a", "a-1", 10), member("a", "a-2", 20), member("a", "a-3", 20)
	other := member("b", "b-1", 5)
	told := again
	told.Draining = true
	v := viewOf(8, []cluster.Member{old, other, again, twin, told, again})
	if got := v.Members(); !slices.Equal(got, []cluster.Member{twin, other}) {
		t.Errorf("members %v", got)
	}
	if got := v.Rivals(); len(got) != 2 || got[0].Incarnation != "a-2" || got[1] != old {
		t.Errorf("rivals %v", got)
	}
	if m, here := v.Member("a"); !here || m != twin {
		t.Errorf("a is %v", m)
	}
	if m, here := v.Member("c"); here {
		t.Errorf("c is %v", m)
	}
}

func TestOldestIsReady(t *testing.T) {
	t.Parallel()
	starting := member("a", "a-1", 1)
	starting.Ready = false
	v := viewOf(8, []cluster.Member{member("c", "c-1", 2), starting, member("b", "b-1", 2), member("d", "d-1", 3)})
	if m, found := v.Oldest(); !found || m.Node != "b" {
		t.Errorf("the oldest is %v", m)
	}
	if m, found := viewOf(8, []cluster.Member{starting}).Oldest(); found {
		t.Errorf("the oldest of none is %v", m)
	}
}

// TestViewsThatDifferHaveOtherDigests changes one thing at a time.
func TestViewsThatDifferHaveOtherDigests(t *testing.T) {
	t.Parallel()
	id := cluster.Identity{Cluster: "c", History: "h", Shards: 8}
	base := []cluster.Member{member("a", "a-1", 1), member("b", "b-1", 1)}
	build := func(id cluster.Identity, change func(*cluster.Member)) cluster.View {
		members := slices.Clone(base)
		change(&members[0])
		return cluster.NewView(id).WithMembers(members).WithOrders([]cluster.Pin{{Shard: 1, Node: "a"}}, []string{"b"})
	}
	same := func(*cluster.Member) {}
	v := build(id, same)
	views := []cluster.View{
		v,
		{},
		cluster.NewView(id),
		build(cluster.Identity{Cluster: "ch", History: "", Shards: 8}, same),
		build(cluster.Identity{Cluster: "c", History: "h", Shards: 9}, same),
		v.WithOrders(nil, nil),
		v.WithOrders([]cluster.Pin{{Shard: 1, Node: "b"}}, []string{"b"}),
		v.WithOrders([]cluster.Pin{{Shard: 1, Node: "a"}}, []string{"a"}),
		v.WithMembers(append(base, member("a", "a-0", 0))), // a rival
		build(id, func(m *cluster.Member) { m.Incarnation = "a-2" }),
		build(id, func(m *cluster.Member) { m.Peer = "p" }),
		build(id, func(m *cluster.Member) { m.Version = "p" }),
		build(id, func(m *cluster.Member) { m.Weight++ }),
		build(id, func(m *cluster.Member) { m.StartedMillis++ }),
		build(id, func(m *cluster.Member) { m.Ready = false }),
		build(id, func(m *cluster.Member) { m.Draining = true }),
		build(id, func(m *cluster.Member) { m.Leaving = true }),
		build(id, func(m *cluster.Member) { m.JournalLost = true }),
	}
	for i, a := range views {
		for j, b := range views {
			if (i == j) != a.Equal(b) || (i == j) != (a.Digest() == b.Digest()) {
				t.Errorf("views %d and %d: equal %v, digests %s and %s", i, j, a.Equal(b), a.Digest(), b.Digest())
			}
		}
	}
}

func TestViewIsNotChangedThroughItsSlices(t *testing.T) {
	t.Parallel()
	members := []cluster.Member{member("b", "b-1", 1), member("a", "a-1", 1), member("a", "a-0", 0)}
	pins, drains := []cluster.Pin{{Shard: 2, Node: "b"}, {Shard: 1, Node: "a"}, {Shard: 1, Node: "b"}}, []string{"b", "a", "b"}
	v := viewOf(8, members).WithOrders(pins, drains)
	digest := v.Digest()
	members[0].Node, pins[0].Node, drains[0] = "x", "x", "x"
	v.Members()[0].Node, v.Rivals()[0].Node, v.Pins()[0].Node, v.Drains()[0] = "x", "x", "x", "x"
	_ = v.WithMembers(members).WithOrders(nil, drains)
	if v.Digest() != digest {
		t.Errorf("the view became %v", v)
	}
	if got := v.Pins(); !slices.Equal(got, []cluster.Pin{{Shard: 1, Node: "a"}, {Shard: 2, Node: "b"}}) || !slices.Equal(v.Drains(), []string{"a", "b"}) {
		t.Errorf("orders are %v and %v", got, v.Drains())
	}
	if want := digest + ": 2 members (a b), 2 pins, 2 drains"; v.String() != want {
		t.Errorf("an operator reads %q, want %q", v, want)
	}
}

func TestIdentityAndMemberSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for want, id := range map[string]cluster.Identity{
		"the cluster's name": {Shards: 8},
		"the history id":     {Cluster: "c", History: long, Shards: 8},
		"5000 shards":        {Cluster: "c", Shards: 5000},
	} {
		if err := id.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", id, err)
		}
	}
	if a, b := cluster.NewIncarnation("n1"), cluster.NewIncarnation("n1"); a == b || !strings.HasPrefix(a, "n1-") {
		t.Errorf("incarnations %s and %s", a, b)
	}
	if err := member("n1", cluster.NewIncarnation("n1"), 1).Check(); err != nil {
		t.Error(err)
	}
}
