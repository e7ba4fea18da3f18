package cluster_test

import (
	"slices"
	"testing"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/journal"
)

func TestLivingListsTheNodesThatRunOnAJournal(t *testing.T) {
	t.Parallel()
	if nodes, err := cluster.Living(t.Context(), journal.NewMemory()); err != nil || len(nodes) != 0 {
		t.Errorf("on a fresh journal: %v, %v", nodes, err)
	}
	intruded(t, func(t *testing.T, i *island, _, b *cluster.Node) {
		if nodes, err := cluster.Living(t.Context(), i.journal); err != nil || !slices.Equal(nodes, []string{"a", "b"}) {
			t.Errorf("while two run: %v, %v", nodes, err)
		}
		b.Crash()
		if nodes, err := cluster.Living(t.Context(), i.journal); err != nil || !slices.Equal(nodes, []string{"a"}) {
			t.Errorf("when one has crashed: %v, %v", nodes, err)
		}
	})
}
