package cluster_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skerryhq/skerry/cluster"
)

// nodes makes ready members of version 1 and weight 100 with random names.
func nodes(r *rand.Rand, count int) []cluster.Member {
	list := make([]cluster.Member, count)
	for i := range list {
		name := fmt.Sprintf("n%d-%04x", i, r.IntN(1<<16))
		list[i] = cluster.Member{
			Node: name, Incarnation: name + "-1", Version: "1", Weight: 100, Ready: true,
			StartedMillis: int64(i),
		}
	}
	return list
}

func viewOf(shards int, members []cluster.Member) cluster.View {
	return cluster.NewView(cluster.Identity{Cluster: "c", History: "h", Shards: shards}).WithMembers(members)
}

// randomView has members of all states and weights, pins (some absurd) and drains.
func randomView(r *rand.Rand, maxShards, maxNodes int) cluster.View {
	shards := 1 + r.IntN(maxShards)
	members := nodes(r, 1+r.IntN(maxNodes))
	for i := range members {
		m := &members[i]
		m.Weight = []int{0, 50, 100, 100, 100, 300}[r.IntN(6)]
		m.Version = []string{"1", "1", "2"}[r.IntN(3)]
		m.Ready, m.Draining = r.IntN(8) > 0, r.IntN(12) == 0
		m.Leaving, m.JournalLost = r.IntN(12) == 0, r.IntN(8) == 0
	}
	var pins []cluster.Pin
	for range r.IntN(4) {
		pins = append(pins, cluster.Pin{Shard: r.IntN(shards+2) - 1, Node: members[r.IntN(len(members))].Node})
	}
	pins = append(pins, cluster.Pin{Shard: r.IntN(shards), Node: "absent"})
	return viewOf(shards, members).WithOrders(pins, []string{"absent", members[r.IntN(len(members))].Node}[:r.IntN(3)])
}

func TestAnyOrderOfInputGivesOneTable(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		v := randomView(r, 128, 12)
		members, pins, drains := v.Members(), v.Pins(), v.Drains()
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		r.Shuffle(len(pins), func(i, j int) { pins[i], pins[j] = pins[j], pins[i] })
		r.Shuffle(len(drains), func(i, j int) { drains[i], drains[j] = drains[j], drains[i] })
		other := cluster.NewView(v.Identity()).WithOrders(append(pins, pins...), append(drains, drains...)).WithMembers(append(members, members...))
		if !other.Equal(v) || other.Digest() != v.Digest() {
			t.Fatalf("order shows in the view:\n%v\n%v", v, other)
		}
		a, b := cluster.Place(v), cluster.Place(other)
		if moves := b.MovesFrom(a); len(moves) > 0 || a.View() != b.View() {
			t.Fatalf("two tables from one view %v: %v", v, moves)
		}
	}
}

// TestTableIsThatOfTakingAllPairsInOrder compares with another way to the same
// unique assignment: all pairs of shard and node, from the cheapest to the costliest.
func TestTableIsThatOfTakingAllPairsInOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	for range 1000 {
		v := randomView(r, 64, 8)
		want, got := cluster.PlaceByPairs(v), cluster.Place(v)
		for shard := range v.Shards() {
			if got.Of(shard).Node != want[shard] {
				t.Fatalf("shard %d of %v is on %v, by pairs on %q", shard, v, got.Of(shard), want[shard])
			}
		}
	}
}

// TestNoOtherTableIsStable tries all assignments of small views: one alone leaves no shard
// and node that would rather have each other.
func TestNoOtherTableIsStable(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 13))
	for range 500 {
		v := randomView(r, 7, 4)
		if len(cluster.Caps(v)) == 0 {
			continue
		}
		if n := cluster.StableAssignments(v); n != 1 {
			t.Fatalf("%v has %d stable assignments", v, n)
		}
	}
}

func TestEveryShardHasACandidateWithinItsCap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	for range 1000 {
		v := randomView(r, 512, 20)
		table, caps := cluster.Place(v), cluster.Caps(v)
		load := map[string]int{}
		for shard := range v.Shards() {
			p := table.Of(shard)
			if _, candidate := caps[p.Node]; candidate != (len(caps) > 0) {
				t.Fatalf("shard %d of %v is on %v; candidates: %v", shard, v, p, caps)
			}
			if p.Reason != cluster.ByPin {
				load[p.Node]++
			}
		}
		for node, most := range caps {
			if load[node] > most {
				t.Fatalf("%s of %v has %d shards, its cap is %d", node, v, load[node], most)
			}
		}
	}
}

