package gossip

import (
	"fmt"

	"github.com/hashicorp/memberlist"

	"github.com/skerryhq/skerry/cluster"
)

// delegate is what memberlist calls, mostly inside its locks: nothing here waits
// or calls back.
type delegate struct{ *known }

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
	_ memberlist.AliveDelegate = delegate{}
	_ memberlist.MergeDelegate = delegate{}
)

// NodeMeta is what this process says of itself.
func (d delegate) NodeMeta(int) []byte { return d.meta() }

// NotifyMsg and the three below would carry messages of our own. There are none.
func (d delegate) NotifyMsg([]byte) {}

// GetBroadcasts has nothing to add.
func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState has nothing to add.
func (d delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState ignores what a peer adds.
func (d delegate) MergeRemoteState([]byte, bool) {}

// NotifyJoin tells that a process is there, for the first time or again.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.alive(n) }

// NotifyUpdate tells that a process says something else of itself.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.alive(n) }

// NotifyLeave tells that a process is gone; memberlist does not say how.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.gone(n.Name) }

// NotifyAlive refuses single foreign processes that are told of by others. It sees old news too: that a
// process is leaving may come after its goodbye, and is nothing else to memberlist.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if err := d.admit(n); err != nil {
		return err
	}
	d.leaving(n)
	return nil
}

// NotifyMerge refuses a peer that wants to join, or that we want to join, if any
// process that it thinks alive is foreign.
func (d delegate) NotifyMerge(peers []*memberlist.Node) error {
	for _, n := range peers {
		if n.State == memberlist.StateDead || n.State == memberlist.StateLeft {
			continue
		}
		if err := d.admit(n); err != nil {
			return err
		}
	}
	return nil
}

// admit says why a process cannot be a member.
func (d delegate) admit(n *memberlist.Node) error {
	said, m, err := decodeMeta(n.Name, n.Meta)
	if err == nil {
		err = incompatible(d.wire, d.identity, said)
	}
	if err == nil && !d.roomFor(n.Name) {
		err = fmt.Errorf("this node takes note of %d processes at most: raise Config.MaxMembers on all", d.most)
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: node %.64q at %s: %w", ErrRefused, nameOf(m, n), n.Address(), err)
}

func nameOf(m cluster.Member, n *memberlist.Node) string {
	if m.Node != "" {
		return m.Node
	}
	return n.Name
}
