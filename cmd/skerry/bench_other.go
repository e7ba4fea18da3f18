package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/skerryhq/skerry/cmd/skerry/internal/bench"
)

func prepareRecovery(flags *flag.FlagSet, t terminal) action {
	var r bench.Recovery
	setupFlags(flags, &r.Setup, t)
	flags.IntVar(&r.Events, "events", 10_000, "events of the entity")
	flags.IntVar(&r.Runs, "runs", 5, "recover this often and print the median")
	asJSON := jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		if err := checked(r.Check(), t); err != nil {
			return err
		}
		f, err := r.Run(ctx)
		if err != nil {
			return err
		}
		return report(t.out, *asJSON, f, "recovery of %d events: %.2f ms (median of %v); when live: %.3f ms\n", f.Events, f.RecoveryMS, f.RunsMS, f.AnswerMS)
	}
}

func prepareTakeover(flags *flag.FlagSet, t terminal) action {
	var o bench.Takeover
	setupFlags(flags, &o.Setup, t)
	flags.IntVar(&o.TailBytes, "tail", 4<<20, "`bytes` of payload that no page holds")
	flags.IntVar(&o.Runs, "runs", 5, "take over this often and print the median")
	asJSON := jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		if err := checked(o.Check(), t); err != nil {
			return err
		}
		f, err := o.Run(ctx)
		if err != nil {
			return err
		}
		return report(t.out, *asJSON, f, "a host with a tail of %d events (%d bytes) serves after %.2f ms (median of %v)\n", f.Events, f.TailBytes, f.TakeoverMS, f.RunsMS)
	}
}

func preparePassive(flags *flag.FlagSet, t terminal) action {
	var p bench.Passive
	setupFlags(flags, &p.Setup, t)
	flags.IntVar(&p.Entities, "entities", 1_000_000, "entities that are live once")
	asJSON := jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		if err := checked(p.Check(), t); err != nil {
			return err
		}
		f, err := p.Run(ctx)
		if err != nil {
			return err
		}
		return report(t.out, *asJSON, f, "%d entities went passive in %.1f s: heap %d bytes before, %d after, growth %.1f MB\n",
			f.Entities, f.Seconds, f.HeapBefore, f.HeapAfter, float64(f.Growth)/1e6)
	}
}

func prepareStart(flags *flag.FlagSet, t terminal) action {
	s := bench.Start{Command: startSelf}
	setupFlags(flags, &s.Setup, t)
	megabytes := flags.Int64("megabytes", 1000, "size of the journal")
	flags.IntVar(&s.Entities, "entities", 1000, "entities in the journal")
	flags.IntVar(&s.Runs, "runs", 5, "start this often and print the median")
	asJSON := jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		s.JournalBytes = *megabytes * 1e6
		if err := checked(s.Check(), t); err != nil {
			return err
		}
		f, err := s.Run(ctx)
		if err != nil {
			return err
		}
		return report(t.out, *asJSON, f, "process start to first answer on %.0f MB (%d events): %.0f ms (median of %v)\n",
			float64(f.JournalBytes)/1e6, f.Events, f.StartMS, f.RunsMS)
	}
}

func report(w io.Writer, asJSON bool, figures any, format string, args ...any) error {
	if asJSON {
		return printJSON(w, figures)
	}
	_, err := fmt.Fprintf(w, format, args...)
	return err
}

// firstAnswerCommand is how "bench start" starts this program anew; it is not in the help.
const firstAnswerCommand = "bench-first-answer"

func startSelf(ctx context.Context, s bench.Setup, dir string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.CommandContext(ctx, self, firstAnswerCommand, dir, strconv.Itoa(s.Shards))
	cmd.Args[0] = os.Args[0]
	return cmd
}

func firstAnswer(ctx context.Context, args []string, t terminal) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: %s is for skerry bench start only", errUsage, firstAnswerCommand)
	}
	shards, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("%w: %q shards", errUsage, args[1])
	}
	var s bench.Setup
	setupFlags(flag.NewFlagSet("", flag.ContinueOnError), &s, t)
	s.Shards = shards
	return bench.FirstAnswer(ctx, s, args[0], func() { _, _ = io.WriteString(t.out, bench.Answered) })
}
