package catalogue_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
)

// patience bounds what is waited for, on a machine that does much else at the time.
const patience = 3 * time.Minute

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fatal is what the two kinds of test have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// house runs lots and sales on a journal in memory; its time moves when the test says so.
type house struct {
	t       fatal
	ctx     func() context.Context
	journal journal.Journal
	host    *entity.Host
	runner  *readside.Runner
	clock   atomic.Int64
	sent    int
}

func newHouse(ctx func() context.Context, t fatal) *house {
	h := &house{t: t, ctx: ctx, journal: journal.NewMemory()}
	h.clock.Store(noon.UnixNano())
	return h
}

func (h *house) now() time.Time { return time.Unix(0, h.clock.Load()) }

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open runs the given types.
func (h *house) open(types ...entity.Definition) {
	h.t.Helper()
	var err error
	h.host, err = entity.Start(h.ctx(), entity.Config{Journal: h.journal, Types: types, Shards: 4, Clock: h.now, Logger: slog.New(slog.DiscardHandler)})
	h.must(err)
}

func (h *house) openToday() { h.open(auction.Lots, auction.Sales) }

func (h *house) close() {
	h.t.Helper()
	h.stopFollowing()
	h.must(h.host.Stop(h.ctx()))
}

// follow lets the read model follow the log.
func (h *house) follow(c *catalogue.Catalogue) {
	h.t.Helper()
	var err error
	h.runner, err = readside.Start(h.ctx(), readside.Config{Source: h.host.Feed(), Processors: []readside.Processor{c.Processor()}, Logger: slog.New(slog.DiscardHandler)})
	h.must(err)
}

func (h *house) stopFollowing() {
	h.t.Helper()
	if h.runner != nil {
		h.must(h.runner.Stop(h.ctx()))
		h.runner = nil
	}
}

// send sends a command and tells whether it was taken. What is refused is no fault here.
func (h *house) send(typ, id string, cmd proto.Message) bool {
	h.t.Helper()
	h.sent++
	payload, err := proto.Marshal(cmd)
	h.must(err)
	_, err = h.host.Call(h.ctx(), &entity.Request{
		Type: typ, ID: id, Command: string(cmd.ProtoReflect().Descriptor().FullName()), Payload: payload, Key: entity.CallerKey(fmt.Sprint("k", h.sent)),
	})
	var no *entity.Rejection
	if err != nil && !errors.As(err, &no) {
		h.t.Fatal(err)
	}
	return err == nil
}

// head is the position of everything that is stored.
func (h *house) head() journal.Token {
	t := journal.Token{History: h.host.Feed().History()}
	for shard := range uint32(h.host.Feed().Shards()) {
		if head, _ := h.host.Feed().Head(shard); head.NextOffset() > 1 {
			t = t.With(shard, head.NextOffset()-1)
		}
	}
	return t
}

// catchUp waits until the read model has seen everything.
func (h *house) catchUp() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.ctx(), patience)
	defer cancel()
	h.must(h.runner.WaitFor(ctx, catalogue.Name, h.head()))
}

// fold is what the whole log says.
func (h *house) fold() *cataloguetest.Truth {
	h.t.Helper()
	is, err := cataloguetest.Fold(h.ctx(), h.host.Feed().Records, h.host.Feed().Shards(), nil)
	h.must(err)
	return is
}
