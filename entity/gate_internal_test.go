package entity

import (
	"sync"
	"testing"
)

func TestSlowRecoveriesGiveTheirPlaceToOthers(t *testing.T) {
	t.Parallel()
	slow := &gate{free: 1}
	g := &gate{free: 2, slow: slow}
	release := make(chan struct{})
	var all sync.WaitGroup
	all.Add(7)
	for range 6 {
		g.enter(true, func() { defer all.Done(); <-release })
	}
	quick := make(chan struct{})
	g.enter(true, func() { defer all.Done(); close(quick) })
	<-quick // or never
	close(release)
	all.Wait()
	for _, x := range []struct {
		g    *gate
		want int
	}{{g, 2}, {slow, 1}} {
		eventuallyFree(t, x.g, x.want)
	}
}

// eventuallyFree waits until a gate has its places back: enough functions that wait for each other must get in.
func eventuallyFree(t *testing.T, g *gate, want int) {
	t.Helper()
	var met sync.WaitGroup
	met.Add(want)
	var done sync.WaitGroup
	for range want {
		done.Add(1)
		g.enter(false, func() { defer done.Done(); met.Done(); met.Wait() })
	}
	done.Wait()
}

func TestTooManySlowRecoveriesKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	g := &gate{free: 1}
	taken := 0
	for g.takeOver() {
		if taken++; taken > 2*maxSlow {
			t.Fatal("it takes over without bound")
		}
	}
	if taken != maxSlow+1 {
		t.Errorf("it took over %d, of which %d more than it has places", taken, maxSlow)
	}
	ran := false
	g.enter(true, func() { ran = true })
	for range taken - 1 {
		if g.next() != nil {
			t.Fatal("what waits goes before there is room")
		}
	}
	if f := g.next(); f == nil {
		t.Error("what waits does not go when there is room")
	} else if f(); !ran {
		t.Error("something else runs")
	}
}