func TestHeaviestOfEightNodesHasAtMostOneFifthMoreThanFair(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	var loads []float64
	for range 1000 {
		members := nodes(r, 8)
		table := cluster.Place(viewOf(256, members))
		heaviest := 0
		for _, m := range members {
			heaviest = max(heaviest, len(table.Held(m.Node)))
		}
		loads = append(loads, float64(heaviest)/32)
	}
	median, worst := spread(loads)
	t.Logf("256 shards on 8 nodes, heaviest node: median %.3f × fair, worst %.3f", median, worst)
	if worst > 1.2 {
		t.Errorf("the heaviest node has %.3f × its fair share; at most 1.2 is allowed", worst)
	}
}

func spread(x []float64) (median, worst float64) {
	slices.Sort(x)
	return x[len(x)/2], x[len(x)-1]
}

// TestLittleMovesWhenANodeComesOrGoes counts moves between a view and the same
// view without one node. What must move is what that node holds.
func TestLittleMovesWhenANodeComesOrGoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		shards         []int
		fewest, most   int // nodes
		weights        []int
		median, atMost float64
		views          int
	}{
		{"256 shards, 8 nodes", []int{256}, 8, 8, []int{100}, 1.15, 1.5, 1000},
		{"256 to 1,024 shards, 3 to 12 nodes", []int{256, 512, 1024}, 3, 12, []int{100}, 1.15, 1.5, 1000},
		{"1,024 shards, 3 to 32 nodes", []int{1024}, 3, 32, []int{100}, 1.15, 1.5, 200},
		{"1,024 shards, 3 to 12 nodes, weights 1 : 2", []int{1024}, 3, 12, []int{100, 200}, 1.15, 1.5, 300},
		{"1,024 shards, 100 nodes", []int{1024}, 100, 100, []int{100}, 1.15, 2, 50},
		{"few shards for a node (64 on 3 to 20)", []int{64}, 3, 20, []int{100}, 1.15, 4, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(5, 5))
			var ratios, toFair []float64
			for range c.views {
				members := nodes(r, c.fewest+r.IntN(c.most-c.fewest+1))
				total := 0
				for i := range members {
					members[i].Weight = c.weights[r.IntN(len(c.weights))]
					total += members[i].Weight
				}
				shards, one := c.shards[r.IntN(len(c.shards))], members[0]
				all := cluster.Place(viewOf(shards, members))
				moves := len(cluster.Place(viewOf(shards, members[1:])).MovesFrom(all))
				ratios = append(ratios, float64(moves)/float64(len(all.Held(one.Node))))
				toFair = append(toFair, float64(moves*total)/float64(shards*one.Weight))
			}
			median, worst := spread(ratios)
			fairMedian, fairWorst := spread(toFair)
			t.Logf("moves ÷ minimum: median %.3f, p99 %.3f, worst %.3f; moves ÷ the node's fair share: median %.3f, worst %.3f",
				median, ratios[len(ratios)*99/100], worst, fairMedian, fairWorst)
			if median > c.median || worst > c.atMost {
				t.Errorf("median %.3f and worst %.3f; %.2f and %.2f are allowed", median, worst, c.median, c.atMost)
			}
		})
	}
}

func TestSharesFollowWeights(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	held := map[int]float64{}
	for range 100 {
		members := nodes(r, 4)
		for i, weight := range []int{100, 100, 200, 400} {
			members[i].Weight = weight
		}
		table := cluster.Place(viewOf(512, members))
		for _, m := range members {
			held[m.Weight] += float64(len(table.Held(m.Node))) / 51200
		}
	}
	for weight, want := range map[int]float64{100: 0.25, 200: 0.25, 400: 0.5} {
		if math.Abs(held[weight]-want) > 0.01 {
			t.Errorf("nodes of weight %d hold %.3f of the shards, want %.3f", weight, held[weight], want)
		}
	}
}

