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
	return withService(ctx, p, s, func(svc *Service) error {
		fmt.Fprintln(p.out, "ready")
		return svc.Wait(ctx)
	})
}

// withService runs use beside a service, and stops the service in good order afterwards.
func withService(ctx context.Context, p program, s Settings, use func(*Service) error) error {
	svc, err := Start(ctx, Config{
		Dir: s.Data, Journal: s.Journal, Read: s.Read, HTTP: door.WithHost(s.HTTP), Admin: door.WithHost(s.Admin),
		Shards: s.Shards, AcceptClock: s.AcceptClock, Payments: s.Payments, Logger: p.logger(s.LogLevel),
	})
	if err != nil {
		return explain(err)
	}
	fmt.Fprintf(p.out, "data in %s\n", s.Data)
	if s.Journal != "" {
		fmt.Fprintf(p.out, "journal at %s\n", s.Journal)
	}
	fmt.Fprintf(p.out, "http listening on %s\n", svc.HTTP())
	fmt.Fprintf(p.out, "admin listening on %s\n", svc.Admin())
	err = use(svc)
	draining, done := context.WithTimeout(context.WithoutCancel(ctx), s.Drain)
	defer done()
	return errors.Join(err, svc.Stop(draining))
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
