package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// versions is a range of versions of what nodes say to each other, inclusive.
type versions struct{ min, max uint32 }

// spoken are those of this release. The oldest is dropped when no release needs it that a rolling update may come from.
var spoken = versions{1, 1}

// encodeMeta packs what a process says of itself. What does not fit into the 512
// bytes is refused; the limits of [cluster.Member] keep within them.
func encodeMeta(wire versions, id cluster.Identity, m cluster.Member) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	meta, err := proto.MarshalOptions{Deterministic: true}.Marshal(&wirev1.Member{
		WireMin: wire.min, WireMax: wire.max,
		Cluster: id.Cluster, History: id.History, Shards: uint32(id.Shards),
		Node: m.Node, Peer: m.Peer, Version: m.Version, Weight: uint32(m.Weight), StartedMs: m.StartedMillis,
		Ready: m.Ready, Draining: m.Draining, Leaving: m.Leaving, JournalLost: m.JournalLost, Api: m.API,
	})
	if err != nil {
		return nil, fmt.Errorf("gossip: encode what node %s says of itself: %w", m.Node, err)
	}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("gossip: what node %s says of itself has %d bytes; %d are allowed: shorten the names of node, cluster and version, or the peer address", m.Node, len(meta), memberlist.MetaMaxSize)
	}
	return meta, nil
}

// decodeMeta reads what a peer says. It trusts nothing in it.
func decodeMeta(incarnation string, meta []byte) (*wirev1.Member, cluster.Member, error) {
	said := &wirev1.Member{}
	if len(meta) > memberlist.MetaMaxSize {
		return nil, cluster.Member{}, fmt.Errorf("its description has %d bytes; %d are allowed", len(meta), memberlist.MetaMaxSize)
	}
	if err := proto.Unmarshal(meta, said); err != nil || said.GetWireMax() == 0 {
		return nil, cluster.Member{}, fmt.Errorf("its description cannot be read; it may run another program")
	}
	m := cluster.Member{
		Node: said.GetNode(), Incarnation: incarnation, Peer: said.GetPeer(), Version: said.GetVersion(),
		Weight: int(said.GetWeight()), StartedMillis: said.GetStartedMs(),
		Ready: said.GetReady(), Draining: said.GetDraining(), Leaving: said.GetLeaving(), JournalLost: said.GetJournalLost(), API: said.GetApi(),
	}
	return said, m, m.Check()
}
