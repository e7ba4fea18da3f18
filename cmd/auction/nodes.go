package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// nodeGroup is the nodes of one process, one as a rule. Several are a whole cluster, on one journal and one read model, and else
// as strange to each other as nodes on different machines.
type nodeGroup struct {
	stores   *stores
	services []*Service // the first was there before the others
}

// startNodes starts as many as told. What was up is stopped again if a later one fails.
func startNodes(ctx context.Context, cfg Config, count int) (*nodeGroup, error) {
	opened, err := openStores(ctx, cfg)
	if err != nil {
		return nil, err
	}
	n := &nodeGroup{stores: opened}
	for i := range count {
		if err := n.add(ctx, cfg, i, count > 1); err != nil {
			return nil, errors.Join(err, n.abandon(ctx))
		}
	}
	return n, nil
}

func (n *nodeGroup) abandon(ctx context.Context) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), abandonPatience)
	defer done()
	return n.stop(ctx)
}

// add starts the next node, one of several perhaps.
func (n *nodeGroup) add(ctx context.Context, cfg Config, i int, several bool) (err error) {
	if several {
		if cfg, err = n.beside(cfg, i); err != nil {
			return err
		}
	}
	s, err := startOn(ctx, cfg, n.stores)
	if err == nil {
		n.services = append(n.services, s)
	}
	return err
}

// beside is the config of a node beside others in this process.
func (n *nodeGroup) beside(cfg Config, i int) (_ Config, err error) {
	if cfg.HTTP, err = portOf(cfg.HTTP, i); err != nil {
		return cfg, err
	}
	if cfg.Admin, err = portOf(cfg.Admin, i); err != nil {
		return cfg, err
	}
	m := &Member{Cluster: defaultCluster, Name: fmt.Sprintf("n%d", i+1), Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Weight: 1}
	if i > 0 {
		m.Seeds = []string{n.first().entities.gossip}
	}
	cfg.Member, cfg.Logger = m, cfg.Logger.With("node", m.Name)
	return cfg, nil
}

func (n *nodeGroup) first() *Service { return n.services[0] }

// others are the URLs of all but the first.
func (n *nodeGroup) others() (urls []string) {
	for _, s := range n.services[1:] {
		urls = append(urls, s.HTTP())
	}
	return urls
}

// stop ends all nodes at once: none is left to take over from another.
func (n *nodeGroup) stop(ctx context.Context) error {
	errs := make([]error, len(n.services))
	var stopping sync.WaitGroup
	for i, s := range n.services {
		stopping.Go(func() { errs[i] = s.Stop(ctx) })
	}
	stopping.Wait()
	return errors.Join(errors.Join(errs...), n.stores.close())
}

// wait returns nil when ctx ends, or earlier with the reason why a door no longer works.
func (n *nodeGroup) wait(ctx context.Context) error {
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)
	var waiting sync.WaitGroup
	for _, s := range n.services {
		waiting.Go(func() {
			if err := s.Wait(ctx); err != nil {
				done(brokenDoor{err})
			}
		})
	}
	waiting.Wait()
	if door := (brokenDoor{}); errors.As(context.Cause(ctx), &door) {
		return door.error
	}
	return nil
}

// brokenDoor is why a process no longer waits.
type brokenDoor struct{ error }
