package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Config says how a [Node] runs. Host, Gossip and Transport are required; a zero field means the default that its
// comment gives.
type Config struct {
	// Cluster names the cluster; nodes of another one are refused. Default: "skerry".
	Cluster string
	// Name is the operator's name for the node: it outlives a restart, and no two nodes
	// have the same. Default: the host's name.
	Name string
	// Version is that of the program: new owners prefer the newer one.
	Version string
	// Weight is the share of the shards, relative to other nodes'. Default 1.
	Weight int
	// Gateway makes a node that owns no shards, whatever its weight.
	Gateway bool
	// Seeds are where other nodes' gossip may be found. Without any this node begins a cluster.
	Seeds []string
	// Host is the journal, the types and the limits. Node and Ownership are the node's own.
	Host entity.Config
	// Gossip starts what finds nodes.
	Gossip func(Identity, Member) (Gossip, error)
	// Transport starts what carries envelopes, as its config says: add where to listen, and TLS.
	Transport func(transport.Config) (transport.Transport, error)
	// Logger default: slog.Default().
	Logger *slog.Logger
}

func (c Config) filled() (Config, error) {
	switch {
	case c.Gossip == nil:
		return c, errors.New("cluster: Config.Gossip is missing")
	case c.Transport == nil:
		return c, errors.New("cluster: Config.Transport is missing")
	case c.Host.Node != "" || c.Host.Ownership != nil:
		return c, errors.New("cluster: Config.Host.Node and Config.Host.Ownership are the node's own: leave them empty")
	case c.Weight < 0:
		return c, fmt.Errorf("cluster: Config.Weight is %d; it cannot be negative", c.Weight)
	}
	if c.Cluster == "" {
		c.Cluster = "skerry"
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname() // checked with the member
	}
	if c.Weight == 0 && !c.Gateway {
		c.Weight = 1
	}
	if c.Gateway {
		c.Weight = 0
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Host.Logger = c.Logger
	return c, nil
}

// Node is one process of a cluster. It implements [entity.Caller]. All methods may be called concurrently.
type Node struct {
	cfg       Config
	log       *slog.Logger
	identity  Identity
	host      *entity.Host
	keys      *entity.ClientKeys
	routes    *routes
	transport transport.Transport
	gossip    Gossip
	calls     atomic.Int64
	feed      *Feed
	followers followers
	backlog   backlog
	pulse     *pulse
	registers journal.Registers
	began     time.Time
	wall      func() time.Time // as entities see it
	chronicle *chronicle
	probe     loopProbe

	// ctx ends with the node; serving counts what is done for other nodes.
	ctx     context.Context //nolint:containedctx // the life of the node, not of a call
	cancel  context.CancelFunc
	serving sync.WaitGroup

	// The loop's own.
	isEmpty bool
	ring    map[string]bool // whom this node watches
	views   int             // how many views all parts were told of

	self          Member // as it was at the start
	inbox         inbox
	stopOnce      sync.Once
	triedHandOver atomic.Bool
	loop          sync.WaitGroup
	ended         chan struct{}
	empty         chan struct{} // closed when the node is leaving and owns nothing
}

// Start joins the cluster, or begins one, and returns when the node takes calls. The shards come to it from then on. ctx
// covers the start only. The journal stays the caller's: close it after Stop.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, began: time.Now(), keys: entity.NewClientKeys(), ended: make(chan struct{}), empty: make(chan struct{})}
	n.inbox.init()
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	n.self = Member{
		Node: cfg.Name, Incarnation: NewIncarnation(cfg.Name), Version: cfg.Version, Weight: cfg.Weight, StartedMillis: time.Now().UnixMilli(),
	}
	if err := n.self.Check(); err != nil {
		return nil, err
	}
	for _, start := range []func(context.Context) error{n.startHost, n.startTransport, n.startGossip, n.startPulse} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(err, n.stopParts(expired()))
		}
	}
	n.loop.Go(n.run)
	return n, nil
}

