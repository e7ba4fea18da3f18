package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/stream"
)

// Member says what a node of a cluster is and where the others reach it.
type Member struct {
	// Cluster is the name that all nodes share; Name is this one's.
	Cluster, Name string
	// Gossip and Peer are where it listens for other nodes, as IP address and port; port 0 picks one.
	Gossip, Peer string
	// Advertise is the IP address that others are told. Default: where it listens.
	Advertise string
	// Seeds are where the gossip of others may be found.
	Seeds []string
	// Weight is its share of the shards; a Gateway has none.
	Weight  int
	Gateway bool
	// Rows tells of which shards it writes the rows of the read model: rowsOfOwn, which is the default, rowsOfAll or rowsOfNone.
	Rows string
	// TLS proves to other nodes that this one belongs to the cluster; the keys in KeyFile encrypt gossip. Default: none.
	TLS     *transport.TLS
	KeyFile string
	// Plain allows to listen beyond loopback without them, where the network is trusted.
	Plain bool
}

// entities are what runs the lots: one host, or a node of a cluster, which brings a command to whichever node has the lot.
type entities struct {
	caller entity.Caller
	host   *entity.Host    // what runs here
	rows   readside.Source // the events that rows are made of here
	all    stream.Source   // the events of all shards
	health admin.Prober
	member *cluster.Node // nil if the node is alone
	stop   func(context.Context) error
	// name is a member's; gossip and peer are where other nodes reach it.
	name, gossip, peer string
}

// errNotAlone is wrapped where nodes of a cluster live on the journal: one that knows nothing of them would take all they have.
var errNotAlone = errors.New("a cluster lives on this journal")

// mustBeAlone refuses a journal on which others live.
func mustBeAlone(ctx context.Context, j journal.Journal) error {
	rows, ok := j.(journal.Witnesses)
	if !ok {
		return nil
	}
	nodes, err := cluster.Living(ctx, rows)
	if err == nil && len(nodes) > 0 {
		err = fmt.Errorf("%w: %s: join it with -name, -gossip, -peer and -join, or stop it first", errNotAlone, strings.Join(nodes, ", "))
	}
	return err
}

func startEntities(ctx context.Context, cfg entity.Config, m *Member) (entities, error) {
	if m != nil {
		return m.start(ctx, cfg)
	}
	host, err := entity.Start(ctx, cfg)
	if err != nil {
		return entities{}, err
	}
	return entities{caller: host, host: host, rows: host.Feed(), all: host.Feed(), health: host, stop: host.Stop}, nil
}

// start joins the cluster, or begins it.
func (m *Member) start(ctx context.Context, cfg entity.Config) (e entities, err error) {
	node, err := cluster.Start(ctx, cluster.Config{
		Cluster: m.Cluster, Name: m.Name, Version: version(), Weight: m.Weight, Gateway: m.Gateway, Seeds: m.Seeds, Host: cfg, Logger: cfg.Logger,
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			g, err := gossip.Start(gossip.Config{
				Identity: id, Self: self, Bind: m.Gossip, Advertise: m.advertised(m.Gossip),
				KeyFile: m.KeyFile, Plain: m.Plain, Logger: cfg.Logger,
			})
			if err != nil {
				return nil, err // and not a *gossip.Gossip that is nil
			}
			e.gossip = g.Address()
			return g, nil
		},
		Transport: func(t transport.Config) (transport.Transport, error) {
			t.Listen, t.Advertise, t.TLS, t.Plain = m.Peer, m.advertised(m.Peer), m.TLS, m.Plain
			listening, err := transport.Listen(t)
			if err != nil {
				return nil, err
			}
			e.peer = listening.Self().Address
			return listening, nil
		},
	})
	if err != nil {
		return entities{}, err
	}
	e.caller, e.host, e.member, e.stop, e.name = node, node.Host(), node, node.Stop, m.Name
	e.rows, e.all, e.health = node.Own(), node.Feed(), node
	if m.Rows == rowsOfAll {
		e.rows = node.All()
	}
	return e, nil
}

// What -rows may be. Where one node writes those of all, the others should write none: two that write the same get
// in each other's way, and no further.
const (
	rowsOfOwn  = "own"
	rowsOfAll  = "all"
	rowsOfNone = "none"
)

// assign tells the processors which shards to follow, if not those that the node has.
func (m *Member) assign(p *readside.Runner, shards int) {
	if m == nil || m.Rows != rowsOfAll && m.Rows != rowsOfNone {
		return
	}
	follow := []uint32{}
	if m.Rows == rowsOfAll {
		for shard := range uint32(shards) { //nolint:gosec // at most 4096
			follow = append(follow, shard)
		}
	}
	p.Assign(follow)
}

// version is that of the program, as Go stamped it: while a new release is rolled out, new owners prefer the newer one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version[:min(len(info.Main.Version), cluster.MaxVersionBytes)]
}

// advertised is what others are told of an address that is listened on; empty is that address itself.
func (m *Member) advertised(listen string) string {
	if m.Advertise == "" {
		return ""
	}
	_, port, _ := net.SplitHostPort(listen)
	return net.JoinHostPort(m.Advertise, port)
}

// answersAt tells the others where this node takes callers: where it listens for them, or, if that is every address of the
// machine, at the one by which the nodes reach each other. A door on loopback is of no use to callers on other machines.
func (e *entities) answersAt(door string, m *Member) error {
	if e.member == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(door, "http://"))
	if err != nil {
		return err
	}
	peer, _, _ := net.SplitHostPort(e.peer) // it was listened on, so it is one
	reached := net.ParseIP(cmp.Or(m.Advertise, peer))
	switch ip := net.ParseIP(host); {
	case ip.IsUnspecified():
		host = reached.String()
	case ip.IsLoopback() && !reached.IsLoopback():
		return nil
	}
	return e.member.AnswersAt(net.JoinHostPort(host, port))
}

// handOver lets other nodes take the shards while this one still answers. What is left when most of the time until ctx ends is
// over goes when the node does: others claim it.
func (e *entities) handOver(ctx context.Context) {
	if e.member == nil {
		return
	}
	if end, ok := ctx.Deadline(); ok {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, time.Until(end)*handOverPart/100)
		defer done()
	}
	_ = e.member.HandOver(ctx)
}

// handOverPart is how much of a stop's time, in per cent, is for the shards to move: the rest is for the requests under way.
const handOverPart = 70
