package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// process is one start of a node, with its callers and its reader.
type process struct {
	a    *assembly
	slot *slot
	at   *place
	node *cluster.Node
	disk *disk

	ctx    context.Context //nolint:containedctx // the life of the process
	cancel context.CancelFunc
	work   sync.WaitGroup
	reader *reader
	// leaving is set when the process is told to stop.
	leaving atomic.Bool
}

const (
	// startPatience bounds one try to start a node: the journal may be away.
	startPatience = 10 * time.Second
	// startPause is a supervisor's, before the next try.
	startPause = 300 * time.Millisecond
	// stopPatience bounds a stop in order.
	stopPatience = 20 * time.Second
)

// Call implements entity.Caller.
func (p *process) Call(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	return p.a.defects.call(ctx, p.node, req)
}

// start has the slot's process run, unless one does. The caller holds life.
func (s *slot) start(a *assembly) {
	if s.now.Load() != nil {
		return
	}
	for {
		p, err := s.try(a)
		if err == nil {
			s.now.Store(p)
			a.trace.note("%s has started as %s", s.name, p.node.Incarnation())
			return
		}
		a.trace.note("%s does not start: %v", s.name, err)
		if a.ctx.Err() != nil {
			return
		}
		time.Sleep(startPause)
	}
}

func (s *slot) try(a *assembly) (*process, error) {
	s.starts.Add(1)
	p := &process{a: a, slot: s, at: s.place.Load(), disk: &disk{journal: a.journal, a: a, slot: s.number, died: make(chan struct{})}}
	ctx, cancel := context.WithTimeout(a.ctx, startPatience)
	defer cancel()
	node, err := cluster.Start(ctx, s.config(a, p.disk))
	if err != nil {
		close(p.disk.died)
		return nil, err
	}
	p.node = node
	p.ctx, p.cancel = context.WithCancel(a.ctx)
	p.reader = startReader(p)
	a.defects.leave()
	for i := range a.plan.Callers {
		p.work.Go(func() { a.call(p, i) })
	}
	return p, nil
}

func (s *slot) config(a *assembly, d *disk) cluster.Config {
	at := s.place.Load()
	log := a.trace.logger(s.name)
	skew := a.plan.Skews[s.number]
	return cluster.Config{
		Cluster: "assembled", Name: s.name, Version: s.version(a), Weight: a.plan.Weights[s.number],
		Gateway: a.plan.Weights[s.number] == 0, Seeds: a.seeds(s), Logger: log,
		Host: entity.Config{
			Journal: d, Types: []entity.Definition{accounts}, Shards: a.plan.Shards, SnapshotBytes: 4 << 10,
			IdleAfter: a.plan.IdleAfter, Clock: func() time.Time { return time.Now().Add(skew) },
		},
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			g, err := gossip.Start(gossip.Config{Identity: id, Self: self, Bind: at.gossip, Logger: log, Network: a.wires.gossip})
			if err != nil {
				return nil, err
			}
			return a.defects.gossip(g), nil
		},
		Transport: func(c transport.Config) (transport.Transport, error) {
			c.Advertise = at.peer
			t, err := a.wires.peers.Listen(c)
			if err != nil {
				return nil, err
			}
			return t, nil
		},
	}
}

// version is that of the program.
func (s *slot) version(a *assembly) string {
	if a.plan.Upgrades {
		return fmt.Sprintf("1.%d.0", s.starts.Load())
	}
	return "1.0.0"
}

// seeds are the other nodes' addresses, as a list that operators give to all nodes alike.
func (a *assembly) seeds(but *slot) (seeds []string) {
	for _, s := range a.slots {
		if s != but {
			seeds = append(seeds, s.place.Load().gossip)
		}
	}
	return seeds
}

// crash ends the process without a word. With its sockets closed others notice at once; a machine that dies takes
// them along in silence. The caller holds life.
func (s *slot) crash(a *assembly) {
	if p := s.now.Swap(nil); p != nil {
		p.crash()
	}
}

func (p *process) crash() {
	p.a.trace.note("%s crashes", p.node.Incarnation())
	close(p.disk.died)
	p.a.wires.peers.Kill(p.at.peer)
	p.cancel()
	p.node.Crash()
	p.work.Wait()
}

// stop ends the process in order. The caller holds life.
func (s *slot) stop(a *assembly) {
	p := s.now.Load()
	if p == nil {
		return
	}
	a.trace.note("%s is to stop", p.node.Incarnation())
	p.leaving.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	began := time.Now()
	err := p.node.Stop(ctx)
	a.trace.note("%s has stopped after %v: %v", p.node.Incarnation(), time.Since(began), err)
	if took := time.Since(began); took > stopPatience+leaveTime {
		a.complain("%s took %v to stop", p.node.Incarnation(), took)
	}
	s.now.Store(nil)
	p.cancel()
	close(p.disk.died)
	p.work.Wait()
}

// leaveTime is what a stop may take longer than it is given: the goodbye, and handlers that must end.
const leaveTime = 10 * time.Second
