package cluster

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// loopProbe asks the loop how it is. Safe for concurrent use.
type loopProbe struct {
	since   atomic.Int64 // when the oldest question was asked that is not answered; 0 if there is none
	waiting atomic.Int64
	last    atomic.Pointer[[]string] // the newest answer

	hasCome bool // the shards that belonged here at the start; the loop's own
}

const (
	// maxProbes bounds the questions on their way to a loop that does not answer.
	maxProbes = 16
	// comePatience is how long after its start a node is not ready because shards that belong to it have not come. Who updates
	// nodes one after the other would else free the next one of shards before the last one has its own.
	comePatience = 30 * time.Second
)

// Health tells how long the node has owed what it owes, and why it should get no requests, if so. It waits for the answers of
// the node's parts until ctx ends; of what does not answer, it tells what was known before.
func (n *Node) Health(ctx context.Context) entity.Health {
	answered := n.probe.ask(n)
	out := n.host.Health(ctx)
	select {
	case <-answered:
	default:
		select {
		case <-answered:
		case <-n.ended:
		case <-ctx.Done():
		}
	}
	if why := n.probe.last.Load(); why != nil {
		out.Unready = append(out.Unready, *why...)
	}
	if isClosed(n.ended) {
		out.Unready = append(out.Unready, "the node has stopped")
	} else if since := n.probe.since.Load(); since != 0 {
		out.Stuck = later(out.Stuck, entity.Wait{Age: time.Duration(n.now() - since), Of: "the loop that decides about members and shards", Reason: "it does not answer"})
	}
	return out
}

func later(a, b entity.Wait) entity.Wait {
	if b.Age > a.Age {
		return b
	}
	return a
}

// ask returns what is closed when the loop has answered.
func (p *loopProbe) ask(n *Node) <-chan struct{} {
	answered := make(chan struct{})
	if p.waiting.Add(1) > maxProbes {
		p.waiting.Add(-1)
		return answered
	}
	p.since.CompareAndSwap(0, n.now())
	n.inbox.put(look(func(d *decider) {
		why := append(unready(d.self), p.starting(n, d)...)
		p.last.Store(&why)
		p.since.Store(0)
		p.waiting.Add(-1)
		close(answered)
	}))
	return answered
}

// unready says why a node that is so should get no requests.
func unready(self Member) []string {
	var why []string
	if !self.Ready {
		why = append(why, "the node is starting: its row is not in the journal yet")
	}
	if self.Leaving {
		why = append(why, "the node is leaving")
	}
	if self.JournalLost {
		why = append(why, "the node cannot write to the journal")
	}
	return why
}

// starting tells of shards that belong to a node which has just started and that are still elsewhere.
func (p *loopProbe) starting(n *Node, d *decider) []string {
	if p.hasCome || n.now() > int64(comePatience) {
		return nil
	}
	if self, known := d.view.Member(d.self.Node); !known || !self.Ready {
		return nil // that is told already
	}
	missing := 0
	for number := range d.steward.shards {
		if d.steward.wants(uint32(number)) && d.steward.shards[number].state != serving { //nolint:gosec // an index of shards
			missing++
		}
	}
	if p.hasCome = missing == 0; p.hasCome {
		return nil
	}
	return []string{fmt.Sprintf("the node is starting: %d shards that belong to it have not come yet", missing)}
}
