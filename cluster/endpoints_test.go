package cluster_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/journal"
)

func TestEachNodeTellsWhereTheServiceAnswers(t *testing.T) {
	t.Parallel()
	w := &world{t: t, journal: journal.NewMemory(), shards: 16}
	a, b := w.start("a"), w.start("b")
	w.start("c") // tells nothing
	for node, api := range map[*cluster.Node]string{a: "10.0.0.1:80", b: "10.0.0.2:80"} {
		if err := node.AnswersAt(api); err != nil {
			t.Fatal(err)
		}
	}
	on := func(n *cluster.Node) func() ([]string, error) {
		return func() ([]string, error) { return n.Endpoints(t.Context()) }
	}
	are := func(want ...string) func([]string) bool {
		return func(got []string) bool { return slices.Equal(got, want) }
	}
	for _, n := range []*cluster.Node{a, b} {
		eventually(t, "both doors", on(n), are("10.0.0.1:80", "10.0.0.2:80"))
	}
	if err := b.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the door of the node that stays", on(a), are("10.0.0.1:80"))
	if err := a.AnswersAt(""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no door", on(b), are())
	if err := a.AnswersAt(strings.Repeat("x", 200)); err == nil || !strings.Contains(err.Error(), "200 bytes") {
		t.Errorf("a long address: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := a.Endpoints(ended); err == nil {
		t.Errorf("asked in vain, and told %v", got)
	}
}
