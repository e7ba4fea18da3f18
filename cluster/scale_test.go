package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// crowd is many processes that gossip, on fake time: what each knows, and what it makes of that.
type crowd struct {
	t       *testing.T
	network *gossip.Network
	id      cluster.Identity
	all     []*gossip.Gossip
}

func newCrowd(t *testing.T, shards, count int) *crowd {
	t.Helper()
	c := &crowd{
		t: t, network: gossip.NewNetwork(func(string, string) (time.Duration, bool) { return time.Millisecond, true }),
		id: cluster.Identity{Cluster: "harbour", History: "h1", Shards: shards},
	}
	for range count {
		c.join()
	}
	return c
}

// join adds a process, which knows the first two.
func (c *crowd) join() *gossip.Gossip {
	c.t.Helper()
	i := len(c.all) + 1
	node := fmt.Sprintf("n%d", i)
	g, err := gossip.Start(gossip.Config{
		Identity: c.id, Network: c.network, Bind: fmt.Sprintf("10.0.%d.%d:7946", i/250, i%250+1), Logger: slog.New(slog.DiscardHandler),
		Self: cluster.Member{
			Node: node, Incarnation: cluster.NewIncarnation(node), Peer: fmt.Sprintf("%s.harbour.example:7947", node),
			Version: "1.0.0", Weight: 1, StartedMillis: time.Now().UnixMilli(), Ready: true,
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, seed := range c.all[:min(len(c.all), 2)] {
		if _, err := g.Join(c.t.Context(), []string{seed.Address()}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.all = append(c.all, g)
	return g
}

// close ends all. In the end memberlist's probes run out: time stands still as soon as the test is over.
func (c *crowd) close() {
	for _, g := range c.all {
		_ = g.Close()
	}
	time.Sleep(5 * time.Second)
}

func (c *crowd) view(g *gossip.Gossip) cluster.View {
	return cluster.NewView(c.id).WithMembers(g.Membership().Members)
}

// agree waits until all have the same view, and returns how long that took.
func (c *crowd) agree(count int) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !c.agreed(count) {
		if time.Since(began) > 20*time.Second {
			c.t.Fatalf("after 20 s %d processes have not one view of %d", len(c.all), count)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

func (c *crowd) agreed(count int) bool {
	for _, g := range c.all {
		if len(g.Membership().Members) != count {
			return false
		}
	}
	first := c.view(c.all[0])
	for _, g := range c.all[1:] {
		if !c.view(g).Equal(first) {
			return false
		}
	}
	return true
}

func (c *crowd) sent() (sum gossip.Traffic) {
	for _, g := range c.all {
		s := c.network.Sent(g.Address())
		sum = gossip.Traffic{Packets: sum.Packets + s.Packets, Streams: sum.Streams + s.Streams, Bytes: sum.Bytes + s.Bytes}
	}
	return sum
}

// TestManyNodesAgreeMoveLittleAndSayNoMore goes from 25 to 200 nodes: all come to one view and so to one table, a node that
// comes or goes moves little more than it must, and what a node sends does not grow with their number.
func TestManyNodesAgreeMoveLittleAndSayNoMore(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this simulates up to 200 nodes")
	}
	const shards = 1024
	settle, quiet := 40*time.Second, 30*time.Second
	if os.Getenv("SKERRY_MEASURE") != "" { // long enough for each to compare all it knows with another one now and then
		settle, quiet = 3*time.Minute, 4*time.Minute
	}
	counts := []int{25, 50, 100, 200}
	if underRace { // it would take minutes, and shows nothing about races that a few do not
		counts = counts[:2]
	}
	packets, bytes := map[int]float64{}, map[int]float64{}
	for _, count := range counts {
		synctest.Test(t, func(t *testing.T) {
			c := newCrowd(t, shards, count)
			defer c.close()
			started := c.agree(count)
			time.Sleep(settle) // news of the start has been told by now
			before := c.sent()
			time.Sleep(quiet)
			after := c.sent()
			each := quiet.Seconds() * float64(count)
			packets[count], bytes[count] = float64(after.Packets-before.Packets)/each, float64(after.Bytes-before.Bytes)/each

			first := cluster.Place(c.view(c.all[0]))
			c.join()
			joined := c.agree(count + 1)
			second := cluster.Place(c.view(c.all[count]))
			came := ratio(second.MovesFrom(first), second.Held(fmt.Sprintf("n%d", count+1)))
			if err := c.all[1].Leave(context.Background()); err != nil {
				t.Error(err)
			}
			_ = c.all[1].Close()
			c.all = slices.Delete(c.all, 1, 2)
			left := c.agree(count)
			third := cluster.Place(c.view(c.all[0]))
			went := ratio(third.MovesFrom(second), second.Held("n2"))
			t.Logf("%d nodes: one view %v after the last joined (then %v after one came, %v after one left); each sends %.1f packets and %.0f bytes a second, %.3f streams; moves ÷ minimum: %.2f and %.2f",
				count, started, joined, left, packets[count], bytes[count], float64(after.Streams-before.Streams)/each, came, went)
			if came > 2 || went > 2 {
				t.Errorf("%d nodes: a node that comes moves %.2f × what it must, one that goes %.2f ×", count, came, went)
			}
		})
	}
	few, many := counts[0], counts[len(counts)-1]
	if packets[many] > 1.1*packets[few] || bytes[many] > 2*bytes[few] {
		t.Errorf("among %d a node sends %.1f packets and %.0f bytes a second, among %d %.1f and %.0f", many, packets[many], bytes[many], few, packets[few], bytes[few])
	}
}

func ratio(moves []cluster.Move, must []int) float64 {
	return float64(len(moves)) / float64(max(len(must), 1))
}

// TestIdleClusterIsMeasured prints what 20 nodes with 1,000 shards cost that have nothing to do. It is run on request only:
//
//	SKERRY_MEASURE=1 go test -run IdleCluster -v ./cluster
func TestIdleClusterIsMeasured(t *testing.T) {
	if os.Getenv("SKERRY_MEASURE") == "" {
		t.Skip("SKERRY_MEASURE is not set: this prints figures and checks nothing")
	}
	const count, shards, watched = 20, 1000, 20 * time.Second
	w := &world{t: t, journal: journal.NewMemory(), shards: shards}
	var all []*cluster.Node
	for i := range count {
		all = append(all, w.quietly(fmt.Sprintf("n%d", i+1)))
	}
	for end := time.Now().Add(time.Minute); ownedBy(all) < shards && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(75 * time.Second) // connections of the start, which are not used any more, have been closed by now
	before, began := cpu(t), time.Now()
	time.Sleep(watched)
	used, took := cpu(t)-before, time.Since(began)
	t.Logf("%d shards on %d idle nodes: %v of CPU in %v, %.2f %% of one core (%d shards served)",
		shards, count, used, took, 100*used.Seconds()/took.Seconds(), ownedBy(all))
}

// quietly starts a node that logs nothing.
func (w *world) quietly(name string) *cluster.Node {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	n, err := cluster.Start(w.t.Context(), cluster.Config{
		Name: name, Seeds: w.seeds, Logger: log,
		Host: entity.Config{Journal: w.journal, Types: []entity.Definition{counters}, Shards: w.shards},
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			g, err := gossip.Start(gossip.Config{Identity: id, Self: self, Logger: log})
			if err == nil && len(w.seeds) < 3 {
				w.seeds = append(w.seeds, g.Address())
			}
			return g, err
		},
		Transport: func(cfg transport.Config) (transport.Transport, error) { return transport.Listen(cfg) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { stopNode(w.t, n) })
	return n
}

// ownedBy counts the shards that the nodes serve.
func ownedBy(all []*cluster.Node) (owned int) {
	for _, n := range all {
		feed := n.Host().Feed()
		for number := range uint32(feed.Shards()) {
			if _, serves := feed.Head(number); serves {
				owned++
			}
		}
	}
	return owned
}

// cpu is what this process has used.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
