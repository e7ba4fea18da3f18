package cluster_test

import (
	"slices"
	"testing"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/journal"
)

func TestLivingListsTheNodesThatRunOnAJournal(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 4}
	rows := w.journal.(journal.Witnesses)
	if nodes, err := cluster.Living(t.Context(), rows); err != nil || len(nodes) != 0 {
		t.Errorf("on a fresh journal: %v, %v", nodes, err)
	}
	a, b := w.start("a"), w.start("b")
	awaitOwners(t, w.shards, a, b)
	if nodes, err := cluster.Living(t.Context(), rows); err != nil || !slices.Equal(nodes, []string{"a", "b"}) {
		t.Errorf("while two run: %v, %v", nodes, err)
	}
	b.Crash()
	if nodes, err := cluster.Living(t.Context(), rows); err != nil || !slices.Equal(nodes, []string{"a"}) {
		t.Errorf("when one has crashed: %v, %v", nodes, err)
	}
}
