package gossip

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/skerryhq/skerry/cluster"
)

// Gossip is one process in the gossip of its cluster. Its methods are safe for concurrent use.
type Gossip struct {
	*known
	config Config
	list   *memberlist.Memberlist
	seeds  seeds
	// address is where others reach this process: memberlist's own note of it changes while it is read.
	address string

	announcing sync.Mutex // one news at a time, or an older one could come out last
	announced  chan struct{}

	ending sync.Mutex // Leave and Close, one at a time
	closed bool
	stop   context.CancelFunc
	loop   sync.WaitGroup
}

var _ cluster.Gossip = (*Gossip)(nil)

const (
	// label marks all traffic, so that other programs with memberlist are told apart at once.
	label = "skerry"
	// retellings is how often each process passes news on, to processes drawn at random, times the decimal digits of their number. With
	// memberlist's own 4, news that eight processes pass on is missed by one in a hundred of those that hear it from nobody else.
	retellings = 8
	// goodbyeLimit bounds how long Leave waits for each of its two messages.
	goodbyeLimit = time.Second
	// toldByStream bounds the members that Leave tells over streams.
	toldByStream = 3
)

// Start listens and becomes a cluster of one. [Gossip.Close] must be called in the end.
func Start(c Config) (*Gossip, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	meta, err := encodeMeta(c.wire, c.Identity, c.Self)
	if err != nil {
		return nil, err
	}
	if c.KeyFile != "" {
		if c.Keys, err = ReadKeyFile(c.KeyFile); err != nil {
			return nil, err
		}
	}
	g := &Gossip{known: newKnown(c, meta), config: c, announced: make(chan struct{}, 1)}
	logger := log.New(newLogLines(c.Logger), "", 0)
	transport, err := listen(c, logger)
	if err != nil {
		return nil, fmt.Errorf("gossip: listen on %s: %w", c.Bind, err)
	}
	g.list, err = memberlist.Create(g.options(transport, logger))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gossip: start: %w", err), transport.Shutdown())
	}
	g.address = net.JoinHostPort(g.list.LocalNode().Addr.String(), fmt.Sprint(g.list.LocalNode().Port))
	var running context.Context
	running, g.stop = context.WithCancel(context.Background())
	g.loop.Go(func() { g.rejoin(running) })
	g.loop.Go(func() { g.retell(running) })
	if c.KeyFile != "" {
		g.loop.Go(func() { g.config.followKeys(running) })
	}
	return g, nil
}

// options tunes memberlist. What is not said here is its default for a local network.
func (g *Gossip) options(transport memberlist.Transport, logger *log.Logger) *memberlist.Config {
	c, o := g.config, memberlist.DefaultLANConfig()
	o.Name, o.Label, o.Logger, o.Transport = c.Self.Incarnation, label, logger, transport
	o.ProbeInterval, o.ProbeTimeout = c.ProbeInterval, c.ProbeTimeout
	o.SuspicionMult, o.SuspicionMaxTimeoutMult = c.SuspicionFactor, 2
	o.AwarenessMaxMultiplier = 2 // a node that doubts itself probes half as often, not an eighth
	o.GossipInterval, o.PushPullInterval, o.RetransmitMult = c.SpreadInterval, c.SyncInterval, retellings
	o.TCPTimeout = c.StreamTimeout
	o.EnableCompression = false // a writer of 64 KiB for each packet of 100 bytes costs more than it saves
	o.BindAddr, o.BindPort, o.AdvertiseAddr, o.AdvertisePort = "", 0, "", 0
	if a, err := parseAddress("Advertise", c.Advertise); err == nil {
		o.AdvertiseAddr, o.AdvertisePort = a.IP.String(), a.Port
	}
	if c.Keys != nil {
		o.Keyring = c.Keys.ring
	}
	d := delegate{g.known}
	o.Delegate, o.Events, o.Alive, o.Merge = d, d, d, d
	return o
}

