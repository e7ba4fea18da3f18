package cluster

import (
	"cmp"
	"container/heap"
	"fmt"
	"math"
	"slices"
)

// Placement says where one shard belongs, and why.
type Placement struct {
	// Node is the owner to be; empty when no member may own shards.
	Node   string
	Reason Reason
	// Instead is the node that rendezvous alone would choose, where Node is another one.
	Instead string
	// Ignored says why a pin of the shard is not obeyed; empty if there is none or it is.
	Ignored string
}

// String is what an operator reads: "n2 (cap, instead of n1)".
func (p Placement) String() string {
	text := fmt.Sprintf("%s (%s", cmp.Or(p.Node, "nobody"), p.Reason)
	if p.Instead != "" {
		text += ", instead of " + p.Instead
	}
	if p.Ignored != "" {
		text += "; pin ignored: " + p.Ignored
	}
	return text + ")"
}

// Table says where each shard belongs. It is immutable and safe for concurrent use.
type Table struct {
	view   string
	shards []Placement
}

// View is the digest of the view that the table was made from.
func (t Table) View() string { return t.view }

// Shards is how many shards the table places.
func (t Table) Shards() int { return len(t.shards) }

// Of is the placement of one shard; the zero Placement for one that does not exist.
func (t Table) Of(shard int) Placement {
	if shard < 0 || shard >= len(t.shards) {
		return Placement{}
	}
	return t.shards[shard]
}

// Held lists the shards that belong to a node, in order.
func (t Table) Held(node string) []int {
	var held []int
	for shard, p := range t.shards {
		if p.Node == node {
			held = append(held, shard)
		}
	}
	return held
}

// Move is a shard whose owner changes from one table to another.
type Move struct {
	Shard    int
	From, To string
}

// MovesFrom lists what changes between an older table and this one, by shard.
func (t Table) MovesFrom(old Table) []Move {
	var moves []Move
	for shard, p := range t.shards {
		if from := old.Of(shard).Node; from != p.Node {
			moves = append(moves, Move{Shard: shard, From: from, To: p.Node})
		}
	}
	return moves
}

// Place decides where each shard belongs. It looks at nothing but the view.
//
// Members with a weight that are ready, not drained, not leaving and in reach of
// the journal are candidates; where there are none, those that are merely drained. Pins go first. Each other shard goes to the candidate
// with its least weighted rendezvous cost; a candidate that more shards want than
// its cap allows keeps those that cost least there, and the others go to their next
// choice. This assignment is unique (see [place.settle]), so no order of
// input or of work shows in it, and the departure of a node sends on only that
// node's shards and the few that a cap had held back.
//
// While versions are mixed, candidates of the newest one count as 125 % of their
// weight, within their caps. A function of the view cannot do more for little: it
// cannot tell the shards of a node that just left from those that were always
// where they are, so each preference moves both.
func Place(v View) Table {
	p := newPlace(v)
	p.pin(v)
	p.settle()
	return Table{view: v.Digest(), shards: p.placements()}
}

// Caps lists how many shards each candidate may be given, pins aside.
func Caps(v View) map[string]int {
	caps := map[string]int{}
	for _, c := range newPlace(v).candidates {
		caps[c.node] = c.cap
	}
	return caps
}

const (
	// capPercent bounds a node's load, as a part of its fair share.
	capPercent = 120
	// newerPercent is what the weight of a node of the newest version counts while older ones run.
	newerPercent = 125
)

// candidate is a member that may own shards, or, without a cap, one that would if its state allowed.
type candidate struct {
	node    string
	logs    []uint64 // by shard: see exponentials
	plain   uint64   // reciprocal of the weight
	inverse uint64   // the same with the preference for newer versions
	cap     int
	away    Reason // why it may own nothing now; 0 if it may
	pinned  int
	kept    claims // the shards that it holds for now, the costliest on top
}

// place is the work of one Place.
type place struct {
	shards     int
	members    []*candidate // with weight, by name
	candidates []*candidate // those of them that may own shards
	owner      []*candidate // by shard
	pinned     []bool
	ignored    map[int]string
	allDrained bool // the candidates are drained: there are no others
}

