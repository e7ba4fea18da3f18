package entity_test

import (
	"context"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

func TestAHostOutlivesTheNodesOfItsJournal(t *testing.T) {
	launch.Long(t)
	cluster := launch.ForTest(t, launch.Config{Nodes: 3, SyncCommits: true, HeapMiB: 384})
	t.Run("which each hold everything", func(t *testing.T) { nodesWithEverything(t, cluster) })
	t.Run("which each hold a part", func(t *testing.T) { nodesWithParts(t, cluster) })
}

// One host serves callers from three nodes that each hold everything. One freezes, dies; then another dies;
// both come back. Nothing that was answered is lost, and nobody touches the host.
func nodesWithEverything(t *testing.T, cluster *launch.Cluster) {
	cfg := cassandra.Config{Hosts: cluster.Hosts(), Keyspace: "nodes", CreateSchema: true, BucketBytes: 200_000}
	truth, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = truth.Close() }() // what counts was read
	n := &nodes{t: t, cluster: cluster, duel: newDuel(duelPlan{
		owners: 1, callers: 48, entities: 24, shards: 8, patience: patience,
		journal: func(int) (journal.Journal, error) { return cassandra.Open(t.Context(), cfg) },
	})}
	n.during(t.Context(), n.suffer)
	n.judge(t, truth)
}

// nodes is a cluster and the callers of a host that lives on it.
type nodes struct {
	*duel
	t       *testing.T
	cluster *launch.Cluster
}

// nodesPatience bounds what three nodes, all on one busy machine, are waited for.
const nodesPatience = 6 * time.Minute

// enough is how many more commands must get their final answer before a host counts as going on.
const enough = 300

func (n *nodes) suffer(ctx context.Context) {
	node := n.cluster.Nodes
	n.goesOn(ctx, "three nodes")
	if err := node[1].Pause(); err != nil {
		n.t.Error(err)
	}
	n.goesOn(ctx, "one node is frozen")
	if err := node[1].Resume(); err != nil {
		n.t.Error(err)
	}
	n.goesOn(ctx, "it goes on")
	node[1].Kill()
	n.goesOn(ctx, "it is dead")
	node[2].Kill()
	n.stands(ctx)
	for _, dead := range node[1:] {
		if err := dead.Restart(ctx); err != nil {
			n.t.Error(err)
		}
	}
	n.goesOn(ctx, "all are back")
}

// goesOn waits until commands are answered again, and tells the longest time in which none was. Only that they are is
// asserted: how long it takes is the machine's.
func (n *nodes) goesOn(ctx context.Context, when string) {
	ctx, cancel := context.WithTimeout(ctx, nodesPatience)
	defer cancel()
	from, _, unsure := n.book.progress()
	for {
		final, _, unknown := n.book.progress()
		if final >= from+enough {
			n.t.Logf("%s: %d more commands answered; the longest time without an answer was %s; %d attempts ended unknown",
				when, final-from, n.book.longestGap().Round(time.Millisecond), unknown-unsure)
			return
		}
		select {
		case <-ctx.Done():
			n.t.Errorf("%s: only %d more commands were answered", when, final-from)
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// stands waits until nothing is answered any more, and callers hear that their commands have not run.
func (n *nodes) stands(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, nodesPatience)
	defer cancel()
	for {
		before, refused, _ := n.book.progress()
		select {
		case <-ctx.Done():
			n.t.Error("two of three nodes are dead, and either commands are answered or nobody is told that his is not")
			return
		case <-time.After(3 * time.Second): // longer than any request to the database
		}
		after, more, _ := n.book.progress()
		if after == before && more > refused {
			n.t.Logf("no quorum: %d attempts unavailable in 3 s, none answered", more-refused)
			return
		}
	}
}
