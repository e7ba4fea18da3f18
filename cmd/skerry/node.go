package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/skerryhq/skerry/cluster/admin"
)

const (
	defaultAddr    = "127.0.0.1:8081"
	defaultTimeout = 30 * time.Second
)

// target is the node that a command looks into.
type target struct {
	addr    string
	timeout time.Duration
}

func nodeFlags(flags *flag.FlagSet, t terminal) *target {
	n := &target{}
	addr := t.getenv("SKERRY_ADDR")
	if addr == "" {
		addr = defaultAddr
	}
	flags.StringVar(&n.addr, "addr", addr, "`HOST:PORT` of the service's admin listener, of any node of a cluster (or the environment's SKERRY_ADDR)")
	flags.DurationVar(&n.timeout, "timeout", defaultTimeout, "wait no longer than this")
	return n
}

// ask connects to the node and explains what goes wrong on the way there.
func (n *target) ask(ctx context.Context, do func(context.Context, admin.Inspector) error) error {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	err := do(ctx, &admin.Client{Addr: strings.TrimPrefix(n.addr, "http://")})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s gave no answer within %v: wait longer with -timeout, or look at the service's log: %w", n.addr, n.timeout, err)
	case errors.Is(err, admin.ErrUnreachable):
		return fmt.Errorf("%w\nIs the service running? Name its admin address with -addr or SKERRY_ADDR", err)
	}
	return err
}
