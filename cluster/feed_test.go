package cluster_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// island is two nodes on fake time, on networks that can be cut.
type island struct {
	journal *journal.Memory
	gossip  *gossip.Network
	peers   *transport.Memory
}

func (i *island) start(t *testing.T, name string, number int) *cluster.Node {
	t.Helper()
	at := func(port int) string { return fmt.Sprintf("10.0.0.%d:%d", number, port) }
	n, err := cluster.Start(t.Context(), cluster.Config{
		Name: name, Seeds: []string{"10.0.0.1:7946"}, Logger: slog.New(slog.DiscardHandler),
		Host: entity.Config{Journal: i.journal, Types: []entity.Definition{counters}, Shards: 8},
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			return gossip.Start(gossip.Config{Identity: id, Self: self, Bind: at(7946), Network: i.gossip, Logger: slog.New(slog.DiscardHandler)})
		},
		Transport: func(c transport.Config) (transport.Transport, error) {
			c.Advertise = at(7947)
			return i.peers.Listen(c)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who is cut off from an owner, but not from the journal, reads there what the owner writes.
func TestAReaderThatIsCutOffReadsTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &island{journal: journal.NewMemory(), gossip: gossip.NewNetwork(nil), peers: transport.NewMemory()}
		a, b := i.start(t, "a", 1), i.start(t, "b", 2)
		defer time.Sleep(10 * time.Second) // what libraries leave behind ends by itself
		defer stopNode(t, a)
		defer stopNode(t, b)
		awaitOwners(t, 8, a, b)
		r := startFollow(t, &world{shards: 8}, b)
		for _, way := range [][2]string{{"1", "2"}, {"2", "1"}} {
			from, to := "10.0.0."+way[0], "10.0.0."+way[1]
			i.gossip.Cut(from+":7946", to+":7946")
			i.peers.Cut(from+":7947", to+":7947")
		}
		for e := range 16 { // a serves what it has, and asks in vain for what b has
			counter := counters.Ref(a.Host(), fmt.Sprint("c", e))
			_, _ = add.Ask(t.Context(), counter, wrapperspb.Int64(1))
		}
		time.Sleep(time.Minute)
		r.readAll(a, b)
		if len(r.seen) != 8 {
			t.Errorf("%d of 8 shards were read", len(r.seen))
		}
		for number := range uint32(8) {
			if head, err := i.journal.Head(t.Context(), number); err != nil || r.seen[number] != head.Last.Number {
				t.Errorf("shard %d was read up to record %d, it ends with record %d: %v", number, r.seen[number], head.Last.Number, err)
			}
		}
	})
}
