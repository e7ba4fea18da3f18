package cluster

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// Entities see time as their owner's clock tells it. A node whose clock differs from those of the members it watches (ring.go)
// asks to be rid of its shards, until they agree again. It takes two others to outvote it: of two nodes that disagree nobody knows which is
// right, so both go on and say so in their logs.

const (
	// clockOff is how far a node's clock may be from the median of its own and the others', clockWell how near it
	// must come again.
	clockOff  = 2 * time.Second
	clockWell = time.Second
	// clockTrip is the longest way there and back from which a clock is read: half of it is the error.
	clockTrip = 500 * time.Millisecond
)

// clocks compares this node's clock with others'.
type clocks struct {
	ahead map[string]time.Duration // of ours, by incarnation
	isOff bool
}

// clockRead is how far another process's clock is ahead of ours.
type clockRead struct {
	incarnation string
	ahead       time.Duration
}

// read takes in a reading and tells whether our clock is off by all that were taken of processes that are members still.
func (c *clocks) read(x clockRead, members map[string]bool) (off bool) {
	maps.DeleteFunc(c.ahead, func(incarnation string, _ time.Duration) bool { return !members[incarnation] })
	if c.ahead == nil {
		c.ahead = map[string]time.Duration{}
	}
	c.ahead[x.incarnation] = x.ahead
	by := c.median().Abs()
	c.isOff = by > clockOff || c.isOff && by > clockWell
	return c.isOff
}

// median is how far the middle one of all clocks is ahead of ours; of an even number the one nearer to ours.
func (c *clocks) median() time.Duration {
	all := slices.Sorted(maps.Values(c.ahead))
	at, _ := slices.BinarySearch(all, 0)
	all = slices.Insert(all, at, 0)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	if low.Abs() < high.Abs() {
		return low
	}
	return high
}

// clockRead takes in how far another's clock is from ours.
func (d *decider) clockRead(x clockRead) {
	members := map[string]bool{} // one of each node: a process that was just replaced had the same clock
	for _, m := range d.view.members {
		members[m.Incarnation] = true
	}
	d.clockIs(d.clocks.read(x, members))
}

// fewerClocks judges anew when members have gone: one clock against one decides nothing.
func (d *decider) fewerClocks() {
	if d.clocks.isOff && len(d.view.members) < 3 {
		d.clocks = clocks{}
		d.clockIs(false)
	}
}

func (d *decider) clockIs(off bool) {
	if off != d.self.Draining {
		d.self.Draining = off
		d.announce()
	}
}

// askClock reads a member's clock. That it is gone or silent the transport tells.
func (n *Node) askClock(peer transport.Peer) {
	ctx, cancel := context.WithTimeout(n.ctx, ringPatience)
	defer cancel()
	asked := n.now()
	a := transport.Ask(ctx, n.transport, peer, &transport.Envelope{Subject: subjectClock, Remaining: ringPatience})
	trip := time.Duration(n.now() - asked)
	if a.Err == nil {
		n.inbox.put(answered{})
	}
	if a.Err != nil || a.Response == nil || len(a.Response.Payload) != 8 || trip > clockTrip {
		return
	}
	theirs := int64(binary.BigEndian.Uint64(a.Response.Payload)) //nolint:gosec // as it was put in
	ahead := time.Duration(theirs - n.wall().Add(-trip/2).UnixNano())
	if ahead.Abs() > clockOff {
		n.log.Warn("the clocks of two nodes differ; the one that is wrong must be restarted when its machine's clock is right",
			"node", peer.Node, "ahead", ahead)
	}
	n.inbox.put(clockRead{peer.Node, ahead})
}

// tellClock answers another node that reads ours.
func (n *Node) tellClock() transport.Answer {
	payload := binary.BigEndian.AppendUint64(nil, uint64(n.wall().UnixNano())) //nolint:gosec // read back as it was
	return transport.Answer{Response: &entity.Response{Payload: payload}}
}
