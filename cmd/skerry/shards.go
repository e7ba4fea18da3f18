package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func prepareShards(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	moving := flags.Bool("moving", false, "show only shards that are not where they belong, or on their way")
	return func(ctx context.Context, _ []string) error {
		return node.ask(ctx, func(ctx context.Context, of admin.Inspector) error {
			here, err := of.Shards(ctx)
			if err != nil {
				return err
			}
			placed, err := of.(*admin.Client).Placement(ctx)
			if isSingle(err) {
				placed, err = nil, nil
			}
			if err != nil {
				return err
			}
			rows := joined(here, placed, *moving)
			switch {
			case *asJSON:
				return printJSON(t.out, rows)
			case placed == nil:
				return shardTable(t.out, rows)
			}
			return placementTable(t.out, rows, placed)
		})
	}
}

// shardRow is a shard as the node sees it, and in a cluster where it is and belongs.
type shardRow struct {
	entity.ShardInfo
	*shardPlace
}

// shardPlace is where a shard of a cluster is, as one node knows it.
type shardPlace struct {
	Node       string    `json:"node"`
	Belongs    string    `json:"belongs"`
	Why        string    `json:"why"`
	Instead    string    `json:"instead,omitempty"`
	Pin        string    `json:"pin,omitempty"`
	PinIgnored string    `json:"pin_ignored,omitempty"`
	State      string    `json:"state"`
	Since      time.Time `json:"since,omitzero"`
	Asked      string    `json:"asked,omitempty"`
	RetryAt    time.Time `json:"retry_at,omitzero"`
}

func joined(here []entity.ShardInfo, placed *adminv1.Placement, moving bool) []shardRow {
	rows := []shardRow{}
	for i, info := range here {
		if placed == nil || i >= len(placed.GetShards()) {
			rows = append(rows, shardRow{ShardInfo: info})
			continue
		}
		x := placed.GetShards()[i]
		if moving && atRest(x) {
			continue
		}
		rows = append(rows, shardRow{seen(info, x), placeOf(x)})
	}
	return rows
}

// seen is what the node knows of a shard. Of one that it does not serve it keeps what it last saw, which others have moved on from.
func seen(info entity.ShardInfo, x *adminv1.PlacedShard) entity.ShardInfo {
	if x.GetState() == elsewhere {
		info = entity.ShardInfo{Shard: info.Shard, Phase: elsewhere}
	}
	info.Owner, info.Epoch = x.GetOwner(), x.GetEpoch()
	return info
}

func placeOf(x *adminv1.PlacedShard) *shardPlace {
	p := &shardPlace{
		Node: x.GetNode(), Belongs: x.GetBelongs(), Why: x.GetWhy(), Instead: x.GetInstead(), Pin: x.GetPin(), PinIgnored: x.GetPinIgnored(),
		State: x.GetState(), Asked: x.GetAsked(),
	}
	if x.GetSince() != nil && x.GetState() != elsewhere {
		p.Since = x.GetSince().AsTime()
	}
	if x.GetRetryAt() != nil {
		p.RetryAt = x.GetRetryAt().AsTime()
	}
	return p
}

// atRest tells that a shard is where it belongs and nothing is done about it.
func atRest(x *adminv1.PlacedShard) bool {
	return x.GetNode() != "" && x.GetNode() == x.GetBelongs() && (x.GetState() == "serving" || x.GetState() == elsewhere)
}

func shardTable(w io.Writer, shards []shardRow) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "SHARD\tPHASE\tOWNER\tEPOCH\tHEAD\tFLUSHED\tOFFSET\tLIVE\tPENDING\tREASON")
	for _, s := range shards {
		_, _ = fmt.Fprintf(tab, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n",
			s.Shard, s.Phase, safe(s.Owner), s.Epoch, s.Head, s.Flushed, s.Offset, s.Live, s.Pending, safe(s.Reason))
	}
	return tab.Flush()
}

// placementTable shows where shards are and belong; what is HERE is that of the node which tells.
func placementTable(w io.Writer, shards []shardRow, all *adminv1.Placement) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "SHARD\tNODE\tEPOCH\tBELONGS\tWHY\tHERE\tSINCE\tHEAD\tPENDING\tREASON")
	for _, s := range shards {
		row(tab, s.Shard, s.Node, s.Epoch, s.Belongs, why(s.shardPlace), doing(s.shardPlace), clock(s.Since), s.here(s.Head), s.here(s.Pending), s.Reason)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	away := 0
	for _, x := range all.GetShards() {
		if !atRest(x) {
			away++
		}
	}
	_, err := fmt.Fprintf(w, "\nview %s as %s knows it; %d of %d shards are not at rest where they belong\n", all.GetView(), safe(all.GetNode()), away, len(all.GetShards()))
	return err
}

// here is a figure of a shard; a node has none of those that others serve.
func (s shardRow) here(figure any) string {
	if s.State == elsewhere {
		return ""
	}
	return fmt.Sprint(figure)
}

func why(p *shardPlace) string {
	text := p.Why
	if p.Instead != "" {
		text += ", instead of " + p.Instead
	}
	if p.PinIgnored != "" {
		text += fmt.Sprintf("; pin to %s ignored: %s", p.Pin, p.PinIgnored)
	}
	return text
}

func doing(p *shardPlace) string {
	text := p.State
	if p.Asked != "" {
		text += ", " + p.Asked
	}
	if !p.RetryAt.IsZero() {
		text += ", again at " + clock(p.RetryAt)
	}
	return text
}
