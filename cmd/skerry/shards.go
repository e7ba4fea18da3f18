package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
)

func prepareShards(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	return func(ctx context.Context, _ []string) error {
		return node.ask(ctx, func(ctx context.Context, of admin.Inspector) error {
			shards, err := of.Shards(ctx)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(t.out, shards)
			}
			return shardTable(t.out, shards)
		})
	}
}

func shardTable(w io.Writer, shards []entity.ShardInfo) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tab, "SHARD\tPHASE\tOWNER\tEPOCH\tHEAD\tFLUSHED\tOFFSET\tLIVE\tPENDING\tREASON")
	for _, s := range shards {
		_, _ = fmt.Fprintf(tab, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n",
			s.Shard, s.Phase, safe(s.Owner), s.Epoch, s.Head, s.Flushed, s.Offset, s.Live, s.Pending, safe(s.Reason))
	}
	return tab.Flush()
}