func newPlace(v View) *place {
	p := &place{
		shards:  v.Shards(),
		owner:   make([]*candidate, v.Shards()),
		pinned:  make([]bool, v.Shards()),
		ignored: map[int]string{},
	}
	newest, total := "", 0
	away := awayReasons(v)
	p.allDrained = callBack(v, away)
	for _, m := range v.members {
		if m.Weight > 0 && away[m.Node] == 0 {
			total += m.Weight
			newest = newerOf(newest, m.Version)
		}
	}
	for _, m := range v.members {
		if m.Weight > 0 {
			p.add(m, away[m.Node], newest, total)
		}
	}
	return p
}

func (p *place) add(m Member, away Reason, newest string, total int) {
	c := &candidate{node: m.Node, logs: exponentials(m.Node, p.shards), away: away, plain: inverseOf(m.Weight * 100)}
	p.members = append(p.members, c)
	if away != 0 {
		return
	}
	percent := 100
	if m.Version == newest {
		percent = newerPercent
	}
	c.inverse = inverseOf(m.Weight * percent)
	c.cap = capOf(p.shards, m.Weight, total)
	p.candidates = append(p.candidates, c)
}

// capOf is the fair share and 20 % of it. Below 32 shards it is the fair share and
// as many standard deviations of plain rendezvous as 20 % are at 32 (√1.28 × the root of the share):
// a tighter cap on few shards would bind nearly every node, and each change would move far
// more than it must. Never less than the fair share rounded up, so that there is room for every shard.
func capOf(shards, weight, total int) int {
	share := shards * weight
	roundedUp := (share + total - 1) / total
	percent := share * capPercent / (100 * total)
	deviations := (1000*share/total + int(math.Sqrt(float64(1_280_000*share/total)))) / 1000
	return max(roundedUp, percent, deviations)
}

// awayReasons says of members with weight why they may own no shards now. Nodes that cannot reach the
// journal are passed over unless most say so: then it is the journal that is ill,
// and to move shards between such nodes helps nobody.
func awayReasons(v View) map[string]Reason {
	away := map[string]Reason{}
	present, lost := 0, 0
	for _, m := range v.members {
		if m.Weight == 0 {
			continue
		}
		if reason := stateReason(v, m); reason != 0 {
			away[m.Node] = reason
			continue
		}
		present++
		if m.JournalLost {
			lost++
		}
	}
	if 2*lost > present {
		return away
	}
	for _, m := range v.members {
		if m.Weight > 0 && away[m.Node] == 0 && m.JournalLost {
			away[m.Node] = AwayNoJournal
		}
	}
	return away
}

// callBack has drained nodes own shards where no other node may: a drain must not end the service. It tells whether it
// had to.
func callBack(v View, away map[string]Reason) bool {
	var drained []string
	for _, m := range v.members {
		switch {
		case m.Weight == 0:
		case away[m.Node] == 0:
			return false
		case away[m.Node] == AwayDrained && m.Ready && !m.Leaving:
			drained = append(drained, m.Node)
		}
	}
	for _, node := range drained {
		delete(away, node)
	}
	return len(drained) > 0
}

func stateReason(v View, m Member) Reason {
	switch {
	case v.Drained(m.Node) || m.Draining:
		return AwayDrained
	case m.Leaving:
		return AwayLeaving
	case !m.Ready:
		return AwayNotReady
	}
	return 0
}

// pin gives pinned shards away first, whatever the caps say.
func (p *place) pin(v View) {
	for _, pin := range v.pins {
		if pin.Shard < 0 || pin.Shard >= p.shards {
			continue
		}
		c := p.find(pin.Node)
		switch {
		case c == nil:
			p.ignored[pin.Shard] = absence(v, pin.Node)
		case c.away != 0:
			p.ignored[pin.Shard] = fmt.Sprintf("%s %s", pin.Node, c.away.state())
		default:
			p.owner[pin.Shard], p.pinned[pin.Shard] = c, true
			c.pinned++
		}
	}
}

func (p *place) find(node string) *candidate {
	i, found := slices.BinarySearchFunc(p.members, node, func(c *candidate, node string) int {
		return cmp.Compare(c.node, node)
	})
	if !found {
		return nil
	}
	return p.members[i]
}

