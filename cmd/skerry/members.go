package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func prepareMembers(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		all, silent := node.members(ctx, t.err)
		if len(all) == 0 {
			return silent
		}
		show := func() error { return showMembers(t.out, all) }
		switch {
		case *asJSON && len(all) == 1:
			show = func() error { return printMessage(t.out, all[0]) }
		case *asJSON:
			show = func() error { return printMessages(t.out, all) }
		}
		return errors.Join(show(), silent)
	}
}

// members asks all the addresses. One of several that does not answer is told of on the way, for that is when one looks at the others;
// the error is that not all have answered.
func (n *target) members(ctx context.Context, told io.Writer) (all []*adminv1.Members, err error) {
	addresses := n.addresses()
	for _, addr := range addresses {
		failed := n.at(addr).askCluster(ctx, func(ctx context.Context, of *admin.Client) error {
			m, err := of.Members(ctx)
			if err == nil {
				all = append(all, m)
			}
			return err
		})
		if failed != nil && len(addresses) > 1 {
			_, _ = fmt.Fprintf(told, "%s: %v\n", addr, failed)
		}
		err = cmp.Or(failed, err)
	}
	if len(all) > 0 && err != nil {
		err = fmt.Errorf("%d of %d addresses did not answer", len(addresses)-len(all), len(addresses))
	}
	return all, err
}

func printMessages(w io.Writer, all []*adminv1.Members) error {
	var texts []rawJSON
	for _, m := range all {
		text, err := protojson.MarshalOptions{EmitDefaultValues: true, UseProtoNames: true}.Marshal(m)
		if err != nil {
			return err
		}
		texts = append(texts, text)
	}
	return printJSON(w, texts)
}

// showMembers shows what the first node knows, and whether the others agree.
func showMembers(w io.Writer, all []*adminv1.Members) error {
	m := all[0]
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "NODE\tSTANDING\tSTATE\tSHARDS\tBELONG\tWEIGHT\tVERSION\tSTARTED\tPEER\tAPI\tPROCESS")
	for _, x := range m.GetMembers() {
		row(tab, x.GetNode(), standing(x), state(x, m.GetDrains()), x.GetOwns(), x.GetBelong(), x.GetWeight(), x.GetVersion(), clock(x.GetStarted().AsTime()), x.GetPeer(), x.GetApi(), x.GetIncarnation())
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "\ncluster %s, %d shards; drained: %s; pins: %d\n", safe(m.GetCluster()), m.GetShards(), cmp.Or(safe(strings.Join(m.GetDrains(), " ")), "none"), len(m.GetPins()))
	if why := m.GetOrdersError(); why != "" {
		_, _ = fmt.Fprintf(w, "%s cannot read the orders; those read before stand: %s\n", safe(m.GetNode()), safe(why))
	}
	return showViews(w, all)
}

func showViews(w io.Writer, all []*adminv1.Members) error {
	agree := true
	for _, m := range all {
		agree = agree && m.GetView() == all[0].GetView()
		_, _ = fmt.Fprintf(w, "view %s as %s knows it\n", m.GetView(), safe(m.GetNode()))
	}
	switch {
	case len(all) == 1:
		return nil
	case agree:
		_, err := fmt.Fprintln(w, "they agree")
		return err
	}
	_, err := fmt.Fprintln(w, "they do not agree: for a moment after a change, or there is a partition")
	return err
}

func standing(m *adminv1.Member) string {
	if m.GetVerdict() == "" {
		return m.GetStanding()
	}
	return m.GetStanding() + ", " + m.GetVerdict()
}

// state is how a member says it is, the worst first; empty for one that tells nothing any more.
func state(m *adminv1.Member, drains []string) string {
	if s := m.GetStanding(); s == "lost" || s == "refusing" {
		return "" // what it last said of itself is old
	}
	var words []string
	for _, x := range []struct {
		is   bool
		word string
	}{
		{m.GetJournalLost(), "no journal"},
		{m.GetLeaving(), "leaving"},
		{m.GetDraining() && slices.Contains(drains, m.GetNode()), "drained"},
		{m.GetDraining() && !slices.Contains(drains, m.GetNode()), "wants no shards (see its log)"},
		{!m.GetReady(), "not ready"},
		{m.GetWeight() == 0, "gateway"},
	} {
		if x.is {
			words = append(words, x.word)
		}
	}
	return cmp.Or(strings.Join(words, ", "), "ready")
}
