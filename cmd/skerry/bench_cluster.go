package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/skerryhq/skerry/cmd/skerry/internal/bench"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

// clusterFlags are those of "skerry bench -cluster".
type clusterFlags struct {
	nodes   int
	fault   string
	pause   time.Duration
	nodeLog slog.Level
	given   func(flag string) bool
}

// Defaults with -cluster.
const (
	// faultEntities get a command every quarter of a second each at the default rate: no entity is
	// found to answer again much later than it does.
	faultEntities = 250
	// faultWarm lets the database get used to the load; quiet figures are worth little before.
	faultWarm = 5 * time.Second
	// hopCallers are enough to keep a small machine busy.
	hopCallers = 64
)

func (c *clusterFlags) register(flags *flag.FlagSet) {
	flags.IntVar(&c.nodes, "cluster", 0, "measure a cluster of this many `nodes`: a fault with -fault (then -entities 250 and -warm 5s by default), else what a forwarded command costs")
	flags.StringVar(&c.fault, "fault", "", "with -cluster: what happens to nodes in processes of their own, on Cassandra: kill, pause, drain or roll; without -journal, a node of Cassandra is started")
	flags.DurationVar(&c.pause, "pause", 8*time.Second, "with -fault pause: how long the node stands still")
	flags.TextVar(&c.nodeLog, "node-log", slog.LevelWarn, "with -fault: what the nodes write to the log: debug, info, warn or error")
	c.given = func(name string) (is bool) {
		flags.Visit(func(f *flag.Flag) { is = is || f.Name == name })
		return is
	}
}

// measureCluster measures a fault or a hop, as the flags say.
func (b *benchFlags) measureCluster(ctx context.Context, t terminal) error {
	if b.cluster.fault == "" {
		return b.measureHop(ctx, t)
	}
	f := b.faultOf()
	if !b.cluster.given("journal") {
		return b.onOwnCassandra(ctx, t, f)
	}
	return b.measureFault(ctx, t, f)
}

func (b *benchFlags) faultOf() bench.Fault {
	f := bench.Fault{
		Setup: b.load.Setup, Kind: b.cluster.fault, Nodes: b.cluster.nodes, Rate: b.readSide.rate, Entities: b.load.Entities,
		Warm: b.load.Warm, For: b.load.For, PauseFor: b.cluster.pause, NodeLog: b.cluster.nodeLog, Command: startMember,
	}
	if !b.cluster.given("entities") {
		f.Entities = faultEntities
	}
	if !b.cluster.given("warm") {
		f.Warm = faultWarm
	}
	return f
}

// onOwnCassandra starts a node of Cassandra for the measurement.
func (b *benchFlags) onOwnCassandra(ctx context.Context, t terminal, f bench.Fault) (err error) {
	f.Journal, f.URL = bench.Cassandra, "cassandra://127.0.0.1:9042/bench?dev=1"
	if err := f.Check(); err != nil { // before the node takes its time
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	_, _ = fmt.Fprintln(t.err, "starting a node of Cassandra (name another one with -journal)")
	node, err := launch.Start(ctx, launch.Config{HeapMiB: ownHeapMiB, Logger: f.Logger})
	if errors.Is(err, launch.ErrMissing) {
		return fmt.Errorf("%w; or name a running one with -journal cassandra://HOST:PORT/KEYSPACE?dev=1", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Stop()) }()
	f.URL = "cassandra://" + node.Hosts()[0] + "/bench?dev=1"
	return b.measureFault(ctx, t, f)
}

// ownHeapMiB is enough for minutes of a thousand commands a second.
const ownHeapMiB = 1024

func (b *benchFlags) measureFault(ctx context.Context, t terminal, f bench.Fault) error {
	if err := checked(f.Check(), t); err != nil {
		return err
	}
	var runs []bench.FaultFigures
	for f.Victim = range b.runs { // another node each time
		figures, err := f.Run(ctx)
		if err != nil {
			return fmt.Errorf("run %d: %w", f.Victim+1, err)
		}
		runs = append(runs, figures)
		_, _ = fmt.Fprintf(t.err, "run %d of %d: first answer %.2f s, all %.2f s, %d errors of %d, %d lost, %d doubled, longest %.0f ms, p99 %.1f ms (quiet %.1f ms); CPU %.0f%%, load %s\n",
			len(runs), b.runs, figures.FirstAnswer, figures.AllAnswer, figures.Errors, figures.Commands, figures.Lost, figures.Doubled,
			figures.Longest, figures.P99, figures.QuietP99, 100*figures.Busy, figures.LoadAverage)
	}
	m := bench.MedianFault(runs)
	return report(t.out, *b.asJSON, m, "%s: first answer after %.2f s, all after %.2f s; of %d commands %d had no reply, %d were lost, %d doubled; longest %.0f ms, p99 %.1f ms (quiet: %.1f ms)\n",
		m.Fault, m.FirstAnswer, m.AllAnswer, m.Commands, m.Errors, m.Lost, m.Doubled, m.Longest, m.P99, m.QuietP99)
}

// measureHop measures what it costs to send commands through another node.
func (b *benchFlags) measureHop(ctx context.Context, t terminal) error {
	h := bench.Hop{Setup: b.load.Setup, Nodes: b.cluster.nodes, Entities: b.load.Entities, Callers: hopCallers, Warm: b.load.Warm, For: b.load.For}
	if b.cluster.given("callers") {
		h.Callers = b.callers[len(b.callers)-1]
	}
	if err := checked(h.Check(), t); err != nil {
		return err
	}
	var runs []bench.HopFigures
	for range b.runs {
		figures, err := h.Run(ctx)
		if err != nil {
			return err
		}
		runs = append(runs, figures)
		_, _ = fmt.Fprintf(t.err, "run %d of %d: one hop costs %.0f µs, %.0f%% of the throughput is left; load %s\n",
			len(runs), b.runs, figures.HopMicros, 100*figures.ThroughputLeft, figures.LoadAverage)
	}
	m := bench.MedianHop(runs)
	return report(t.out, *b.asJSON, m, "p50 %.0f µs locally, %.0f µs through one hop (%+.0f µs); with %d callers %.0f commands/s locally, %.0f through one hop (%.0f%%)\n",
		m.LocalP50, m.ForwardedP50, m.HopMicros, m.Callers, m.LocalPerSecond, m.ForwardedPerSecond, 100*m.ThroughputLeft)
}

// memberCommand is how "bench -fault" starts this program anew; it is not in the help.
const memberCommand = "bench-member"

// startMember is the same program as this one. It ends when its standard input does, so ctx does not end it.
func startMember(_ context.Context, told string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, memberCommand, told) //nolint:noctx // see above
	cmd.Args[0], cmd.Stderr = os.Args[0], os.Stderr
	return cmd
}

func runMember(ctx context.Context, args []string, t terminal) error {
	var p bench.MemberProcess
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &p) != nil {
		return fmt.Errorf("%w: %s is for skerry bench -fault only", errUsage, memberCommand)
	}
	return bench.RunMember(ctx, p, os.Stdin, t.out, t.err)
}
