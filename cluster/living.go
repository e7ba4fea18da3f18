package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// livingPause is how long Living watches for a row to be put again: longer than two beats.
const livingPause = 1200 * time.Millisecond

// Living lists the nodes of a cluster that run on a journal now: those whose rows there are renewed while it
// watches, which takes 1.2 s if there are any rows. Who wants to run alone on a journal that others can reach asks before: it
// would take the shards of a living cluster, and lose them again.
func Living(ctx context.Context, in journal.Witnesses) ([]string, error) {
	before, err := in.Witnesses(ctx)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	select {
	case <-time.After(livingPause):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	after, err := in.Witnesses(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, w := range after {
		if slices.ContainsFunc(before, func(o Witness) bool {
			return o.Address == w.Address && o.Incarnation == w.Incarnation && o.Beat != w.Beat
		}) {
			nodes = append(nodes, w.Address)
		}
	}
	return nodes, nil
}

// lookForStrangers tells, once, of nodes that live on the journal and that gossip does not know: a forgotten seed, or another
// cluster's name.
func (n *Node) lookForStrangers() {
	nodes, err := Living(n.ctx, n.cfg.Host.Journal.(journal.Witnesses))
	if err != nil {
		return // the pulse tells that the journal is away
	}
	known := n.gossip.Membership()
	strangers := slices.DeleteFunc(nodes, func(node string) bool {
		same := func(m Member) bool { return m.Node == node }
		return node == n.self.Node || slices.ContainsFunc(known.Members, same) || slices.ContainsFunc(known.Lost, same)
	})
	if len(strangers) > 0 {
		n.log.Warn("other nodes live on this journal and gossip does not know them: this node gets no shard of theirs; are the seeds (-join) missing, or is the cluster's name another?",
			"nodes", strangers)
	}
}
