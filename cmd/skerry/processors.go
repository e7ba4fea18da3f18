package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func prepareProcessors(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	byShard := flags.Bool("shards", false, "show each shard of each processor")
	return func(ctx context.Context, _ []string) error {
		return node.askReadSide(ctx, func(ctx context.Context, of admin.ReadSide) error {
			status, err := of.Status(ctx)
			switch {
			case err != nil:
				return err
			case *asJSON:
				return printMessage(t.out, status)
			case *byShard:
				return processorShardTable(t.out, status)
			}
			return processorTable(t.out, status)
		})
	}
}

func prepareParked(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, args []string) error {
		return node.askReadSide(ctx, func(ctx context.Context, of admin.ReadSide) error {
			parked, err := of.Parked(ctx, args[0])
			switch {
			case err != nil:
				return err
			case *asJSON:
				return printMessage(t.out, parked)
			}
			return parkedTable(t.out, parked)
		})
	}
}

func prepareRetry(flags *flag.FlagSet, t terminal) action {
	return prepareVerb(flags, t, "done: what was parked is committed", func(ctx context.Context, of admin.ReadSide, args []string) error {
		return of.Retry(ctx, args[0], args[1], args[2])
	})
}

func preparePause(flags *flag.FlagSet, t terminal) action {
	return prepareVerb(flags, t, "paused, until it is resumed", func(ctx context.Context, of admin.ReadSide, args []string) error {
		return of.Pause(ctx, args[0])
	})
}

func prepareResume(flags *flag.FlagSet, t terminal) action {
	return prepareVerb(flags, t, "resumed", func(ctx context.Context, of admin.ReadSide, args []string) error {
		return of.Resume(ctx, args[0])
	})
}

// prepareVerb is a command that does something and says so.
func prepareVerb(flags *flag.FlagSet, t terminal, says string, do func(context.Context, admin.ReadSide, []string) error) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, args []string) error {
		return node.askReadSide(ctx, func(ctx context.Context, of admin.ReadSide) error {
			if err := do(ctx, of, args); err != nil {
				return err
			}
			if *asJSON {
				return printJSON(t.out, map[string]string{"processor": args[0], "outcome": says})
			}
			_, err := fmt.Fprintf(t.out, "%s: %s\n", safe(args[0]), says)
			return err
		})
	}
}

// askReadSide is ask for what the processors know.
func (n *target) askReadSide(ctx context.Context, do func(context.Context, admin.ReadSide) error) error {
	return n.ask(ctx, func(ctx context.Context, of admin.Inspector) error { return do(ctx, of.(*admin.Client)) })
}

// printMessage prints with the names and forms that the admin listener uses.
func printMessage(w io.Writer, m proto.Message) error {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true, UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	return printJSON(w, rawJSON(text))
}

// rawJSON is JSON text as it is, indented by the printer.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func processorTable(w io.Writer, all *adminv1.Processors) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "PROCESSOR\tSTATE\tLAG EVENTS\tLAG\tHANDLED\tERRORS\tSLOW\tPARKED\tWAITING BEHIND\tREASON")
	for _, p := range all.GetProcessors() {
		row(tab, p.GetName(), stateOf(p), p.GetLagEvents(), lag(p.GetLagMs()), p.GetHandledEvents(), p.GetErrors(), p.GetSlowHandlers(),
			p.GetParkedEntities(), p.GetParkedCommands()-p.GetParkedEntities(), reasonOf(p))
	}
	return tab.Flush()
}

// stateOf is the processor's, with a word about shards that do not follow, and about those that run on other nodes.
func stateOf(p *adminv1.Processor) string {
	troubled, abroad := 0, 0
	for _, s := range p.GetShards() {
		switch s.GetState() {
		case elsewhere:
			abroad++
		case "following", "loading":
		default:
			troubled++
		}
	}
	words := p.GetState()
	if troubled > 0 && words == "running" {
		words += fmt.Sprintf(", but for %d of %d shards here", troubled, len(p.GetShards())-abroad)
	}
	if abroad > 0 {
		words += fmt.Sprintf("; %s on other nodes", shardsOf(abroad))
	}
	return words
}

// elsewhere is the state of a shard that another node of the cluster has, for processors and owners alike.
const elsewhere = "elsewhere"

// reasonOf is the processor's, or that of its first shard in trouble.
func reasonOf(p *adminv1.Processor) string {
	reason := p.GetReason()
	for _, s := range p.GetShards() {
		if s.GetReason() != "" {
			reason = cmp.Or(reason, fmt.Sprintf("shard %d is %s: %s", s.GetShard(), s.GetState(), s.GetReason()))
		}
	}
	return reason
}

func processorShardTable(w io.Writer, all *adminv1.Processors) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "PROCESSOR\tSHARD\tSTATE\tRECORD\tOFFSET\tHEAD OFFSET\tLAG\tERRORS\tPARKED\tNEXT TRY\tREASON\tLAST ERROR")
	for _, p := range all.GetProcessors() {
		for _, s := range p.GetShards() {
			row(tab, p.GetName(), s.GetShard(), s.GetState(), s.GetRecord(), s.GetOffset(), s.GetHeadOffset(), lag(s.GetLagMs()), s.GetErrors(),
				s.GetParkedEntities(), clock(stamp(s.GetRetryAt())), s.GetReason(), s.GetLastError())
		}
	}
	return tab.Flush()
}

func parkedTable(w io.Writer, parked *adminv1.ParkedEntities) error {
	if len(parked.GetEntities()) == 0 {
		_, err := fmt.Fprintln(w, "Nothing is parked.")
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "TYPE\tID\tSHARD\tRECORD\tOFFSET\tCOMMANDS\tATTEMPTS\tSINCE\tERROR")
	for _, e := range parked.GetEntities() {
		row(tab, e.GetType(), e.GetId(), e.GetShard(), e.GetRecord(), e.GetOffset(), e.GetCommands(), e.GetAttempts(), clock(stamp(e.GetSince())), e.GetError())
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if parked.GetCut() {
		_, err := fmt.Fprintln(w, "… and more")
		return err
	}
	return nil
}

func lag(ms int64) string {
	if ms == 0 {
		return "0"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

func stamp(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
