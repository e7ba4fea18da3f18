package cluster

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Limits of what a node may say of itself. They keep it within the 512 bytes that gossip carries.
const (
	MaxNodeBytes    = 47
	MaxVersionBytes = 32
	MaxPeerBytes    = 128
	MaxHistoryBytes = 64
	// MaxWeight bounds how many times the share of a weight-1 node another one may take.
	MaxWeight = 1000
)

// Member is one process of the cluster, as it describes itself.
type Member struct {
	// Node is the operator's name for it. It outlives a restart, so that the shards do.
	Node string
	// Incarnation is unique to the process; claims name it as their writer.
	Incarnation string
	// Peer is where the process takes what other nodes send, as host:port.
	Peer string
	// API is where the process answers the service's callers, as host:port; empty if it does not, or not yet.
	API string
	// Version is that of the service's program.
	Version string
	// Weight is the node's share of the shards relative to the others'; 0 runs none.
	Weight int
	// StartedMillis is when the process started, by its clock, in Unix milliseconds.
	StartedMillis int64

	// Ready: the process has started and may own shards.
	Ready bool
	// Draining: the process wants to be free of shards, and stays.
	Draining bool
	// Leaving: the process wants to be free of shards, and then goes.
	Leaving bool
	// JournalLost: the process cannot reach the journal.
	JournalLost bool
}

// NewIncarnation names a process that starts now under a node's name.
func NewIncarnation(node string) string {
	var unique [8]byte
	rand.Read(unique[:]) // never fails: it ends the process instead
	return node + "-" + hex.EncodeToString(unique[:])
}

// Check tells what a member must not say of itself.
func (m Member) Check() error {
	switch {
	case m.Node == "" || len(m.Node) > MaxNodeBytes:
		return fmt.Errorf("cluster: the node's name %q has %d bytes; 1 to %d are allowed", m.Node, len(m.Node), MaxNodeBytes)
	case m.Incarnation == "" || len(m.Incarnation) > MaxNodeBytes+17:
		return fmt.Errorf("cluster: the incarnation %q of node %s has %d bytes; 1 to %d are allowed", m.Incarnation, m.Node, len(m.Incarnation), MaxNodeBytes+17)
	case len(m.Peer) > MaxPeerBytes:
		return fmt.Errorf("cluster: the peer address %q of node %s has %d bytes; at most %d are allowed", m.Peer, m.Node, len(m.Peer), MaxPeerBytes)
	case len(m.API) > MaxPeerBytes:
		return fmt.Errorf("cluster: the address %q where node %s answers callers has %d bytes; at most %d are allowed", m.API, m.Node, len(m.API), MaxPeerBytes)
	case len(m.Version) > MaxVersionBytes:
		return fmt.Errorf("cluster: the version %q of node %s has %d bytes; at most %d are allowed", m.Version, m.Node, len(m.Version), MaxVersionBytes)
	case m.Weight < 0 || m.Weight > MaxWeight:
		return fmt.Errorf("cluster: the weight of node %s is %d; it must be 0 to %d", m.Node, m.Weight, MaxWeight)
	}
	return nil
}

func (m Member) flags() byte {
	var b byte
	for i, set := range []bool{m.Ready, m.Draining, m.Leaving, m.JournalLost} {
		if set {
			b |= 1 << i
		}
	}
	return b
}

// compareRest orders what a process may change while it runs, so that even two
// tellings of one process have an order.
func (m Member) compareRest(o Member) int {
	return cmp.Or(
		cmp.Compare(m.Peer, o.Peer),
		cmp.Compare(m.API, o.API),
		cmp.Compare(m.Version, o.Version),
		cmp.Compare(m.Weight, o.Weight),
		cmp.Compare(m.flags(), o.flags()),
	)
}

func (m Member) appendCanonical(b []byte) []byte {
	b = appendText(b, m.Node, m.Incarnation, m.Peer, m.API, m.Version)
	b = binary.AppendVarint(b, int64(m.Weight))
	b = binary.AppendVarint(b, m.StartedMillis)
	return append(b, m.flags())
}