func absence(v View, node string) string {
	if _, here := v.Member(node); here {
		return node + " has weight 0"
	}
	return node + " is not a member"
}

// settle gives away the shards that are not pinned. Each asks its cheapest
// candidate; one that is full keeps the cheapest and sends one on to its next
// choice. Shards and nodes look at the same costs, so exactly one outcome leaves no shard and node that both prefer each
// other to what they have, and it comes out whoever asks first: it is what taking
// all pairs from the cheapest to the costliest would give (Gale and Shapley, 1962).
//
// Nobody is left over: the caps add up to at least the number of shards, and a pin
// takes one from both.
func (p *place) settle() {
	if len(p.candidates) == 0 {
		return
	}
	for shard := range p.owner {
		for asking := p.ask(claim{shard: shard}); asking.shard >= 0; {
			asking = p.ask(asking)
		}
	}
	for _, c := range p.candidates {
		for _, k := range c.kept {
			p.owner[k.shard] = c
		}
	}
}

// ask lets a shard go to its cheapest candidate after the one that sent it on, and
// returns whom that sends on in turn, or a shard of −1.
func (p *place) ask(from claim) claim {
	if p.pinned[from.shard] {
		return claim{shard: -1}
	}
	c, cost := p.next(from)
	c.kept.push(claim{shard: from.shard, cost: cost, node: c.node})
	if len(c.kept)+c.pinned <= c.cap {
		return claim{shard: -1}
	}
	return c.kept.pop()
}

// next finds the cheapest candidate with room for any shard that comes after a given pair.
func (p *place) next(after claim) (best *candidate, least uint64) {
	for _, c := range p.candidates {
		if c.pinned >= c.cap {
			continue
		}
		cost := weighted(c.logs[after.shard], c.inverse)
		if after.node != "" && (cost < after.cost || cost == after.cost && c.node <= after.node) {
			continue
		}
		if best == nil || cost < least {
			best, least = c, cost
		}
	}
	return best, least
}

// placements adds the reasons.
func (p *place) placements() []Placement {
	list := make([]Placement, p.shards)
	for shard, c := range p.owner {
		list[shard] = p.explain(shard, c)
		list[shard].Ignored = p.ignored[shard]
	}
	return list
}

func (p *place) explain(shard int, owner *candidate) Placement {
	if owner == nil {
		return Placement{Reason: Nowhere}
	}
	if p.pinned[shard] {
		return Placement{Node: owner.node, Reason: ByPin}
	}
	if p.allDrained {
		return Placement{Node: owner.node, Reason: AllDrained}
	}
	home, preferred := p.choices(shard)
	switch {
	case owner == home:
		return Placement{Node: owner.node, Reason: ByRendezvous}
	case home.away != 0:
		return Placement{Node: owner.node, Reason: home.away, Instead: home.node}
	case owner == preferred:
		return Placement{Node: owner.node, Reason: ByVersion, Instead: home.node}
	}
	return Placement{Node: owner.node, Reason: ByCap, Instead: preferred.node}
}

// choices are a shard's first among all members with weight, as if none were away or
// newer, and its first among the candidates, as if none were full.
func (p *place) choices(shard int) (home, preferred *candidate) {
	var homeCost, preferredCost uint64
	for _, c := range p.members {
		log := c.logs[shard]
		if cost := weighted(log, c.plain); home == nil || cost < homeCost {
			home, homeCost = c, cost
		}
		if c.away != 0 {
			continue
		}
		if cost := weighted(log, c.inverse); preferred == nil || cost < preferredCost {
			preferred, preferredCost = c, cost
		}
	}
	return home, preferred
}

// claim is a shard that asks for a place, with what it costs at a node.
type claim struct {
	shard int
	cost  uint64
	node  string
}

// claims is a heap with the costliest claim on top.
type claims []claim

func (c *claims) push(x claim) { heap.Push(c, x) }
func (c *claims) pop() claim   { return heap.Pop(c).(claim) }

func (c claims) Len() int { return len(c) }
func (c claims) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(c[i].cost, c[j].cost), cmp.Compare(c[i].shard, c[j].shard)) > 0
}
func (c claims) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *claims) Push(x any)   { *c = append(*c, x.(claim)) }
func (c *claims) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}
