package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/archive"
)

// errFindings ends a verify that found something: the report was printed.
var errFindings = errors.New("the journal is damaged")

func prepareVerify(flags *flag.FlagSet, t terminal) action {
	where, asJSON := placeFlag(flags, t), jsonFlag(flags)
	limit := flags.Int("findings", 100, "print at most this `many`")
	return func(ctx context.Context, _ []string) error {
		if *limit < 1 {
			return fmt.Errorf("%w: -findings %d: use 1 or more", errUsage, *limit)
		}
		return where.with(ctx, func(j journal.Journal) error {
			b := newBar(t.err)
			report, err := archive.Verify(ctx, archive.VerifyConfig{Journal: j, MaxFindings: *limit, Progress: b.tell})
			b.end()
			if err != nil {
				return err
			}
			if err := printReport(t.out, report, *asJSON); err != nil {
				return err
			}
			if n := uint64(len(report.Findings)) + report.Omitted; n > 0 {
				return fmt.Errorf("%w: %d findings: restore a backup, or import an archive", errFindings, n)
			}
			return nil
		})
	}
}

func printReport(w io.Writer, r *archive.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	for _, f := range r.Findings {
		_, _ = fmt.Fprintln(w, safe(f.String()))
	}
	if r.Omitted > 0 {
		_, _ = fmt.Fprintf(w, "… and %d more findings\n", r.Omitted)
	}
	for _, what := range r.Unchecked {
		_, _ = fmt.Fprintf(w, "not checked: %s\n", what)
	}
	_, err := fmt.Fprintf(w, "%d shards, %d records, %d events, %d entities, %d pages, %d snapshots, %d pending timers: %d findings\n",
		r.Shards, r.Records, r.Events, r.Entities, r.Pages, r.Snapshots, r.Timers, uint64(len(r.Findings))+r.Omitted)
	return err
}

func prepareExport(flags *flag.FlagSet, t terminal) action {
	where, asJSON := placeFlag(flags, t), jsonFlag(flags)
	return func(ctx context.Context, args []string) error {
		return where.with(ctx, func(j journal.Journal) error {
			b := newBar(t.err)
			sum, err := archive.Export(ctx, archive.ExportConfig{Journal: j, Dir: args[0], Progress: b.tell})
			b.end()
			if err != nil {
				return err
			}
			return printSummary(t.out, "exported", sum, *asJSON)
		})
	}
}

func prepareImport(flags *flag.FlagSet, t terminal) action {
	where, asJSON := placeFlag(flags, t), jsonFlag(flags)
	where.mayBeNew = true
	same := flags.Bool("same-history", false, "keep the history: tokens and processors go on, so the source must never be used again")
	parallel := flags.Int("parallel", 16, "import this `many` shards at a time")
	return func(ctx context.Context, args []string) error {
		if *parallel < 1 {
			return fmt.Errorf("%w: -parallel %d: use 1 or more", errUsage, *parallel)
		}
		return where.with(ctx, func(j journal.Journal) error {
			b := newBar(t.err)
			sum, err := archive.Import(ctx, archive.ImportConfig{Journal: j, Dir: args[0], SameHistory: *same, Parallel: *parallel, Progress: b.tell})
			b.end()
			if err != nil {
				return err
			}
			return printSummary(t.out, "imported", sum, *asJSON)
		})
	}
}

func printSummary(w io.Writer, done string, s archive.Summary, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	_, err := fmt.Fprintf(w, "%s archive %s: %d shards, %d records (%d of them before), %d events, %d bytes; the journal's history is %s\n",
		done, s.Archive, s.Shards, s.Records, s.Resumed, s.Events, s.Bytes, safe(s.History))
	return err
}

func prepareStat(flags *flag.FlagSet, t terminal) action {
	where, asJSON := placeFlag(flags, t), jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		return where.with(ctx, func(j journal.Journal) error {
			b := newBar(t.err)
			stats, err := archive.Stat(ctx, j, b.tell)
			b.end()
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(t.out, stats)
			}
			return statTable(t.out, stats)
		})
	}
}

func statTable(w io.Writer, s *archive.Stats) error {
	_, _ = fmt.Fprintf(w, "history %s\n\n", safe(s.History))
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "SHARD\tRECORDS\tEVENTS\tBYTES\tENTITIES\tEPOCH\tAVERAGE RECORD\tFLUSH LAG")
	for _, one := range s.Shards {
		statRow(tab, one.Shard, one)
	}
	statRow(tab, "total", s.Total)
	return tab.Flush()
}

func statRow(w io.Writer, shard any, s archive.ShardStats) {
	row(w, shard, s.Records, s.Events, s.Bytes, s.Entities, s.Epoch, s.AverageRecord, s.FlushLag)
}
