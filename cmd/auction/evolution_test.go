package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal/pebble"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// What was once stored must be readable for ever. testdata has the journal of a house for each release
// that stored something in a new way. That of 0.1.0 has lots open and closed, timed and live, one with more bids than its view keeps, a deadline
// that was still to come, and a bidder who was called "paddle 7" when that was just a name. Its bids are stored as
// BidPlaced; expected.json is what that program said of them. Nothing of it is ever changed.
//
// When a release is cut: go test ./cmd/auction -run RecordAJournal -record-journal 0.2.0

// golden is expected.json.
type golden struct {
	Now     time.Time // when it was stopped
	Lots    []goldenLot
	Answers []goldenAnswer
}

// goldenLot is a lot as it stood at the end.
type goldenLot struct {
	Lot     string
	Version uint64
	View    json.RawMessage
	Events  []goldenEvent
}

type goldenEvent struct {
	Type string
	Data json.RawMessage
}

// goldenAnswer is a command that was answered shortly before the end.
type goldenAnswer struct {
	Lot, Key, Command string
	Payload           json.RawMessage
	Version           uint64
	Reply             json.RawMessage
	Rejected          string
}

// revived is a house of an earlier release, run by this one at a time of the test's choice.
type revived struct {
	*golden
	t      *testing.T
	dir    string
	clock  atomic.Int64
	host   *entity.Host
	lots   *catalogue.Catalogue
	runner *readside.Runner
	close  func()
}

func revive(t *testing.T, release string) *revived {
	t.Helper()
	return reviveFrom(t, filepath.Join("testdata", release))
}

func reviveFrom(t *testing.T, from string) *revived {
	t.Helper()
	h := &revived{t: t, dir: t.TempDir(), golden: &golden{}}
	text, err := os.ReadFile(filepath.Join(from, "expected.json"))
	h.must(err)
	h.must(json.Unmarshal(text, h.golden))
	h.must(os.CopyFS(filepath.Join(h.dir, "journal"), os.DirFS(filepath.Join(from, "pebble"))))
	h.clock.Store(h.Now.Add(30 * time.Second).UnixNano())
	h.open()
	t.Cleanup(func() { h.close() })
	return h
}

func (h *revived) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *revived) open() {
	h.t.Helper()
	ctx, log := context.WithoutCancel(h.t.Context()), slog.New(slog.DiscardHandler)
	j, err := pebble.Open(pebble.Config{Dir: filepath.Join(h.dir, "journal")})
	h.must(err)
	now := func() time.Time { return time.Unix(0, h.clock.Load()) }
	h.host, err = entity.Start(ctx, entity.Config{Journal: j, Types: Types(), Clock: now, Logger: log})
	h.must(err)
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(h.dir, "catalogue.db"), Steps: catalogue.Steps()})
	h.must(err)
	h.lots = catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
	h.runner, err = readside.Start(ctx, readside.Config{Source: h.host.Feed(), Processors: []readside.Processor{h.lots.Processor()}, Logger: log})
	h.must(err)
	h.close = func() {
		h.must(errors.Join(h.runner.Stop(ctx), h.host.Stop(ctx), j.Close(), h.lots.Close(), db.Close()))
	}
}

// view asks a lot, and waits until the read model is as far.
func (h *revived) view(lot string) (*auctionv1.LotView, uint64) {
	h.t.Helper()
	var got entity.Receipt
	view, err := auction.GetLot.Ask(h.t.Context(), auction.Lots.Ref(h.host, lot), &auctionv1.GetLot{Newest: 20}, entity.Receive(&got))
	h.must(err)
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	h.must(h.runner.WaitFor(ctx, catalogue.Name, got.Token))
	return view, got.Version
}

// send repeats a command as it was sent then.
func (h *revived) send(a goldenAnswer) (reply *auctionv1.LotView, got entity.Receipt, rejected string) {
	h.t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("auction.v1." + a.Command))
	h.must(err)
	cmd := kind.New().Interface()
	h.must(protojson.Unmarshal(a.Payload, cmd))
	payload, err := proto.Marshal(cmd)
	h.must(err)
	resp, err := h.host.Call(h.t.Context(), &entity.Request{Type: "lot", ID: a.Lot, Command: a.Command, Payload: payload, Key: entity.CallerKey(a.Key)})
	var no *entity.Rejection
	if errors.As(err, &no) {
		return nil, got, no.Code
	}
	h.must(err)
	reply = &auctionv1.LotView{}
	h.must(proto.Unmarshal(resp.Payload, reply))
	return reply, resp.Receipt, ""
}

// releases are all that have left a journal.
func releases(t *testing.T) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join("testdata", "[0-9]*", "expected.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("testdata has no journals: %v", err)
	}
	for _, path := range found {
		names = append(names, filepath.Base(filepath.Dir(path)))
	}
	return names
}

func TestLotsOfEachReleaseStandAsTheyStoodThen(t *testing.T) {
	t.Parallel()
	for _, release := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			standAsThen(t, revive(t, release))
		})
	}
}

func standAsThen(t *testing.T, h *revived) {
	t.Helper()
	for range 2 { // the second time from what the first has left
		for _, then := range h.Lots {
			want := &auctionv1.LotView{}
			h.must(protojson.Unmarshal(then.View, want))
			if view, version := h.view(then.Lot); !proto.Equal(view, want) || version != then.Version {
				t.Errorf("lot %s, version %d:\n%v\nwas, version %d:\n%v", then.Lot, version, view, then.Version, want)
			}
		}
		h.close()
		h.open()
	}
}