// Address is where others reach this process, as host:port.
func (g *Gossip) Address() string { return g.address }

// Membership is what is known now.
func (g *Gossip) Membership() cluster.Membership { return g.membership() }

// Changed gets a signal after each change of the membership; signals that nobody took yet are one.
func (g *Gossip) Changed() <-chan struct{} { return g.changed }

// Announce replaces what this process says of itself. It returns at once, the news spreads from here on.
func (g *Gossip) Announce(self cluster.Member) error {
	return g.announce(self, time.Nanosecond)
}

// announce waits up to the limit until the news has been sent a few times.
func (g *Gossip) announce(self cluster.Member, limit time.Duration) error {
	g.announcing.Lock()
	defer g.announcing.Unlock()
	was := g.own()
	if self.Node != was.Node || self.Incarnation != was.Incarnation || self.StartedMillis != was.StartedMillis {
		return fmt.Errorf("gossip: announce: node, incarnation and start of a process are fixed: they are %s, %s and %d", was.Node, was.Incarnation, was.StartedMillis)
	}
	if self == was {
		return nil
	}
	meta, err := encodeMeta(g.wire, g.identity, self)
	if err != nil {
		return err
	}
	g.say(self, meta)
	// Its only error is that the time is over; the news spreads all the same.
	_ = g.list.UpdateNode(limit)
	select {
	case g.announced <- struct{}{}:
	default:
	}
	return nil
}

// Leave says goodbye, and that it is one: the others do not look for this process.
// It may be called again, and Close must still follow. It takes up to two seconds
// and what two streams take, or until ctx ends; an error means that perhaps nobody heard it.
func (g *Gossip) Leave(ctx context.Context) error {
	g.ending.Lock()
	defer g.ending.Unlock()
	if g.closed {
		return errors.New("gossip: leave: already closed")
	}
	g.stop() // or the loop would join again
	g.loop.Wait()
	if self := g.own(); !self.Leaving {
		self.Leaving = true
		if err := g.announce(self, patience(ctx)); err != nil {
			return err
		}
		g.tellSome(ctx)
	}
	err := g.list.Leave(patience(ctx))
	if g.tellSome(ctx) > 0 || err == nil {
		return nil
	}
	return fmt.Errorf("gossip: leave: %w", err)
}

// tellSome tells a few members over streams what has been sent in packets, since these get lost, and
// returns how many were told. Who hears the goodbye, but not that it was coming,
// takes this process for lost: that costs a look into the journal.
func (g *Gossip) tellSome(ctx context.Context) int {
	here, _ := g.addresses()
	delete(here, g.Address())
	asked, told := 0, make(chan error, toldByStream)
	for address := range here { // in random order
		if asked == toldByStream {
			break
		}
		asked++
		g.loop.Go(func() { told <- g.try(address) }) // Close ends it
	}
	reached := 0
	for range asked {
		select {
		case err := <-told:
			if err == nil {
				reached++
			}
		case <-ctx.Done():
			return reached
		}
	}
	return reached
}

// patience is what is left of a call's time, up to the limit. At least a moment, since memberlist takes 0 for ever.
func patience(ctx context.Context) time.Duration {
	limit := goodbyeLimit
	if deadline, has := ctx.Deadline(); has {
		limit = min(limit, time.Until(deadline))
	}
	return max(limit, time.Millisecond)
}

// Close stops without a word, as a crash would. Connections end at once and our goroutines are waited
// for. A probe of memberlist's that is under way ends by itself within two probe intervals: tests that look for
// leaks, or run in a bubble of testing/synctest, wait that long after it.
func (g *Gossip) Close() error {
	g.ending.Lock()
	defer g.ending.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	g.stop()
	err := g.list.Shutdown() // closes connections, so a join under way ends
	g.loop.Wait()
	if err != nil {
		return fmt.Errorf("gossip: close: %w", err)
	}
	return nil
}
