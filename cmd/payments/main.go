package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/skerryhq/skerry/cmd/internal/door"
	"github.com/skerryhq/skerry/journal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// usageError is a mistake in how the program was called; it exits with 2, anything else with 1.
type usageError struct{ error }

// run serves until it is told to end: by the first SIGINT or SIGTERM in good order, by the second at once.
func run(args []string, out, err io.Writer) int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, restore) // a second signal finds the system's own handler, which ends the process
	failed := serve(ctx, args, out, err)
	var usage usageError
	switch {
	case failed == nil, errors.Is(failed, flag.ErrHelp):
		return 0
	case errors.As(failed, &usage):
		fmt.Fprintf(err, "payments: %v; -h lists the settings\n", failed)
		return 2
	}
	fmt.Fprintf(err, "payments: %v\n", failed)
	return 1
}

func serve(ctx context.Context, args []string, out, err io.Writer) error {
	s, wrong := parse(args, out)
	if wrong != nil {
		return wrong
	}
	log := slog.New(slog.NewJSONHandler(err, &slog.HandlerOptions{Level: s.LogLevel}))
	svc, failed := Start(ctx, Config{
		Dir: s.Data, Journal: s.Journal, HTTP: door.WithHost(s.HTTP), Admin: door.WithHost(s.Admin), Shards: s.Shards, AcceptClock: s.AcceptClock, Logger: log,
	})
	if failed != nil {
		return explain(failed)
	}
	fmt.Fprintf(out, "data in %s\nhttp listening on %s\nadmin listening on %s\nready\n", s.Data, svc.HTTP(), svc.Admin())
	failed = svc.Wait(ctx)
	draining, done := context.WithTimeout(context.WithoutCancel(ctx), s.Drain)
	defer done()
	log.Info("stopping", "within", s.Drain.String())
	failed = errors.Join(failed, svc.Stop(draining))
	log.Info("stopped")
	return failed
}

// explain adds what to do to the errors that people meet when they start the service.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w\n  remedy: stop the program that listens there, or choose another address with -http and -admin (port 0 picks a free one)", err)
	case errors.Is(err, journal.ErrLocked):
		return fmt.Errorf("%w\n  remedy: stop the service that runs on these data, or choose another folder with -data", err)
	}
	return err
}
