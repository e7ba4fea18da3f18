package gossip_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

func TestNodesFindEachOtherAndHearNews(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		all := startAll(t, gossip.NewNetwork(nil), 5)
		news := all[3].self
		news.Draining, news.Weight, news.JournalLost = true, 50, true
		if err := all[3].Announce(news); err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			p.await(t, "n4 is draining", func(m cluster.Membership) bool { return slices.Contains(m.Members, news) })
		}
		news.StartedMillis++
		if err := all[3].Announce(news); err == nil {
			t.Error("a process announced another start of itself")
		}
	})
}

// TestSilentDeathIsMissedSoon measures how long it takes until every survivor has
// missed a process that says nothing any more.
func TestSilentDeathIsMissedSoon(t *testing.T) {
	t.Parallel()
	for _, count := range []int{2, 3, 5, 10} {
		var took []time.Duration
		for range 10 {
			bubble(t, func(t *testing.T) {
				network := gossip.NewNetwork(func(string, string) (time.Duration, bool) { return time.Millisecond, true })
				all := startAll(t, network, count)
				time.Sleep(time.Second + rand.N(time.Second)) // at any moment between two probes
				died := time.Now()
				isolate(network, all[0].Address(), all[1:])
				for _, p := range all[1:] {
					p.await(t, "n1 is lost", func(m cluster.Membership) bool {
						return !has(m.Members, all[0].self.Incarnation) && has(m.Lost, all[0].self.Incarnation)
					})
				}
				took = append(took, time.Since(died))
			})
		}
		slices.Sort(took)
		t.Logf("%d nodes: all survivors miss it after %v in the median, %v at worst", count, took[len(took)/2], took[len(took)-1])
		if worst := took[len(took)-1]; worst > 6*time.Second {
			t.Errorf("%d nodes: it took %v until all missed it", count, worst)
		}
	}
}

// TestNobodyIsOverlookedAfterAStart: news that reaches all but one is as good as lost to that one until it next compares notes, a
// minute later perhaps. Nine at once are the hardest, since memberlist counts how often to tell by decimal digits.
func TestNobodyIsOverlookedAfterAStart(t *testing.T) {
	t.Parallel()
	const count, runs = 9, 25
	overlooked := 0
	for range runs {
		bubble(t, func(t *testing.T) {
			network := gossip.NewNetwork(func(string, string) (time.Duration, bool) { return time.Millisecond, true })
			all := make([]*process, count)
			for i := range all {
				all[i] = start(t, configOf(network, i+1))
				if _, err := all[i].Join(context.Background(), []string{all[0].Address(), all[min(i, 1)].Address()}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(5 * time.Second)
			for _, p := range all {
				overlooked += count - len(p.Membership().Members)
			}
		})
	}
	t.Logf("in %d starts of %d a process did not know another one after 5 s %d times", runs, count, overlooked)
	if overlooked > 1 { // chance has a part in it
		t.Errorf("in %d starts of %d a process did not know another one after 5 s %d times", runs, count, overlooked)
	}
}

func TestLeaveIsSeenAtOnceAndIsNoLoss(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		all := startAll(t, gossip.NewNetwork(nil), 5)
		began := time.Now()
		if err := all[2].Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, p := range append(all[:2:2], all[3:]...) {
			p.await(t, "n3 is gone", func(m cluster.Membership) bool { return !has(m.Members, all[2].self.Incarnation) })
			if lost := p.Membership().Lost; len(lost) > 0 {
				t.Errorf("%s takes it for lost: %v", p.self.Node, lost)
			}
		}
		t.Logf("gone everywhere after %v", time.Since(began))
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		all[2].close()
		if err := all[2].Leave(context.Background()); err == nil {
			t.Error("Leave after Close succeeded")
		}
	})
}

func TestQuickRestartIsAnotherProcess(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		all := startAll(t, network, 3)
		all[2].close()
		time.Sleep(50 * time.Millisecond)
		again := start(t, configOf(network, 3))
		if _, err := again.Join(context.Background(), []string{all[0].Address()}); err != nil {
			t.Fatal(err)
		}
		for _, p := range append(all[:2:2], again) {
			p.await(t, "the new process in place of the old one", func(m cluster.Membership) bool {
				if has(m.Members, again.self.Incarnation) && has(m.Members, all[2].self.Incarnation) {
					t.Errorf("%s sees both processes", p.self.Node)
				}
				return has(m.Members, again.self.Incarnation) && len(m.Members) == 3
			})
		}
		time.Sleep(10 * time.Second) // memberlist itself misses the old one only now
		for _, p := range append(all[:2:2], again) {
			if m := p.Membership(); len(m.Members) != 3 || len(m.Lost) > 0 || has(m.Members, all[2].self.Incarnation) {
				t.Errorf("%s knows %+v", p.self.Node, m)
			}
		}
	})
}

func TestSidesOfALongPartitionMeetAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		all := startAll(t, network, 5)
		for _, p := range all[:2] {
			isolate(network, p.Address(), all[2:])
		}
		for _, p := range all {
			p.await(t, "the other side is lost", func(m cluster.Membership) bool {
				return len(m.Members)+len(m.Lost) == 5 && len(m.Lost) >= 2
			})
		}
		time.Sleep(10 * time.Minute) // by now memberlist has forgotten the dead
		for _, p := range all[:2] {
			mend(network, p.Address(), all[2:])
		}
		healed := time.Now()
		for _, p := range all {
			p.await(t, "all are there again", func(m cluster.Membership) bool { return len(m.Members) == 5 && len(m.Lost) == 0 })
		}
		t.Logf("met again %v after the partition", time.Since(healed))
	})
}

// TestSidesWithoutALivingSeedMeetAgain: the only seed is gone for good, so each side
// must try whom it lost.
func TestSidesWithoutALivingSeedMeetAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		all := startAll(t, network, 4)
		all[0].close()
		all[1].close()
		isolate(network, all[2].Address(), all[3:])
		for _, p := range all[2:] {
			p.await(t, "it is alone", func(m cluster.Membership) bool { return len(m.Members) == 1 })
		}
		time.Sleep(5 * time.Minute)
		mend(network, all[2].Address(), all[3:])
		for _, p := range all[2:] {
			p.await(t, "two are there again", func(m cluster.Membership) bool { return len(m.Members) == 2 })
		}
	})
}

func TestPausedProcessThatWakesIsTheSameMemberAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		all := startAll(t, network, 3)
		isolate(network, all[2].Address(), all[:2])
		all[0].await(t, "n3 is lost", func(m cluster.Membership) bool { return has(m.Lost, all[2].self.Incarnation) })
		mend(network, all[2].Address(), all[:2])
		for _, p := range all {
			p.await(t, "three members, none lost", func(m cluster.Membership) bool { return len(m.Members) == 3 && len(m.Lost) == 0 })
		}
	})
}

func TestNodesThatStartBeforeTheirSeedsFindThem(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		seeds := []string{"10.0.0.1:7946", "10.0.0.5:7946"}
		var all []*process
		for i := range 5 {
			p := start(t, configOf(network, i+1))
			_, err := p.Join(context.Background(), seeds)
			if i == 1 && err != nil {
				t.Errorf("n2 did not join n1: %v", err)
			}
			all = append(all, p)
		}
		for _, p := range all {
			p.await(t, "all five", func(m cluster.Membership) bool { return len(m.Members) == 5 })
		}
	})
}

func TestLossyNetworkDelaysNewsAndLosesNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		all := startAll(t, gossip.NewNetwork(newLossy(0.05)), 6)
		news := all[5].self
		news.Draining = true
		if err := all[5].Announce(news); err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			p.await(t, "n6 is draining", func(m cluster.Membership) bool { return slices.Contains(m.Members, news) })
		}
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			for _, p := range all {
				if m := p.Membership(); len(m.Lost) > 0 {
					t.Fatalf("%s lost %v\n%s", p.self.Node, m.Lost, p.log)
				}
			}
		}
	})
}

// TestTrafficOfANodeDoesNotGrowWithTheCluster counts what each node of a quiet cluster sends.
func TestTrafficOfANodeDoesNotGrowWithTheCluster(t *testing.T) {
	t.Parallel()
	bytes := map[int]float64{}
	for _, count := range []int{5, 20} {
		bubble(t, func(t *testing.T) {
			network := gossip.NewNetwork(nil)
			all := startAll(t, network, count)
			time.Sleep(10 * time.Second)
			before := sent(network, all)
			time.Sleep(time.Minute)
			after := sent(network, all)
			perNode := 60 * float64(count)
			bytes[count] = float64(after.Bytes-before.Bytes) / perNode
			t.Logf("%d nodes: each sends %.1f packets, %.3f streams and %.0f bytes a second",
				count, float64(after.Packets-before.Packets)/perNode, float64(after.Streams-before.Streams)/perNode, bytes[count])
		})
	}
	if bytes[20] > 1.5*bytes[5] {
		t.Errorf("a node sends %.0f bytes a second among 20, %.0f among 5", bytes[20], bytes[5])
	}
}

func sent(network *gossip.Network, all []*process) (sum gossip.Traffic) {
	for _, p := range all {
		t := network.Sent(p.Address())
		sum = gossip.Traffic{Packets: sum.Packets + t.Packets, Streams: sum.Streams + t.Streams, Bytes: sum.Bytes + t.Bytes}
	}
	return sum
}

func TestCloseEndsAJoinUnderWay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		p := start(t, configOf(network, 1))
		done := make(chan error, 1)
		go func() {
			_, err := p.Join(context.Background(), []string{"10.0.0.9:7946", "10.0.0.8:7946"})
			done <- err
		}()
		synctest.Wait()
		p.close()
		if err := <-done; err == nil {
			t.Error("joined nobody without an error")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		other := start(t, configOf(network, 2))
		if _, err := other.Join(ctx, []string{"10.0.0.9:7946"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a join that was cancelled ended with %v", err)
		}
	})
}
