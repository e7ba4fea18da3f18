package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

// makeJournal is the script command "journal DIR": a service ran there and has ended.
func makeJournal(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	j, err := pebble.Open(pebble.Config{Dir: ts.MkAbs(args[0]), MinFree: -1})
	ts.Check(err)
	_, err = j.Settle(ctx, "history", "0123456789abcdef")
	ts.Check(err)
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{accounts}, Shards: 4, Node: "node-1", Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	for i := range 3 {
		_, err := pay.Ask(ctx, accounts.Ref(host, "ann"), wrapperspb.Int64(int64(i)), entity.Key(fmt.Sprint(i)))
		ts.Check(err)
	}
	ts.Check(host.Stop(ctx))
	ts.Check(j.Close())
}

// damageJournal is the script command "damage DIR": the journal there loses all pages of its entity. It is
// copied without them, and told that they are there.
func damageJournal(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	old, err := pebble.Open(pebble.Config{Dir: ts.MkAbs(args[0]), MinFree: -1})
	ts.Check(err)
	facts := map[string]string{}
	ts.Check(old.Settled(ctx, "", func(name, value string) error { facts[name] = value; return nil }))
	var logs [4][]journal.Record
	for shard := range logs {
		logs[shard], err = old.Read(ctx, uint32(shard), 1, 1<<20)
		ts.Check(err)
	}
	ts.Check(old.Close())

	dir := args[0] + "-damaged"
	j, err := pebble.Open(pebble.Config{Dir: ts.MkAbs(dir), MinFree: -1})
	ts.Check(err)
	for name, value := range facts {
		_, err := j.Settle(ctx, name, value)
		ts.Check(err)
	}
	for shard, log := range logs {
		for _, rec := range log {
			_, err := j.Append(ctx, uint32(shard), rec)
			ts.Check(err)
		}
		ts.Check(j.Derive(ctx, journal.Derived{Shard: uint32(shard), UpTo: uint64(len(log))}))
	}
	ts.Check(j.Close())
}

// lockJournal is the script command "lock DIR": another process has the journal open until the script ends.
func lockJournal(ts *testscript.TestScript, _ bool, args []string) {
	j, err := pebble.Open(pebble.Config{Dir: ts.MkAbs(args[0]), MinFree: -1})
	ts.Check(err)
	ts.Defer(func() { _ = j.Close() })
}

func TestTheBarIsSilentWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out)
	b.tell(1, 2)
	b.end()
	if out.Len() > 0 {
		t.Errorf("printed %q", &out)
	}
	b.out = &out
	for done := range uint64(100_001) {
		b.tell(done, 100_000)
	}
	b.end()
	if n := strings.Count(out.String(), "\r"); n != 1001 || !strings.HasSuffix(out.String(), "100.0 % of 100000 records \n") {
		t.Errorf("drawn %d times, at last %q", n, out.String()[out.Len()-80:])
	}
}
