package cluster

import (
	"cmp"
	"slices"
)

// Crash ends a node without a word, as far as that can be done within a process.
func (n *Node) Crash() {
	n.stopOnce.Do(func() {
		_ = n.gossip.Close()
		_ = n.transport.Close()
		n.inbox.close()
		n.loop.Wait()
		n.cancel()
		n.pulse.close()
		_ = n.host.Stop(expired())
	})
}

// PlaceByPairs is the assignment of Place, found by taking all pairs of shard and
// candidate from the cheapest to the costliest.
func PlaceByPairs(v View) []string {
	type pair struct {
		cost  uint64
		shard int
		node  *candidate
	}
	p := newPlace(v)
	p.pin(v)
	var pairs []pair
	for shard := range v.Shards() {
		for _, c := range p.candidates {
			pairs = append(pairs, pair{weighted(c.logs[shard], c.inverse), shard, c})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.shard, b.shard), cmp.Compare(a.node.node, b.node.node))
	})
	owners, load := make([]string, v.Shards()), map[*candidate]int{}
	for shard, c := range p.owner {
		if c != nil {
			owners[shard] = c.node
			load[c]++
		}
	}
	for _, x := range pairs {
		if owners[x.shard] == "" && load[x.node] < x.node.cap {
			owners[x.shard] = x.node.node
			load[x.node]++
		}
	}
	return owners
}

// StableAssignments counts the assignments of unpinned shards to candidates, within their caps, in
// which no shard and node prefer each other to what they have. It tries all.
func StableAssignments(v View) int {
	p := newPlace(v)
	p.pin(v)
	count := 0
	p.tryAll(0, map[*candidate]int{}, func() {
		if p.stable() {
			count++
		}
	})
	return count
}

func (p *place) tryAll(shard int, load map[*candidate]int, found func()) {
	for shard < p.shards && p.pinned[shard] {
		shard++
	}
	if shard == p.shards {
		found()
		return
	}
	for _, c := range p.candidates {
		if load[c]+c.pinned < c.cap {
			p.owner[shard] = c
			load[c]++
			p.tryAll(shard+1, load, found)
			load[c]--
		}
	}
}

func (p *place) stable() bool {
	load, costliest := map[*candidate]int{}, map[*candidate]claim{}
	for shard, c := range p.owner {
		load[c]++
		if k := p.claimOf(shard, c); !p.pinned[shard] && (costliest[c].node == "" || (claims{costliest[c], k}).Less(1, 0)) {
			costliest[c] = k
		}
	}
	for shard, has := range p.owner {
		for _, c := range p.candidates {
			wants, now := p.claimOf(shard, c), p.claimOf(shard, has)
			cheaper := cmp.Or(cmp.Compare(wants.cost, now.cost), cmp.Compare(wants.node, now.node)) < 0
			displaces := costliest[c].node != "" && (claims{costliest[c], wants}).Less(0, 1)
			if !p.pinned[shard] && cheaper && (load[c] < c.cap || displaces) {
				return false
			}
		}
	}
	return true
}

func (p *place) claimOf(shard int, c *candidate) claim {
	return claim{shard: shard, cost: weighted(c.logs[shard], c.inverse), node: c.node}
}
