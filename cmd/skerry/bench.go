package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/skerryhq/skerry/cmd/skerry/internal/bench"
)

// benchFlags are those of "skerry bench".
type benchFlags struct {
	load       bench.Load
	callers    intList
	runs       int
	asJSON     *bool
	readSide   readSideFlags
	cpuProfile string
	memProfile string
}

func prepareBench(flags *flag.FlagSet, t terminal) action {
	b := benchFlags{callers: intList{1, 16, 64, 256, 1000}}
	setupFlags(flags, &b.load.Setup, t)
	flags.IntVar(&b.load.Entities, "entities", 1000, "commands go to this many entities, drawn at random")
	flags.Var(&b.callers, "callers", "measure with each of these `counts` of callers at once")
	flags.DurationVar(&b.load.For, "for", 10*time.Second, "measure for this long")
	flags.DurationVar(&b.load.Warm, "warm", time.Second, "run for this long before measuring")
	flags.BoolVar(&b.load.Hot, "hot", false, "send all commands to one entity")
	flags.BoolVar(&b.load.Zipf, "zipf", false, "send most commands to few entities, by Zipf's law with an exponent of 1.1")
	flags.BoolVar(&b.load.OneBatchPerShard, "one-batch-per-shard", false, "sync each shard's records in a batch of its own, for comparison (pebble)")
	flags.BoolVar(&b.load.NoDerived, "no-derived", false, "write no pages, snapshots and timers, for comparison: what is left cannot be recovered")
	flags.IntVar(&b.load.DatabasePID, "database-pid", 0, "`process` of the one Cassandra node on this machine: its CPU time is measured as well (Linux)")
	flags.IntVar(&b.runs, "runs", 1, "measure this often and print medians")
	flags.StringVar(&b.cpuProfile, "cpuprofile", "", "write a CPU profile of all runs to this `file`")
	flags.StringVar(&b.memProfile, "memprofile", "", "write a profile of all allocations to this `file`")
	b.readSide.register(flags)
	b.asJSON = jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		if b.runs < 1 {
			return fmt.Errorf("%w: -runs %d: use 1 or more", errUsage, b.runs)
		}
		measure := b.measure
		if b.readSide.store != "" {
			measure = b.measureReadSide
		}
		return profiled(b.cpuProfile, b.memProfile, func() error { return measure(ctx, t) })
	}
}

// setupFlags declares what all benchmarks share.
func setupFlags(flags *flag.FlagSet, s *bench.Setup, t terminal) {
	s.Logger = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	benchJournal(flags, s)
	flags.StringVar(&s.Dir, "dir", "", "keep the journal in a folder below this one, removed after the run (default: the system's folder for temporary files)")
	flags.IntVar(&s.Shards, "shards", 0, "shards of the host (default: the host's)")
	flags.IntVar(&s.Appends, "appends", 0, "appends under way at most (default: found by the host)")
	flags.IntVar(&s.Payload, "payload", 100, "bytes in each command and its event")
}

func (b *benchFlags) measure(ctx context.Context, t terminal) error {
	if err := b.check(); err != nil {
		return err
	}
	tellMachine(t.err)
	idle, err := bench.IdleBytes(ctx, b.load.Setup)
	if err != nil {
		return err
	}
	b.load.BytesPerEntity = idle
	results := []bench.Figures{}
	for _, callers := range b.callers {
		b.load.Callers = callers
		median, err := b.repeat(ctx, t)
		if err != nil {
			return fmt.Errorf("with %d callers: %w", callers, err)
		}
		results = append(results, median)
	}
	if *b.asJSON {
		return printJSON(t.out, results)
	}
	return benchTable(t.out, results)
}

// checked tells of the machine that a measurement is for, unless the flags are wrong.
func checked(wrong error, t terminal) error {
	if wrong != nil {
		return fmt.Errorf("%w: %w", errUsage, wrong)
	}
	tellMachine(t.err)
	return nil
}

// check looks at all loads before the first one takes its time.
func (b *benchFlags) check() error {
	for _, b.load.Callers = range b.callers {
		if err := b.load.Check(); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	return nil
}

func (b *benchFlags) repeat(ctx context.Context, t terminal) (bench.Figures, error) {
	var runs []bench.Figures
	for i := range b.runs {
		f, err := b.load.Run(ctx)
		if err != nil {
			return bench.Figures{}, err
		}
		runs = append(runs, f)
		_, _ = fmt.Fprintf(t.err, "%d callers, run %d of %d: %.0f commands/s, p99 %.2f ms; load %s\n",
			f.Callers, i+1, b.runs, f.CommandsPerSecond, f.P99, f.LoadAverage)
	}
	return bench.Median(runs), nil
}

func tellMachine(w io.Writer) {
	m := bench.ThisMachine()
	_, _ = fmt.Fprintf(w, "%d CPUs, load average %s\n", m.CPUs, m.LoadAverage)
}

func benchTable(w io.Writer, results []bench.Figures) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(tab, "journal\tcallers\tentities\tcommands/s\tp50 ms\tp99 ms\tp99.9 ms\tevents/record\tCPU µs/command\traw appends/s\twriters\tbytes/entity\t")
	for _, f := range results {
		_, _ = fmt.Fprintf(tab, "%s\t%d\t%d\t%.0f\t%.3f\t%.3f\t%.3f\t%.1f\t%.2f\t%.0f\t%d\t%.0f\t\n",
			f.Journal, f.Callers, f.Entities, f.CommandsPerSecond, f.P50, f.P99, f.P999, f.EventsPerRecord, f.CPUPerCommand, f.RawAppendsPerSecond, f.RawWriters, f.BytesPerEntity)
	}
	return tab.Flush()
}

// intList is a flag with several counts, separated by commas.
type intList []int

func (l *intList) String() string {
	var words []string
	for _, n := range *l {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ",")
}

func (l *intList) Set(text string) error {
	var list intList
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return fmt.Errorf("%q is not a count; use a list such as 1,16,64", word)
		}
		list = append(list, n)
	}
	*l = list
	return nil
}

// profiled runs do and writes the profiles that have a file.
func profiled(cpu, mem string, do func() error) (err error) {
	if cpu != "" {
		file, err := os.Create(cpu)
		if err != nil {
			return fmt.Errorf("-cpuprofile: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return fmt.Errorf("-cpuprofile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if err := do(); err != nil || mem == "" {
		return err
	}
	return writeAllocations(mem)
}

func writeAllocations(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("-memprofile: %w", err)
	}
	runtime.GC() // so that the profile holds all that was allocated
	return errors.Join(pprof.Lookup("allocs").WriteTo(file, 0), file.Close())
}
