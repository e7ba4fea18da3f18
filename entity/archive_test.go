package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/archive"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
)

// jar collects until its lid is closed an hour after the last coin; every third coin holds it open for good.
type jar struct {
	Coins  int64
	Closed bool
}

var (
	drop = entity.On(func(j jar, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if j.Closed {
			return entity.None, nil, entity.Reject("closed", "%s is closed", c.EntityID)
		}
		effect := entity.Persist(c.Msg)
		if c.Msg.GetValue()%3 == 0 {
			return effect.Cancel("close"), wrapperspb.Int64(j.Coins + 1), nil
		}
		return effect.Remind("close", c.Time.Add(time.Hour), wrapperspb.String("close")), wrapperspb.Int64(j.Coins + 1), nil
	})
	shut = entity.On(func(_ jar, c entity.Command[*wrapperspb.StringValue]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(c.Msg), &emptypb.Empty{}, nil
	})
	peek = entity.Query(func(j jar, _ entity.Command[*emptypb.Empty]) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(fmt.Sprintf("%d coins, closed %v", j.Coins, j.Closed)), nil
	})
	jars = entity.Define[jar]("jar", drop, shut, peek,
		entity.Apply(func(j jar, _ *wrapperspb.Int64Value) jar { j.Coins++; return j }),
		entity.Apply(func(j jar, _ *wrapperspb.StringValue) jar { j.Closed = true; return j }))
)

const (
	jarCount = 12
	jarCoins = 8
)

// jarHost runs jars by the given clock.
func jarHost(t *testing.T, j journal.Journal, clock *atomic.Int64, log *lockedBuffer) *entity.Host {
	t.Helper()
	return startHost(t, j, func(c *entity.Config) {
		c.Types, c.Shards = []entity.Definition{jars}, 0
		c.Clock = func() time.Time { return time.Unix(0, clock.Load()) }
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
	})
}

func jarNamed(i int) string { return fmt.Sprint("jar ", i) }

