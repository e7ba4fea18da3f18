package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestACrowdBidsOnWhileNodesComeAndGo is what the cluster is for, with real processes on real databases: five nodes that
// start at once, and then whatever happens to nodes while callers bid. After each it is looked at
// everything. Without SKERRY_CLUSTER_ROUNDS, which says how often each thing happens, some things do, once; they come in
// the order of SKERRY_SEED. SKERRY_CLUSTER_ONLY picks those whose names contain it.
func TestACrowdBidsOnWhileNodesComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setSail(5)
	f.crowd.during(func() {})
	f.check()
	f.meet(fates)
	for _, s := range f.afloat()[1:] {
		f.berth(s)
	}
	f.awaitWhole()
	f.berth(f.afloat()[0]) // who is alone waits for nobody
}

// fate is something that happens to nodes.
type fate struct {
	name string
	// long keeps it for where there is time.
	long  bool
	comes func(*fleet)
}

// meet lets everything happen, and looks after each at what it has left.
func (f *fleet) meet(fates []fate) {
	f.t.Helper()
	rounds := clusterRounds(f.t)
	for range max(rounds, 1) {
		for _, i := range f.luck.Perm(len(fates)) {
			if fates[i].long && rounds == 0 || !strings.Contains(fates[i].name, os.Getenv("SKERRY_CLUSTER_ONLY")) {
				continue
			}
			f.t.Logf("now: %s", fates[i].name)
			f.crowd.during(func() { fates[i].comes(f) })
			f.check()
		}
	}
}

// clusterRounds is 0 for a short run.
func clusterRounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SKERRY_CLUSTER_ROUNDS")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SKERRY_CLUSTER_ROUNDS is %q: use 1 or more", text)
	}
	return n
}

// fates are what happens to nodes themselves.
var fates = []fate{
	{"a node is killed, and comes back", false, func(f *fleet) {
		s := f.any()
		f.sink(s)
		f.awaitWhole()
		f.replace(s)
		f.awaitWhole()
	}},
	{"two nodes are killed at once", true, func(f *fleet) {
		first := f.any()
		f.sink(first)
		second := f.any()
		f.sink(second)
		f.awaitWhole()
		f.replace(first)
		f.replace(second)
	}},
	{"a node is killed and is back before it is missed", true, func(f *fleet) {
		s := f.any()
		f.sink(s)
		f.replace(s)
	}},
	{"a node is paused for longer than it takes to notice, and goes on", false, func(f *fleet) { f.freeze(f.any()) }},
	{"a node is paused for a moment", true, func(f *fleet) { f.doze(f.any()) }},
	{"a node leaves, and another comes", true, func(f *fleet) {
		s := f.any()
		f.berth(s)
		f.replace(s)
		f.awaitWhole()
	}},
	{"all nodes are replaced, one by one", false, func(f *fleet) {
		for _, s := range f.afloat() {
			f.berth(s)
			f.replace(s)
			<-time.After(200 * time.Millisecond) // a controller that waits for readiness alone
		}
	}},
}
