package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
)

// addresses are the admin listeners that a command was given.
func (n *target) addresses() []string {
	var all []string
	for _, addr := range strings.Split(n.addr, ",") {
		all = append(all, strings.TrimPrefix(strings.TrimSpace(addr), "http://"))
	}
	return all
}

// at is the same target with one of its addresses.
func (n *target) at(addr string) *target { return &target{addr: addr, timeout: n.timeout} }

// askCluster is ask for what a node knows of its cluster.
func (n *target) askCluster(ctx context.Context, do func(context.Context, *admin.Client) error) error {
	err := n.ask(ctx, func(ctx context.Context, of admin.Inspector) error { return do(ctx, of.(*admin.Client)) })
	if isSingle(err) {
		return fmt.Errorf("%s: %w: name a cluster's node with -addr or SKERRY_ADDR", n.addr, errSingle)
	}
	return err
}

var errSingle = errors.New("the service runs as a single node and has no cluster")

// isSingle tells that a node has no section about a cluster.
func isSingle(err error) bool {
	var no *entity.Rejection
	return errors.As(err, &no) && no.Code == "skerry/not-found" && strings.Contains(no.Message, "has no section for")
}