func TestDrainedNodeThatLeavesMovesNothingMore(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	members := nodes(r, 5)
	v := viewOf(256, members)
	gone := cluster.Place(viewOf(256, members[1:]))
	draining, leaving, unready := slices.Clone(members), slices.Clone(members), slices.Clone(members)
	draining[0].Draining, leaving[0].Leaving, unready[0].Ready = true, true, false
	for name, v := range map[string]cluster.View{
		"drained by row": v.WithOrders(nil, []string{members[0].Node}),
		"draining":       v.WithMembers(draining),
		"leaving":        v.WithMembers(leaving),
		"not ready":      v.WithMembers(unready),
	} {
		if moves := gone.MovesFrom(cluster.Place(v)); len(moves) > 0 {
			t.Errorf("%s, then gone: %d shards moved twice", name, len(moves))
		}
	}
}

func TestTableSaysWhy(t *testing.T) {
	t.Parallel()
	members := nodes(rand.New(rand.NewPCG(8, 8)), 4)
	gateway := cluster.Member{Node: "gateway", Incarnation: "g", Ready: true}
	drained, sick, owner := members[0].Node, members[1].Node, members[2].Node
	members[1].JournalLost = true
	v := viewOf(64, append(members, gateway)).WithOrders([]cluster.Pin{
		{Shard: 1, Node: owner},
		{Shard: 2, Node: drained},
		{Shard: 3, Node: sick},
		{Shard: 4, Node: "gateway"},
		{Shard: 5, Node: "nobody-knows"},
		{Shard: 64, Node: owner},
	}, []string{drained})
	table := cluster.Place(v)
	if p := table.Of(1); p.Node != owner || p.Reason != cluster.ByPin {
		t.Errorf("the pinned shard is on %v", p)
	}
	for shard, ignored := range map[int]string{
		2: drained + " is drained",
		3: sick + " cannot reach the journal",
		4: "gateway has weight 0",
		5: "nobody-knows is not a member",
	} {
		if p := table.Of(shard); p.Ignored != ignored || p.Reason == cluster.ByPin || p.Node == "" {
			t.Errorf("shard %d is on %v; its pin should be ignored because %s", shard, p, ignored)
		}
	}
	why := map[cluster.Reason]string{}
	for shard := range 64 {
		p := table.Of(shard)
		why[p.Reason] = p.Instead
	}
	if why[cluster.AwayDrained] != drained || why[cluster.AwayNoJournal] != sick || why[cluster.ByRendezvous] != "" {
		t.Errorf("reasons and first choices: %v", why)
	}
	if got := table.Of(1).String(); got != owner+" (pin)" {
		t.Errorf("an operator reads %q", got)
	}
}

func TestNodesWithoutJournalArePassedOverUnlessMostAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ nodes, lost, candidates int }{
		{1, 1, 1}, {2, 1, 1}, {2, 2, 2}, {3, 1, 2}, {3, 2, 3}, {4, 2, 2}, {4, 3, 4}, {5, 2, 3},
	} {
		members := nodes(rand.New(rand.NewPCG(9, 9)), c.nodes)
		for i := range c.lost {
			members[i].JournalLost = true
		}
		// Nodes that may own nothing anyway have no say.
		asleep := cluster.Member{Node: "asleep", Incarnation: "a", Weight: 100, JournalLost: true}
		gateway := cluster.Member{Node: "gateway", Incarnation: "g", JournalLost: true, Ready: true}
		if got := len(cluster.Caps(viewOf(16, append(members, asleep, gateway)))); got != c.candidates {
			t.Errorf("%d of %d nodes cannot reach the journal: %d candidates, want %d", c.lost, c.nodes, got, c.candidates)
		}
	}
}

func TestWithoutCandidatesNobodyOwns(t *testing.T) {
	t.Parallel()
	members := nodes(rand.New(rand.NewPCG(10, 10)), 2)
	members[0].Ready, members[1].Weight = false, 0
	for _, v := range []cluster.View{viewOf(4, nil), viewOf(4, members)} {
		if p := cluster.Place(v).Of(3); p.Node != "" || p.Reason != cluster.Nowhere {
			t.Errorf("%v: shard 3 is on %v", v, p)
		}
	}
	if p := cluster.Place(cluster.View{}).Of(0); p != (cluster.Placement{}) {
		t.Errorf("a shard that does not exist is on %v", p)
	}
}