func expired() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (n *Node) startHost(ctx context.Context) (err error) {
	cfg := n.cfg.Host
	if cfg.Clock == nil {
		cfg.Clock = func() time.Time { return n.began.Round(0).Add(time.Since(n.began)) }
	}
	n.wall = cfg.Clock
	cfg.Node, cfg.Ownership = n.self.Incarnation, func(o entity.Ownership) { n.inbox.put(o) }
	if n.host, err = entity.Start(ctx, cfg); err != nil {
		return err
	}
	feed := n.host.Feed()
	n.identity = Identity{Cluster: n.cfg.Cluster, History: feed.History(), Shards: feed.Shards()}
	n.routes = newRoutes(n.self.Incarnation, feed.Shards())
	n.chronicle = newChronicle(n.self.Incarnation, feed.Shards())
	n.feed = newFeed(feed, n)
	return nil
}

func (n *Node) startTransport(context.Context) (err error) {
	t, err := n.cfg.Transport(transport.Config{
		Node: n.self.Incarnation, Cluster: n.identity.Cluster, History: n.identity.History, Shards: n.identity.Shards,
		Route: n.routes.peer, Logger: n.log,
		Gone:   func(p transport.Peer) { n.inbox.put(refused{p.Node}) },
		Silent: func(p transport.Peer) { n.inbox.put(silent{p.Node}) },
	})
	if err != nil {
		return err // and t may be a nil of some type
	}
	n.transport = t
	n.self.Peer = n.transport.Self().Address
	n.transport.Serve(handler{n})
	return nil
}

// startGossip tells of a node that is not ready before it knows who else is there.
func (n *Node) startGossip(ctx context.Context) (err error) {
	g, err := n.cfg.Gossip(n.identity, n.self)
	if err != nil {
		return err // and g may be a nil of some type
	}
	n.gossip = g
	if len(n.cfg.Seeds) > 0 {
		if joined, err := n.gossip.Join(ctx, n.cfg.Seeds); joined == 0 {
			n.log.Warn("no other node answers; the seeds are tried again for as long as this node runs", "seeds", n.cfg.Seeds, "cause", err)
		}
	}
	return nil
}

// startPulse puts the node's row into the journal. The node is ready, and may claim, when the others can see that.
func (n *Node) startPulse(context.Context) error {
	rows, haveRows := n.cfg.Host.Journal.(journal.Witnesses)
	registers, haveRegisters := n.cfg.Host.Journal.(journal.Registers)
	if !haveRows || !haveRegisters {
		return fmt.Errorf("cluster: the journal %T keeps no registers or no witnesses: nodes of a cluster need both", n.cfg.Host.Journal)
	}
	n.registers = registers
	n.pulse = startPulse(rows, n.self, n.log, n.now, func(lost bool) { n.inbox.put(journalLost(lost)) })
	n.serving.Go(func() {
		select {
		case <-n.pulse.stored():
			n.inbox.put(stored{})
			n.lookForStrangers()
		case <-n.ctx.Done():
		}
	})
	return nil
}

// Host is the node's host: what runs the shards that the node owns.
func (n *Node) Host() *entity.Host { return n.host }

// Incarnation names this process in claims.
func (n *Node) Incarnation() string { return n.self.Incarnation }

// Stop lets other nodes take this one's shards while commands flow, leaves the cluster and ends what the node
// started. A node that is alone waits for nobody. When ctx ends first, what is left is dropped: others take it over.
// A second call does nothing.
func (n *Node) Stop(ctx context.Context) (err error) {
	n.stopOnce.Do(func() { err = n.stop(ctx) })
	return err
}

func (n *Node) stop(ctx context.Context) error {
	if !n.triedHandOver.Load() {
		_ = n.HandOver(ctx) // what is left others claim
	}
	n.inbox.close()
	n.loop.Wait()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience)
	defer cancel()
	if err := n.gossip.Leave(leaving); err != nil {
		n.log.Info("perhaps nobody heard that this node leaves: the others then look for it in the journal", "cause", err)
	}
	return n.stopParts(ctx)
}

// leavePatience bounds the goodbye.
const leavePatience = 2 * time.Second

// stopParts ends the parts that were started, the last one first.
func (n *Node) stopParts(ctx context.Context) error {
	var errs []error
	n.cancel()
	if n.pulse != nil {
		n.pulse.close()
	}
	if n.gossip != nil {
		errs = append(errs, n.gossip.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Stop(ctx))
	}
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	n.serving.Wait()
	return errors.Join(errs...)
}
