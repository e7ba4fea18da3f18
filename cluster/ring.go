package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// A process that ends has its connections end, which shows within milliseconds and long before gossip is
// sure. But only who has a connection sees it, and nodes that nobody asks have none. So each member keeps a connection
// to the next ones in a ring of all, and who sees one of them end has the others look for themselves.

const (
	// ringWidth is how many members each one watches: it takes as many that end at the same moment for gossip to be
	// the first to know.
	ringWidth = 2
	// ringPause is the time between two looks; it is shorter than the transport keeps a connection that is not used.
	ringPause = 20 * time.Second
	// ringPatience bounds one look.
	ringPatience = 2 * time.Second
)

// ring returns the members that a process watches: those whose incarnations follow its own.
func ring(members []Member, self string) []Member {
	others := slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Incarnation == self })
	slices.SortFunc(others, func(a, b Member) int {
		before := func(m Member) int { return cmp.Compare(self, m.Incarnation) } // -1: it follows self
		return cmp.Or(cmp.Compare(before(a), before(b)), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return others[:min(ringWidth, len(others))]
}

// watchRing looks for the members that this node watches, and reads their clocks. Who is gone or silent the transport tells.
func (n *Node) watchRing(v View) {
	n.ring = map[string]bool{}
	for _, m := range ring(v.members, n.self.Incarnation) {
		n.ring[m.Incarnation] = true
		peer := transport.Peer{Node: m.Incarnation, Address: m.Peer}
		n.serving.Go(func() { n.askClock(peer) })
	}
}

// lookFor asks a process whether it is there.
func (n *Node) lookFor(incarnation string) {
	peer, ok := n.routes.peer(incarnation)
	if !ok || incarnation == n.self.Incarnation {
		return
	}
	n.serving.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, ringPatience)
		defer cancel()
		_ = transport.Check(ctx, n.transport, peer) // what comes of it is told to Config.Gone
	})
}

// tellGone has the others look for a process that this node watched and that has ended.
func (n *Node) tellGone(incarnation string) {
	if n.ring[incarnation] {
		n.send(mail{subject: subjectGone}, []*wirev1.Claim{{Owner: incarnation}})
	}
}

// lookForAll looks for processes that another node says have ended.
func (n *Node) lookForAll(ended []*wirev1.Claim) {
	for _, c := range ended[:min(len(ended), ringWidth)] {
		n.lookFor(c.GetOwner())
	}
}