func TestTheReadModelIsFilledFromTheJournalOfTheFirstRelease(t *testing.T) {
	t.Parallel()
	h := revive(t, "0.1.0")
	for _, then := range h.Lots {
		view, version := h.view(then.Lot)
		page, _, err := h.lots.ShowLot(t.Context(), &auctionv1.ShowLot{Lot: then.Lot, PageSize: 200})
		h.must(err)
		row := page.GetRow()
		if row.GetPriceCents() != view.GetPriceCents() || row.GetLeader() != view.GetLeader() || row.GetNextBidCents() != view.GetNextBidCents() ||
			row.GetBidCount() != view.GetBidCount() || row.GetClosed() != view.GetClosed() || row.GetVersion() != version {
			t.Errorf("the row is\n%v, the lot says\n%v", row, view)
		}
		var bids []*auctionv1.BidRow
		for _, e := range then.Events {
			if e.Type != "auction.v1.BidPlaced" {
				continue
			}
			old := &auctionv1.BidPlaced{}
			h.must(protojson.Unmarshal(e.Data, old))
			bids = append(bids, &auctionv1.BidRow{
				Lot: then.Lot, Number: int64(len(bids) + 1), Bidder: old.GetBidder(), AmountCents: old.GetAmountCents(), At: old.GetAt(), PriceCents: old.GetPriceCents(),
			})
		}
		if len(page.GetBids()) != len(bids) {
			t.Fatalf("lot %s has %d bids, it had %d", then.Lot, len(page.GetBids()), len(bids))
		}
		for i, b := range page.GetBids() {
			if want := bids[len(bids)-1-i]; !proto.Equal(b, want) {
				t.Errorf("the bid is\n%v, it was\n%v", b, want)
			}
		}
	}
	results, _, err := h.lots.ListResults(t.Context(), &auctionv1.ListResults{})
	h.must(err)
	if results.GetTotal() != 2 || results.GetLots()[0].GetLot() != "clock" || results.GetLots()[1].GetLot() != "vase" {
		t.Errorf("closed are %v", results)
	}
}

func TestAnAnswerOfEachReleaseIsRepeated(t *testing.T) {
	t.Parallel()
	for _, release := range releases(t) {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			repeat(t, revive(t, release))
		})
	}
}

func repeat(t *testing.T, h *revived) {
	t.Helper()
	for _, then := range h.Answers {
		reply, got, rejected := h.send(then)
		if rejected != then.Rejected {
			t.Errorf("%s %s, key %s: rejected with %q, then with %q", then.Lot, then.Command, then.Key, rejected, then.Rejected)
		}
		if then.Rejected != "" {
			continue
		}
		want := &auctionv1.LotView{}
		h.must(protojson.Unmarshal(then.Reply, want))
		if !got.Repeated || got.Version != then.Version || !proto.Equal(reply, want) {
			t.Errorf("%s %s, key %s: %v, %+v; then\n%v at %d", then.Lot, then.Command, then.Key, reply, got, want, then.Version)
		}
	}
	if len(h.Answers) < 20 {
		t.Fatalf("only %d answers were recorded", len(h.Answers))
	}
}

func TestADeadlineThatWasSetByTheFirstReleaseIsKept(t *testing.T) {
	t.Parallel()
	h := revive(t, "0.1.0")
	before, _ := h.view("lamp")
	if before.GetClosed() {
		t.Fatal("it closed early")
	}
	h.clock.Store(before.GetClosesAt().AsTime().UnixNano())
	after, version := h.view("lamp")
	if !after.GetClosed() || after.GetLeader() != before.GetLeader() || after.GetPriceCents() != before.GetPriceCents() {
		t.Fatalf("after its deadline it is %v", after)
	}
	page, _, err := h.lots.ShowLot(t.Context(), &auctionv1.ShowLot{Lot: "lamp"})
	h.must(err)
	if row := page.GetRow(); !row.GetClosed() || row.GetVersion() != version || row.GetLeader() != before.GetLeader() {
		t.Fatalf("its row is %v", row)
	}
	if other, _ := h.view("camera"); other.GetClosed() {
		t.Fatal("a lot with a later deadline closed as well")
	}
}

func TestALotOfTheFirstReleaseTakesBidsOfToday(t *testing.T) {
	t.Parallel()
	h := revive(t, "0.1.0")
	violin := auction.Lots.Ref(h.host, "violin")
	before, _ := h.view("violin")
	taken, err := auction.PlaceFloorBid.Ask(t.Context(), violin, &auctionv1.PlaceFloorBid{Paddle: 7, AmountCents: before.GetNextBidCents()})
	h.must(err)
	if taken.GetBidCount() != before.GetBidCount()+1 {
		t.Fatalf("it has %d bids after %d", taken.GetBidCount(), before.GetBidCount())
	}
	h.close()
	h.open() // now a journal of both
	after, version := h.view("violin")
	if after.GetPriceCents() != taken.GetPriceCents() || after.GetLeader() != taken.GetLeader() || after.GetBids()[0].GetPaddle() != 7 || after.GetBids()[1].GetPaddle() != 0 {
		t.Fatalf("read again it is %v, it was %v", after, taken)
	}
	page, _, err := h.lots.ShowLot(t.Context(), &auctionv1.ShowLot{Lot: "violin"})
	h.must(err)
	for i, b := range page.GetBids() {
		if want := after.GetBidCount() - int64(i); b.GetNumber() != want || b.GetBidder() != after.GetBids()[i].GetBidder() {
			t.Fatalf("bid %d is row %v", want, b)
		}
	}
	if page.GetRow().GetVersion() != version {
		t.Fatalf("the row is of version %d, the lot of %d", page.GetRow().GetVersion(), version)
	}
}