// lookAt returns what a jar says of itself.
func lookAt(t *testing.T, h *entity.Host, i int) string {
	t.Helper()
	said, err := peek.Ask(long(t), jars.Ref(h, jarNamed(i)), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	return said.GetValue()
}

// firstJars returns a journal that a host has filled, and that host's history.
func firstJars(t *testing.T, clock *atomic.Int64) (j journal.Journal, history string) {
	t.Helper()
	j = journal.NewMemory()
	for epoch := range 2 {
		h := jarHost(t, j, clock, &lockedBuffer{})
		history = h.Feed().History()
		for n := range jarCoins / 2 {
			clock.Add(int64(2 * time.Second)) // so that there are snapshots
			for i := range jarCount {
				coin := wrapperspb.Int64(int64(1 + (i+n)%4))
				if _, err := drop.Ask(long(t), jars.Ref(h, jarNamed(i)), coin, entity.Key(fmt.Sprint(epoch, n))); err != nil {
					t.Fatal(err)
				}
			}
		}
		stopHost(t, h)
		clock.Add(int64(time.Minute))
	}
	return j, history
}

func TestAnImportedJournalServesAsTheOneExported(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	from, history := firstJars(t, &clock)
	report, err := archive.Verify(t.Context(), archive.VerifyConfig{Journal: from})
	if err != nil || len(report.Findings) > 0 || report.Snapshots == 0 || report.Timers == 0 {
		t.Fatalf("what a host left: %+v, %v", report, err)
	}
	dir := t.TempDir()
	if _, err := archive.Export(t.Context(), archive.ExportConfig{Journal: from, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(t *testing.T) journal.Journal{
		"memory":    func(*testing.T) journal.Journal { return journal.NewMemory() },
		"pebble":    openPebbleTarget,
		"cassandra": openCassandraTarget,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var now atomic.Int64
			now.Store(clock.Load())
			to := open(t)
			if _, err := archive.Import(t.Context(), archive.ImportConfig{Journal: to, Dir: dir}); err != nil {
				t.Fatal(err)
			}
			var log lockedBuffer
			serveJars(t, to, &now, &log, history)
			fireJars(t, to, &now, &log)
			if strings.Contains(log.String(), "hole") {
				t.Errorf("an entity was read from the log, not from pages:\n%s", &log)
			}
			report, err := archive.Verify(t.Context(), archive.VerifyConfig{Journal: to})
			if err != nil || len(report.Findings) > 0 || len(report.Unchecked) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
			if report != nil && (report.Entities != jarCount || report.Pages == 0) {
				t.Errorf("%+v", report)
			}
		})
	}
}

// serveJars finds the states, repeats a command of the source, and goes on.
func serveJars(t *testing.T, j journal.Journal, clock *atomic.Int64, log *lockedBuffer, history string) {
	t.Helper()
	h := jarHost(t, j, clock, log)
	defer stopHost(t, h)
	if got := h.Feed().History(); got == history || got == "" {
		t.Errorf("the history is %q, the source's %q", got, history)
	}
	for i := range jarCount {
		if got, want := lookAt(t, h, i), fmt.Sprint(jarCoins, " coins, closed false"); got != want {
			t.Errorf("jar %d: %s, want %s", i, got, want)
		}
		var got entity.Receipt
		n := i % (jarCoins / 2)
		coin := wrapperspb.Int64(int64(1 + (i+n)%4))
		reply, err := drop.Ask(long(t), jars.Ref(h, jarNamed(i)), coin, entity.Key(fmt.Sprint(1, n)), entity.Receive(&got))
		if err != nil || !got.Repeated || reply.GetValue() != int64(jarCoins/2+n+1) {
			t.Errorf("jar %d: a repeat is answered with %v, %+v, %v", i, reply, got, err)
		}
	}
	if _, err := drop.Ask(long(t), jars.Ref(h, jarNamed(0)), wrapperspb.Int64(1)); err != nil {
		t.Error(err)
	}
}

// fireJars waits until the timers that the source armed have fired, of entities that nobody asks for anything.
func fireJars(t *testing.T, j journal.Journal, clock *atomic.Int64, log *lockedBuffer) {
	t.Helper()
	clock.Add(int64(2 * time.Hour))
	h := jarHost(t, j, clock, log)
	defer stopHost(t, h)
	closes := 0
	for i := range jarCount {
		last := 1 + (i+jarCoins/2-1)%4
		if last%3 == 0 && i != 0 {
			continue
		}
		closes++
		eventually(t, jarNamed(i)+" is closed by its timer", func() bool {
			info, err := h.Inspect(t.Context(), "jar", jarNamed(i), nil)
			return err == nil && strings.Contains(string(info.State), `"Closed":true`)
		})
	}
	if closes == 0 || closes == jarCount {
		t.Errorf("%d of %d jars are closed: choose others", closes, jarCount)
	}
	for i := range jarCount {
		if last := 1 + (i+jarCoins/2-1)%4; last%3 == 0 && i != 0 && !strings.HasSuffix(lookAt(t, h, i), "false") {
			t.Errorf("jar %d, whose timer was cancelled: %s", i, lookAt(t, h, i))
		}
	}
}

func openPebbleTarget(t *testing.T) journal.Journal {
	j, err := pebble.Open(pebble.Config{Dir: filepath.Join(t.TempDir(), "journal"), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func openCassandraTarget(t *testing.T) journal.Journal {
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	cfg := cassandra.Config{
		Hosts: cassandraNode.Hosts(t), Keyspace: fmt.Sprintf("archive_%d", time.Now().UnixNano()),
		Development: true, Logger: slog.New(slog.DiscardHandler),
	}
	j, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(j.Close(), cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg))
		if err != nil {
			t.Error(err)
		}
	})
	return j
}

func TestAHostDoesNotServeFromHalfAnArchive(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	if _, err := j.Settle(t.Context(), journal.ImportingFact, "0123"); err != nil {
		t.Fatal(err)
	}
	_, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{jars}})
	if !errors.Is(err, entity.ErrImporting) || !strings.Contains(err.Error(), "archive 0123") {
		t.Errorf("a start ended with %v", err)
	}
	if _, err := j.Settle(t.Context(), journal.ImportedFact, "0123"); err != nil {
		t.Fatal(err)
	}
	startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{jars} })
}
