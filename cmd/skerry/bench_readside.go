package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/skerryhq/skerry/cmd/skerry/internal/bench"
)

// readSideFlags are those of "skerry bench -readside".
type readSideFlags struct {
	store   string
	rate    int
	catchUp int
}

func (r *readSideFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&r.store, "readside", "", "measure a read model instead of commands: sqlite")
	flags.IntVar(&r.rate, "rate", 1000, "with -readside or -fault: commands per second, each sent at its time")
	flags.IntVar(&r.catchUp, "catchup", 0, "with -readside: measure how fast a new processor takes in this many events")
}

// measureReadSide measures lag or catch-up, as the flags say.
func (b *benchFlags) measureReadSide(ctx context.Context, t terminal) error {
	side := bench.ReadSide{Setup: b.load.Setup, Store: b.readSide.store, Entities: b.load.Entities}
	if b.readSide.catchUp != 0 {
		return b.measureCatchUp(ctx, t, bench.CatchUp{ReadSide: side, Events: b.readSide.catchUp, Runs: b.runs})
	}
	return b.measureLag(ctx, t, bench.Lag{ReadSide: side, Rate: b.readSide.rate, Warm: b.load.Warm, For: b.load.For})
}

func (b *benchFlags) measureCatchUp(ctx context.Context, t terminal, c bench.CatchUp) error {
	if err := checked(c.Check(), t); err != nil {
		return err
	}
	f, err := c.Run(ctx)
	if err != nil {
		return err
	}
	return report(t.out, *b.asJSON, f, "catch-up with %d events: %.0f events/s (median of %.0f)\n", f.Events, f.EventsPerSecond, f.Runs)
}

func (b *benchFlags) measureLag(ctx context.Context, t terminal, l bench.Lag) error {
	if err := checked(l.Check(), t); err != nil {
		return err
	}
	var runs []bench.LagFigures
	for i := range b.runs {
		f, err := l.Run(ctx)
		if err != nil {
			return err
		}
		runs = append(runs, f)
		_, _ = fmt.Fprintf(t.err, "run %d of %d: lag p50 %.2f ms, p99 %.2f ms; load %s\n", i+1, b.runs, f.P50, f.P99, f.LoadAverage)
	}
	f := bench.MedianLag(runs)
	return report(t.out, *b.asJSON, f, "lag at %d events/s: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms (answers: p50 %.2f ms, p99 %.2f ms)\n",
		f.Rate, f.P50, f.P99, f.P999, f.AnswerP50, f.AnswerP99)
}