// TestRollingUpdateMovesEachShardOutAndBack counts what one update of all nodes,
// one by one, moves, and how much of the work newer nodes do meanwhile.
func TestRollingUpdateMovesEachShardOutAndBack(t *testing.T) {
	t.Parallel()
	const shards, count, rolls = 256, 8, 50
	r := rand.New(rand.NewPCG(11, 11))
	moves, onNewer, newerNodes, samples := 0, 0.0, 0.0, 0
	for range rolls {
		members := nodes(r, count)
		table := cluster.Place(viewOf(shards, members))
		step := func(next cluster.Table) {
			moves += len(next.MovesFrom(table))
			table = next
		}
		for i := range members {
			step(cluster.Place(viewOf(shards, slices.Delete(slices.Clone(members), i, i+1))))
			members[i].Version = "2"
			step(cluster.Place(viewOf(shards, members)))
			for _, m := range members[:i+1] {
				onNewer += float64(len(table.Held(m.Node))) / shards
			}
			newerNodes += float64(i+1) / count
			samples++
		}
	}
	perShard := float64(moves) / shards / rolls
	t.Logf("a rolling update of %d nodes moves each shard %.2f times; newer nodes, on average %.3f of all, hold %.3f of the shards",
		count, perShard, newerNodes/float64(samples), onNewer/float64(samples))
	if perShard > 2.2 || onNewer <= newerNodes {
		t.Errorf("%.2f moves of each shard (2.2 are allowed), %.3f of the shards on newer nodes", perShard, onNewer/float64(samples))
	}
}

// TestPlacementIsPartOfTheProtocol fails when a release places differently: during its
// rolling update nodes would disagree, and shards move for nothing.
func TestPlacementIsPartOfTheProtocol(t *testing.T) {
	t.Parallel()
	members := make([]cluster.Member, 5)
	for i := range members {
		members[i] = cluster.Member{Node: fmt.Sprintf("n%d", i+1), Incarnation: fmt.Sprint(i), Weight: 100 * (1 + i%2), Version: fmt.Sprint(1 + i/4), Ready: true}
	}
	table := cluster.Place(viewOf(32, members).WithOrders([]cluster.Pin{{Shard: 7, Node: "n1"}}, []string{"n2"}))
	got := ""
	for shard := range 32 {
		got += table.Of(shard).Node[1:]
	}
	if want := "14544141515143544545545514431334"; got != want {
		t.Errorf("owners of 32 shards: %s, want %s", got, want)
	}
}

func BenchmarkPlace(b *testing.B) {
	for _, c := range []struct{ shards, nodes int }{{64, 3}, {256, 8}, {1024, 100}} {
		b.Run(fmt.Sprintf("shards=%d/nodes=%d", c.shards, c.nodes), func(b *testing.B) {
			v := viewOf(c.shards, nodes(rand.New(rand.NewPCG(12, 12)), c.nodes))
			for b.Loop() {
				cluster.Place(v)
			}
		})
	}
}

func ExamplePlace() {
	members := []cluster.Member{
		{Node: "n1", Incarnation: "n1-1", Weight: 100, Ready: true},
		{Node: "n2", Incarnation: "n2-1", Weight: 100, Ready: true},
		{Node: "n3", Incarnation: "n3-1", Weight: 100, Ready: true},
	}
	v := cluster.NewView(cluster.Identity{Cluster: "harbour", Shards: 6}).WithMembers(members)
	drained := v.WithOrders([]cluster.Pin{{Shard: 0, Node: "n1"}}, []string{"n2"})
	before, after := cluster.Place(v), cluster.Place(drained)
	for shard := range 6 {
		fmt.Println(shard, before.Of(shard), "→", after.Of(shard))
	}
	fmt.Println(len(after.MovesFrom(before)), "shards move")
	// Output:
	// 0 n3 (rendezvous) → n1 (pin)
	// 1 n2 (rendezvous) → n3 (drain, instead of n2)
	// 2 n2 (rendezvous) → n3 (drain, instead of n2)
	// 3 n1 (rendezvous) → n1 (rendezvous)
	// 4 n1 (rendezvous) → n1 (rendezvous)
	// 5 n1 (rendezvous) → n1 (rendezvous)
	// 3 shards move
}
