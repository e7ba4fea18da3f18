package cluster_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

func healthOf(t *testing.T, n *cluster.Node, patience time.Duration) func() (entity.Health, error) {
	return func() (entity.Health, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return n.Health(ctx), nil
	}
}

func isReady(h entity.Health) bool { return len(h.Unready) == 0 && h.Journal.Age < time.Second }

func TestNodeIsUnreadyWhileItsJournalIsAway(t *testing.T) {
	t.Parallel()
	j := &frozen{Memory: journal.NewMemory()}
	w := &world{t: t, journal: j, shards: 4}
	a := w.start("a")
	health := healthOf(t, a, time.Second)
	eventually(t, "ready", health, isReady)
	j.set(true)
	eventually(t, "unready", health, func(h entity.Health) bool {
		return slices.Contains(h.Unready, "the node cannot write to the journal") && h.Journal.Age > time.Second && h.Stuck.Age < time.Second
	})
	j.set(false)
	eventually(t, "ready again", health, isReady)
	stopNode(t, a)
	if h, _ := health(); !slices.Contains(h.Unready, "the node has stopped") {
		t.Errorf("a node that has stopped tells %+v", h)
	}
}

func TestLoopThatDoesNotAnswerIsStuckSinceItWasAskedFirst(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, _ *island, a, _ *cluster.Node) { // so short a wait is for fake time
		brief := healthOf(t, a, 10*time.Millisecond)
		eventually(t, "ready", brief, isReady)
		entered, until, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			_ = a.InLoop(t.Context(), func() { close(entered); <-until })
		}()
		<-entered
		first, _ := brief()
		if !strings.Contains(first.Stuck.Of, "the loop") {
			t.Fatalf("asked first, it tells %+v", first)
		}
		for range 40 { // more than may be on their way
			if again, _ := brief(); again.Stuck.Age <= first.Stuck.Age {
				t.Fatalf("it is stuck for %v, then for %v", first.Stuck.Age, again.Stuck.Age)
			}
		}
		close(until)
		<-ended
		eventually(t, "ready again", brief, func(h entity.Health) bool { return isReady(h) && h.Stuck.Age == 0 })
	})
}
