package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	"github.com/skerryhq/skerry/cmd/auction/internal/replay"
	"github.com/skerryhq/skerry/cmd/internal/door"
)

// replaySettings are those of the replay alone.
type replaySettings struct {
	to      string
	name    string
	lots    int
	skipBad bool
}

func (r *replaySettings) register(fs *flag.FlagSet) {
	fs.StringVar(&r.to, "to", "", "the URL of a running service; without it, the one at -http, or else one of its own")
	fs.StringVar(&r.name, "run", "", "begins the ids of the run's lots; by default the time, so that each run has new lots. With the name of a run that was interrupted, that one goes on")
	fs.IntVar(&r.lots, "lots", 16, "how many lots are sent at the same time")
	fs.BoolVar(&r.skipBad, "skip-bad", false, "send the good lines of a file with bad ones")
}

// runReplay sends a file of bids through a service.
func runReplay(ctx context.Context, p program) error {
	var s Settings
	var r replaySettings
	fs := flag.NewFlagSet("auction replay", flag.ContinueOnError)
	r.register(fs)
	found, err := p.settings(fs, "auction replay FILE.csv [settings]", &s)
	if err != nil {
		return err
	}
	own := found.flags["data"] || found.flags["journal"] // data on the command line ask for a service of its own
	switch {
	case len(found.rest) != 1:
		return usageError{errors.New("name one file of bids: auction replay FILE.csv")}
	case r.lots < 1 || r.lots > 256:
		return usageError{fmt.Errorf("-lots is %d: use 1 to 256", r.lots)}
	case r.to != "" && !isURL(r.to):
		return usageError{fmt.Errorf("-to is %q: write it as a URL, such as http://localhost:8080", r.to)}
	case own && r.to != "":
		return usageError{errors.New("-to names a running service, -data and -journal a service of its own: give one of them")}
	}
	if r.name == "" {
		r.name = time.Now().UTC().Format("20060102-150405.000")
	}
	auctions, err := p.readBids(found.rest[0], r.skipBad)
	if err != nil {
		return err
	}
	h := &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: r.lots}}
	defer h.CloseIdleConnections()
	send := func(base string) error { return p.send(ctx, client.New(base, h), base, r, auctions) }
	if r.to != "" {
		if err := probe(ctx, client.New(r.to, h)); err != nil {
			return fmt.Errorf("%w; nothing was sent: start a service there, or leave -to out for one of the replay's own", err)
		}
		return send(r.to)
	}
	if there := "http://" + door.WithHost(s.HTTP); !own && probe(ctx, client.New(there, h)) == nil {
		return send(there)
	}
	if !own {
		s.Journal = "" // that of the environment or the file is the service's
	}
	return p.sendToOwn(ctx, s, found.flags["data"], send)
}

// isURL tells whether requests can be sent to a text. localhost:8080 is a URL too, of the scheme localhost.
func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// probePatience is for one answer, before anything is sent. What is silent for longer is not there.
const probePatience = 3 * time.Second

func probe(ctx context.Context, c *client.Client) error {
	ctx, done := context.WithTimeout(ctx, probePatience)
	defer done()
	return c.Probe(ctx)
}

// maxProblems limits the bad lines that are printed; all are counted.
const maxProblems = 20

// readBids reads the file, and refuses one with bad lines unless they are to be skipped.
func (p program) readBids(path string, skipBad bool) ([]replay.Auction, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	auctions, problems, err := replay.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, problem := range problems[:min(len(problems), maxProblems)] {
		fmt.Fprintf(p.err, "%s: %v\n", path, problem)
	}
	switch {
	case len(problems) > 0 && !skipBad:
		return nil, fmt.Errorf("%s has %d bad lines, so nothing was sent: correct them, or skip them with -skip-bad", path, len(problems))
	case len(problems) > 0:
		fmt.Fprintf(p.err, "%s: skipped %d bad lines\n", path, len(problems))
	}
	if len(auctions) == 0 {
		return nil, fmt.Errorf("%s has no bids", path)
	}
	return auctions, nil
}

// sendToOwn starts a service on free ports for the time of the replay, in a folder of its own unless one is to be kept.
func (p program) sendToOwn(ctx context.Context, s Settings, keep bool, send func(base string) error) (err error) {
	if !keep {
		if s.Data, err = os.MkdirTemp("", "auction-replay-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.Data)) }()
	}
	s.HTTP, s.Admin, s.LogLevel = "127.0.0.1:0", "127.0.0.1:0", max(s.LogLevel, slog.LevelWarn)
	return withNodes(ctx, p, s, func(n *nodeGroup) error { return send(n.first().HTTP()) })
}

// send sends the bids and prints what came of them. A fault in a lot is an error.
func (p program) send(ctx context.Context, c *client.Client, base string, r replaySettings, auctions []replay.Auction) error {
	bids := 0
	for _, a := range auctions {
		bids += len(a.Bids)
	}
	fmt.Fprintf(p.out, "sending %d bids on %d lots to %s as run %s\n", bids, len(auctions), base, r.name)
	bar := startBar(p.err, p.isTerminal(p.err), bids)
	began := time.Now()
	report, err := replay.Run(ctx, replay.Config{Client: c, Name: r.name, Lots: r.lots, Sent: bar.add}, auctions)
	bar.end()
	if err != nil {
		return fmt.Errorf("after %d of %d bids: %w; the same command with -run %s goes on from there", report.Sent, bids, err, r.name)
	}
	if _, err := io.WriteString(p.out, report.String()); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "took      %s\n", time.Since(began).Round(time.Millisecond))
	if n := len(report.Faults); n > 0 {
		return fmt.Errorf("%d faults: the service lost or changed what it had acknowledged", n)
	}
	return nil
}
