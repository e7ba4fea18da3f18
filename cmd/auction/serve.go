package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"

	"github.com/skerryhq/skerry/cmd/internal/door"
)

// commandsUsage is the help of the whole program.
const commandsUsage = `auction [settings]                   serves until it is stopped
       auction demo [settings]              serves, and shows lots with made-up bidders
       auction replay FILE.csv [settings]   sends recorded bids to the service at -to, or else
                                            to the one that runs at -http, or else to one of its own

The settings of all three (auction demo -h and auction replay -h list a few more):`

// serve runs the service until ctx ends.
func serve(ctx context.Context, p program) error {
	var s Settings
	found, err := p.settings(flag.NewFlagSet("auction", flag.ContinueOnError), commandsUsage, &s)
	if err != nil {
		return err
	}
	if err := none(found); err != nil {
		return err
	}
	return withNodes(ctx, p, s, func(n *nodeGroup) error {
		fmt.Fprintln(p.out, "ready")
		return n.wait(ctx)
	})
}

// withNodes runs use beside the process' nodes, and stops them in good order afterwards.
func withNodes(ctx context.Context, p program, s Settings, use func(*nodeGroup) error) error {
	log := p.logger(s.LogLevel)
	n, err := startNodes(ctx, s.config(log), s.Nodes)
	if err != nil {
		return s.explain(err)
	}
	p.tell(s, n)
	err = use(n)
	draining, done := context.WithTimeout(context.WithoutCancel(ctx), s.Drain)
	defer done()
	log.Info("stopping", "within", s.Drain.String())
	err = errors.Join(err, n.stop(draining))
	log.Info("stopped")
	return err
}

// config is what the settings come to.
func (s Settings) config(log *slog.Logger) Config {
	return Config{
		Dir: s.Data, Journal: s.Journal, Read: s.Read, HTTP: door.WithHost(s.HTTP), Admin: door.WithHost(s.Admin),
		Shards: s.Shards, AcceptClock: s.AcceptClock, Payments: s.Payments, Logger: log, Member: s.member(s.BeyondLoopback),
	}
}

// tell prints where everything is.
func (p program) tell(s Settings, n *nodeGroup) {
	if s.Journal == "" || !isPostgres(s.Read) {
		fmt.Fprintf(p.out, "data in %s\n", s.Data)
	}
	if s.Journal != "" {
		fmt.Fprintf(p.out, "journal at %s\n", s.Journal)
	}
	if isPostgres(s.Read) {
		fmt.Fprintln(p.out, "read model in PostgreSQL") // its address may have a password
	}
	for i, svc := range n.services {
		of := ""
		if i > 0 {
			of = svc.entities.name + " "
		}
		fmt.Fprintf(p.out, "%shttp listening on %s\n", of, svc.HTTP())
		fmt.Fprintf(p.out, "%sadmin listening on %s\n", of, svc.Admin())
	}
	if e := n.first().entities; s.isMember() {
		fmt.Fprintf(p.out, "gossip listening on %s\n", e.gossip)
		fmt.Fprintf(p.out, "peer listening on %s\n", e.peer)
	}
}

func (p program) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: level}))
}

// isTerminal tells whether pictures can be drawn on w.
func (p program) isTerminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok || p.getenv("TERM") == "dumb" || p.getenv("TERM") == "" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
