package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func prepareBreakers(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		return node.ask(ctx, func(ctx context.Context, of admin.Inspector) error {
			all, err := of.(*admin.Client).Breakers(ctx)
			switch {
			case err != nil:
				return err
			case *asJSON:
				return printMessage(t.out, all)
			}
			return breakerTable(t.out, all)
		})
	}
}

func prepareBreaker(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, args []string) error {
		return node.ask(ctx, func(ctx context.Context, of admin.Inspector) error {
			b, err := of.(*admin.Client).Breaker(ctx, args[0])
			switch {
			case err != nil:
				return err
			case *asJSON:
				return printMessage(t.out, b)
			}
			return printBreaker(t.out, b)
		})
	}
}

func breakerTable(w io.Writer, all *adminv1.Breakers) error {
	if len(all.GetBreakers()) == 0 {
		_, err := fmt.Fprintln(w, "No call has gone through a breaker yet.")
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "BREAKER\tSTATE\tSINCE\tRETRY AFTER\tIN A ROW\tSUCCEEDED\tREJECTED\tFAILED\tTIMED OUT\tREFUSED\tOPENED")
	for _, b := range all.GetBreakers() {
		c := b.GetCounts()
		row(tab, b.GetId(), breakerState(b), clock(stamp(b.GetSince())), span(b.GetRetryAfter()), b.GetFailures(),
			c.GetSucceeded(), c.GetRejected(), c.GetFailed(), c.GetTimedOut(), c.GetRefused()+c.GetFull(), c.GetOpened())
	}
	return tab.Flush()
}

func printBreaker(w io.Writer, b *adminv1.Breaker) error {
	if err := breakerTable(w, &adminv1.Breakers{Breakers: []*adminv1.Breaker{b}}); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "\nsettings: %s\n", strings.Join(breakerSettings(b.GetSettings()), ", "))
	if len(b.GetTransitions()) == 0 {
		_, err := fmt.Fprintln(w, "It has always been closed.")
		return err
	}
	_, _ = fmt.Fprintln(w)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "AT\tFROM\tTO\tREASON\tIN A ROW\tWAIT\tLAST FAILURE")
	for _, t := range b.GetTransitions() {
		row(tab, clock(stamp(t.GetAt())), t.GetFrom(), t.GetTo(), t.GetReason(), t.GetFailures(), span(t.GetWait()), t.GetCause())
	}
	return tab.Flush()
}

func breakerState(b *adminv1.Breaker) string {
	if !b.GetEnabled() {
		return "off"
	}
	return b.GetState()
}

// breakerSettings tells what is on.
func breakerSettings(s *adminv1.BreakerSettings) []string {
	var words []string
	add := func(name string, value any, on bool) {
		if on {
			words = append(words, fmt.Sprint(name, " ", value))
		}
	}
	add("max-failures", s.GetMaxFailures(), s.GetMaxFailures() > 0)
	add("call-timeout", span(s.GetCallTimeout()), s.GetCallTimeout().AsDuration() > 0)
	add("reset-timeout", span(s.GetResetTimeout()), true)
	add("max-reset-timeout", span(s.GetMaxResetTimeout()), s.GetMaxResetTimeout().AsDuration() > s.GetResetTimeout().AsDuration())
	add("reset-jitter", s.GetResetJitter(), s.GetResetJitter() > 0)
	add("failure-rate", fmt.Sprintf("%v of %d calls in %s", s.GetFailureRate(), s.GetMinCalls(), span(s.GetWindow())), s.GetFailureRate() > 0)
	add("slow-after", span(s.GetSlowAfter()), s.GetSlowAfter().AsDuration() > 0)
	add("max-concurrent", s.GetMaxConcurrent(), s.GetMaxConcurrent() > 0)
	add("min-deadline", span(s.GetMinDeadline()), s.GetMinDeadline().AsDuration() > 0)
	add("kinds of error that are answers", s.GetIgnoredErrors(), s.GetIgnoredErrors() > 0)
	return words
}

// span is a duration, empty if there is none.
func span(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	return d.AsDuration().String()
}
