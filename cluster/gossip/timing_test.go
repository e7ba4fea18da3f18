package gossip_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

// timing is one way to set the detection of failures.
type timing struct {
	interval, timeout time.Duration
	factor            int
}

func (s timing) String() string {
	return fmt.Sprintf("%d/%d ms × %d", s.interval.Milliseconds(), s.timeout.Milliseconds(), s.factor)
}

func (s timing) of(network *gossip.Network, i int) gossip.Config {
	c := configOf(network, i)
	c.ProbeInterval, c.ProbeTimeout, c.SuspicionFactor = s.interval, s.timeout, s.factor
	return c
}

// TestDetectionIsMeasured prints the table of the package's documentation. It is run on request only:
//
//	SKERRY_MEASURE=1 go test -run Measured -v ./cluster/gossip
func TestDetectionIsMeasured(t *testing.T) {
	if os.Getenv("SKERRY_MEASURE") == "" {
		t.Skip("SKERRY_MEASURE is not set: this prints figures and checks nothing")
	}
	for _, s := range []timing{
		{400 * time.Millisecond, 200 * time.Millisecond, 3},
		{500 * time.Millisecond, 250 * time.Millisecond, 3},
		{400 * time.Millisecond, 200 * time.Millisecond, 4},
		{300 * time.Millisecond, 150 * time.Millisecond, 3},
	} {
		for _, nodes := range []int{3, 5, 10} {
			first, all := silentDeaths(t, s, nodes, 30)
			lossy := losses(t, s, nodes, func() gossip.Link { return newLossy(0.05) })
			stalled := losses(t, s, nodes, newStalling)
			t.Logf("%s, %2d nodes: first %v median, %v worst; all %v median, %v worst; lost in 20 min: %d with 5 %% loss, %d with stalls",
				s, nodes, median(first), first[len(first)-1], median(all), all[len(all)-1], lossy, stalled)
		}
	}
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

// silentDeaths tells when the first and the last survivor missed a process, in each of some runs.
func silentDeaths(t *testing.T, s timing, nodes, runs int) (first, all []time.Duration) {
	for range runs {
		bubble(t, func(t *testing.T) {
			network := gossip.NewNetwork(func(string, string) (time.Duration, bool) { return time.Millisecond, true })
			group := startTimed(t, s, network, nodes)
			time.Sleep(time.Second + rand.N(time.Second)) // at any moment between two probes
			died := time.Now()
			isolate(network, group[0].Address(), group[1:])
			missed := 0
			for missed < nodes-1 {
				time.Sleep(10 * time.Millisecond)
				before := missed
				missed = 0
				for _, p := range group[1:] {
					if has(p.Membership().Lost, group[0].self.Incarnation) {
						missed++
					}
				}
				if before == 0 && missed > 0 {
					first = append(first, time.Since(died))
				}
			}
			all = append(all, time.Since(died))
		})
	}
	for _, list := range [][]time.Duration{first, all} {
		slices.Sort(list)
	}
	return first, all
}

func startTimed(t *testing.T, s timing, network *gossip.Network, nodes int) []*process {
	t.Helper()
	group := make([]*process, nodes)
	for i := range group {
		group[i] = start(t, s.of(network, i+1))
		if _, err := group[i].Join(t.Context(), []string{group[0].Address()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range group {
		p.await(t, "all are members", func(m cluster.Membership) bool { return len(m.Members) == nodes })
	}
	return group
}

// watchFor is how long it is watched whether anybody is missed who lives.
const watchFor = 20 * time.Minute

// losses counts how often any node takes another one for lost while all live.
func losses(t *testing.T, s timing, nodes int, link func() gossip.Link) (lost int) {
	bubble(t, func(t *testing.T) {
		group := startTimed(t, s, gossip.NewNetwork(link()), nodes)
		var watchers sync.WaitGroup
		var mu sync.Mutex
		end := time.Now().Add(watchFor)
		for _, p := range group {
			watchers.Go(func() {
				missing := 0
				for timer := time.NewTimer(time.Until(end)); ; {
					select {
					case <-p.Changed():
						now := len(p.Membership().Lost)
						mu.Lock()
						lost += max(0, now-missing)
						mu.Unlock()
						missing = now
					case <-timer.C:
						return
					}
				}
			})
		}
		watchers.Wait()
	})
	return lost
}

// newStalling has each process stand still for 300 to 800 ms in every 5 s: nothing leaves it and nothing reaches it meanwhile,
// as when its machine has no time for it.
func newStalling() gossip.Link {
	return func(from, to string) (time.Duration, bool) {
		now := time.Now()
		return time.Millisecond + max(stallOf(from, now), stallOf(to, now)), true
	}
}

// stallOf is how long a process stands still from now on.
func stallOf(address string, now time.Time) time.Duration {
	const every = 5 * time.Second
	shifted := now.Add(time.Duration(hashOf(address, 0) % uint64(every)))
	at := shifted.Sub(shifted.Truncate(every))
	length := 300*time.Millisecond + time.Duration(hashOf(address, shifted.Truncate(every).Unix())%uint64(500*time.Millisecond))
	return max(0, length-at)
}

func hashOf(address string, number int64) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, address, number)
	return h.Sum64()
}
