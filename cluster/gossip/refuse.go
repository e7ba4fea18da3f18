package gossip

import (
	"errors"
	"fmt"
	"strings"

	"github.com/skerryhq/skerry/cluster"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// ErrRefused is wrapped when this node and a peer must not be in one cluster. The
// error says what differs and what to do; trying again does not help.
var ErrRefused = errors.New("gossip: refused")

// incompatible says why a peer and this process must not be in one cluster. Both come to the
// same verdict, each with the other's values.
func incompatible(wire versions, ours cluster.Identity, theirs *wirev1.Member) error {
	switch {
	case theirs.GetWireMax() < wire.min || theirs.GetWireMin() > wire.max:
		return fmt.Errorf("it speaks wire versions %d to %d, this node %d to %d: update the older one, by one release at a time", theirs.GetWireMin(), theirs.GetWireMax(), wire.min, wire.max)
	case theirs.GetCluster() != ours.Cluster:
		return fmt.Errorf("it belongs to the cluster %.64q, this node to %q: take the address out of the seeds, or give both nodes one cluster name", theirs.GetCluster(), ours.Cluster)
	case theirs.GetHistory() != ours.History:
		return fmt.Errorf("its journal has the history %.64q, this node's %q: both must use one journal; a restored journal is another one", theirs.GetHistory(), ours.History)
	case int(theirs.GetShards()) != ours.Shards:
		return fmt.Errorf("it has %d shards, this node %d: the number is fixed by the first start on a journal, give both nodes that one", theirs.GetShards(), ours.Shards)
	}
	return nil
}

// What memberlist says, on either side, when the keys of two nodes do not meet.
const (
	noCommonKey   = "o installed keys could decrypt the message"
	theirsOnly    = "remote state is encrypted and encryption is not configured"
	oursOnly      = "encryption is configured but remote state is not encrypted"
	ourPacketOnly = "Decrypt packet failed"
)

// keyRefusal turns what memberlist says about keys into what an operator can do; nil for anything else.
func keyRefusal(text string) error {
	switch {
	case strings.Contains(text, noCommonKey):
		return fmt.Errorf("%w: the peer and this node have no gossip key in common: install the cluster's key on both", ErrRefused)
	case strings.Contains(text, theirsOnly):
		return fmt.Errorf("%w: the peer encrypts gossip and this node has no key: give it the cluster's gossip key", ErrRefused)
	case strings.Contains(text, oursOnly), strings.Contains(text, ourPacketOnly):
		return fmt.Errorf("%w: this node encrypts gossip and the peer does not: give the peer the cluster's gossip key", ErrRefused)
	}
	return nil
}

// joinError makes an error to branch on, of one line, from the text that memberlist leaves of it.
func joinError(address string, err error) error {
	text := err.Error()
	if refusal := keyRefusal(text); refusal != nil {
		return fmt.Errorf("join %s: %w", address, refusal)
	}
	if _, why, refused := strings.Cut(text, ErrRefused.Error()+": "); refused {
		return fmt.Errorf("join %s: %w: %s", address, ErrRefused, strings.TrimSpace(why))
	}
	if _, why, found := strings.Cut(text, "failed to join "+address+": "); found {
		text = why
	}
	return fmt.Errorf("join %s: %s", address, strings.TrimSpace(text))
}
