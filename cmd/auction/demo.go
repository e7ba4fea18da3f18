package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	"github.com/skerryhq/skerry/cmd/auction/internal/demo"
)

// maxDemoLots keeps the start of a big house within a minute or so.
const maxDemoLots = 10_000

// runDemo serves, and keeps the house busy through the service's own front door.
func runDemo(ctx context.Context, p program) error {
	s := Settings{}
	fs := flag.NewFlagSet("auction demo", flag.ContinueOnError)
	bound := fs.Duration("for", 0, "how long the demo runs; 0 means until it is stopped")
	seed := fs.Uint64("seed", 1, "what the bidders do follows from this number")
	lots := fs.Int("lots", 0, "how many more lots to put up, with bids at random, to see a big house; at most 10,000")
	found, err := p.settings(fs, "auction demo [settings]", &s)
	if err != nil {
		return err
	}
	if err := none(found); err != nil {
		return err
	}
	if *lots < 0 || *lots > maxDemoLots {
		return usageError{fmt.Errorf("-lots is %d: use 0 to %d", *lots, maxDemoLots)}
	}
	s.AcceptClock = true                         // it is no matter if the demo was last run a week ago
	s.LogLevel = max(s.LogLevel, slog.LevelWarn) // the terminal belongs to the picture
	return withNodes(ctx, p, s, func(n *nodeGroup) error {
		ctx := ctx
		if *bound > 0 { // the start does not count
			var done context.CancelFunc
			ctx, done = context.WithTimeout(ctx, *bound)
			defer done()
		}
		svc := n.first()
		h := &http.Client{Timeout: demo.Patience}
		defer h.CloseIdleConnections()
		terminal := p.isTerminal(p.out)
		if terminal {
			fmt.Fprint(p.out, "\x1b[2J")
		}
		return demo.Run(ctx, demo.Config{
			Client: client.New(svc.HTTP(), h), URL: svc.HTTP(), Others: n.others(), Seed: *seed, Lots: *lots, Out: p.out, Terminal: terminal,
		})
	})
}
