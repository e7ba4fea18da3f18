package cluster_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// intruded is two nodes, a and b, of a cluster in whose network others speak too.
func intruded(t *testing.T, test func(t *testing.T, i *island, a, b *cluster.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := &island{journal: journal.NewMemory(), gossip: gossip.NewNetwork(nil), peers: transport.NewMemory()}
		a, b := i.start(t, "a", 1), i.start(t, "b", 2)
		defer time.Sleep(10 * time.Second) // what libraries leave behind ends by itself
		defer stopNode(t, a)
		defer stopNode(t, b)
		awaitOwners(t, 8, a, b)
		time.Sleep(5 * time.Second)
		test(t, i, a, b)
	})
}

// intruder is a program that speaks as nodes do, under any name. It tells b.
func (i *island) intruder(t *testing.T, name, address string, like *cluster.Node) func(subject, origin string, message proto.Message) error {
	t.Helper()
	e, err := i.peers.Listen(transport.Config{
		Node: name, Advertise: address, Cluster: "skerry", History: like.Feed().History(), Shards: like.Feed().Shards(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return func(subject, origin string, message proto.Message) error {
		payload, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		return transport.Ask(t.Context(), e, transport.Peer{Address: "10.0.0.2:7947"}, &transport.Envelope{
			Subject: subject, Origin: origin, Remaining: time.Second, Request: entity.Request{Payload: payload},
		}).Err
	}
}

// farHeads says of all shards that they have come very far.
func farHeads(epoch uint64) *wirev1.Heads {
	heads := &wirev1.Heads{}
	for number := range uint32(8) {
		head := journal.Header{Number: math.MaxUint64 - 1, Epoch: epoch}
		heads.Heads = append(heads.Heads, &wirev1.Head{Shard: number, Header: journal.NewRecord(head, nil).Body})
	}
	return heads
}

func TestOnlyMembersAreToldHowFarShardsAre(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, i *island, a, b *cluster.Node) {
		tell := i.intruder(t, "intruder", "10.0.0.66:7947", b)
		for _, origin := range []string{"", "ghost-1", "ghost-2"} {
			if err := tell("skerry/watch", origin, &wirev1.Heads{}); !errors.Is(err, entity.ErrUnavailable) {
				t.Errorf("a process that is no member and asks as %q is answered %v", origin, err)
			}
		}
		if err := tell("skerry/watch", a.Incarnation(), &wirev1.Heads{}); err != nil {
			t.Errorf("a member that asks through another process is answered %v", err)
		}
	})
}

func TestHeadsAreBelievedOfTheOwnerOnly(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, i *island, a, b *cluster.Node) {
		defer b.Feed().Watch(func(uint32) {})()
		tell := i.intruder(t, "intruder", "10.0.0.66:7947", b)
		if err := tell("skerry/heads", "", farHeads(9)); err != nil {
			t.Fatal(err)
		}
		if err := tell("skerry/heads", b.Incarnation(), farHeads(1)); err != nil { // a member that has none of those shards
			t.Fatal(err)
		}
		for number := range uint32(8) {
			if head, _ := b.Feed().Head(number); head.Number >= math.MaxUint64/2 {
				t.Errorf("shard %d has come to record %d, says somebody", number, head.Number)
			}
		}
	})
}

// Whoever may be the owner can be wrong, or another under its name: who reads finds out, and hears what comes next.
func TestAHeadThatIsNotInTheLogIsTakenBackWhenItIsReadFor(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, i *island, a, b *cluster.Node) {
		r := startFollow(t, &world{shards: 8}, b)
		if err := i.intruder(t, a.Incarnation(), "10.0.0.66:7947", b)("skerry/heads", "", farHeads(1)); err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for number := range uint32(8) {
			end, err := i.journal.Head(t.Context(), number)
			if err != nil {
				t.Fatal(err)
			}
			head, _ := b.Feed().Head(number)
			if head.Number == math.MaxUint64-1 {
				wrong++
			}
			if found, err := b.Feed().Records(t.Context(), number, end.Last.Number+1, 1<<20); err != nil || len(found) != 0 {
				t.Errorf("shard %d has %d records after its last: %v", number, len(found), err)
			}
			if head, _ := b.Feed().Head(number); head.Number != end.Last.Number {
				t.Errorf("shard %d is at record %d, want %d", number, head.Number, end.Last.Number)
			}
		}
		if wrong == 0 {
			t.Fatal("no head was forged: nothing was tried")
		}
		for e := range 64 {
			if _, err := add.Ask(t.Context(), counters.Ref(a, fmt.Sprint("c", e)), wrapperspb.Int64(1)); err != nil {
				t.Fatal(err)
			}
		}
		r.readAll(a, b)
	})
}

// While the loop does not come to look, what one process says takes so much memory and no more; and what others say is taken in.
func TestMessagesThatNobodyLooksAtAreBounded(t *testing.T) {
	t.Parallel()
	intruded(t, func(t *testing.T, i *island, a, b *cluster.Node) {
		looks, stay := make(chan struct{}), make(chan struct{})
		held := make(chan error, 1)
		go func() { held <- b.InLoop(t.Context(), func() { close(looks); <-stay }) }()
		<-looks
		tell := i.intruder(t, "intruder", "10.0.0.66:7947", b)
		claims := &wirev1.Claims{Claims: []*wirev1.Claim{{Shard: 99}}}
		taken := 0
		for ; taken < 10_000; taken++ {
			if err := tell("skerry/owned", "", claims); errors.Is(err, entity.ErrBusy) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if taken < 100 || taken > 1000 {
			t.Errorf("%d messages were taken in", taken)
		}
		if err := tell("skerry/orders", "", claims); !errors.Is(err, entity.ErrBusy) {
			t.Errorf("the next one about orders is answered %v", err)
		}
		if err := i.intruder(t, a.Incarnation(), "10.0.0.67:7947", b)("skerry/owned", "", claims); err != nil {
			t.Errorf("one of a member is answered %v", err)
		}
		close(stay)
		if err := <-held; err != nil {
			t.Fatal(err)
		}
		if err := b.InLoop(t.Context(), func() {}); err != nil {
			t.Fatal(err)
		}
		if err := tell("skerry/owned", "", claims); err != nil {
			t.Errorf("when all were looked at the next one is answered %v", err)
		}
		large := &wirev1.Claims{Claims: []*wirev1.Claim{{Owner: strings.Repeat("x", 128<<10)}}}
		if err := tell("skerry/owned", "", large); !errors.Is(err, entity.ErrBusy) {
			t.Errorf("a large one is answered %v", err)
		}
		for _, subject := range []string{"skerry/yield", "skerry/yielded", "skerry/gone"} {
			if err := tell(subject, "", claims); !errors.Is(err, entity.ErrUnavailable) {
				t.Errorf("%s of a process that is no member is answered %v", subject, err)
			}
		}
	})
}
