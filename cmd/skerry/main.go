// Skerry is the operator's tool: it looks into a running service over its
// admin listener, and measures a machine.
//
//	skerry members                     the nodes of a cluster, and whether they agree
//	skerry shards                      who owns which shard and how far it is
//	skerry drain NODE                  free a node of shards, before it goes
//	skerry watch                       what moves, live
//	skerry entity show TYPE ID         an entity's state, events, timers and window
//	skerry processors                  how far each processor of the read side is
//	skerry breakers                    how the neighbours are, as the service's circuit breakers see them
//	skerry journal verify              whether a journal is what was written
//	skerry bench                       what this machine does
//
// It opens no journal of a running service: an embedded one is locked by it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], terminal{os.Stdout, os.Stderr, os.Getenv}))
}

// terminal is all that a command may touch of its surroundings, beside files.
type terminal struct {
	out, err io.Writer
	getenv   func(string) string
}

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// errUsage is wrapped when the command line is wrong.
var errUsage = errors.New("wrong command line")

func run(ctx context.Context, args []string, t terminal) int {
	err := dispatch(ctx, args, t)
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(t.err, "skerry: interrupted")
		return exitFailed
	}
	_, _ = fmt.Fprintf(t.err, "skerry: %v\n", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}
