package demo

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// clockwork is a service whose time moves when the test says so.
type clockwork struct {
	*client.Client
	url string
	ns  atomic.Int64
}

func (c *clockwork) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clockwork) advance(d time.Duration) { c.ns.Add(int64(d)) }

func startClockwork(t *testing.T) *clockwork {
	t.Helper()
	c := &clockwork{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	log := slog.New(slog.DiscardHandler)
	types := []entity.Definition{auction.Lots, auction.Sales}
	host, err := entity.Start(t.Context(), entity.Config{Journal: journal.NewMemory(), Types: types, Shards: 4, Clock: c.now, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := gateway.New(gateway.Config{Caller: host, Types: types, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		if err := host.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	c.url, c.Client = server.URL, client.New(server.URL, server.Client())
	return c
}

func (c *clockwork) house(out *bytes.Buffer) *house {
	h := newHouse(Config{Client: c.Client, URL: c.url, Seed: 7, Out: out})
	h.nextBid = c.now()
	return h
}

// steps lets the house go on for a while, a second at a time.
func (h *house) steps(t *testing.T, c *clockwork, n int) {
	t.Helper()
	for range n {
		if err := h.step(t.Context(), c.now()); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Second)
	}
}

func TestTheHouseSellsRoundAfterRoundAndGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	c := startClockwork(t)
	var out bytes.Buffer
	h := c.house(&out)
	if last, err := h.lastRound(t.Context()); last != 0 || err != nil {
		t.Fatalf("a new service has had %d rounds, %v", last, err)
	}
	if err := h.openRound(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.steps(t, c, 240) // all deadlines, the clerk, the applause
	if h.round != 2 {
		t.Fatalf("it is in round %d\n%s", h.round, out.String())
	}
	for _, want := range []string{"bids up to", "lamp-1 is closed: ", "violin-1 is going once at ", "violin-1 is going twice at ", "violin-1 is closed: ", "globe-1 is closed: "} {
		if strings.Count(out.String(), want) == 0 {
			t.Errorf("it does not tell %q", want)
		}
	}
	answer, err := c.Lot(t.Context(), "globe-1", auction.KeptBids)
	if err != nil || answer.View.GetBidCount() < 3 {
		t.Fatalf("got %v, %v", answer.View, err)
	}

	out.Reset()
	again := c.house(&out)
	last, err := again.lastRound(t.Context())
	if last != 2 || err != nil {
		t.Fatalf("it finds round %d, %v", last, err)
	}
	if err := again.openRound(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	again.steps(t, c, 1)
	if !strings.Contains(out.String(), "lamp-2") || strings.Contains(out.String(), "lamp-1") {
		t.Fatalf("it goes on with\n%s", out.String())
	}
}

func TestLaterRoundsAreFoundInAFewQuestions(t *testing.T) {
	t.Parallel()
	c := startClockwork(t)
	h := c.house(&bytes.Buffer{})
	for n := 1; n <= 21; n++ {
		if _, err := c.Command(t.Context(), catalogue[0].lot(n), "open", catalogue[0].open()); err != nil {
			t.Fatal(err)
		}
		if last, err := h.lastRound(t.Context()); last != n || err != nil {
			t.Fatalf("after %d rounds it finds %d, %v", n, last, err)
		}
	}
}

func TestABigHouseIsPutUpAndBidOn(t *testing.T) {
	t.Parallel()
	c := startClockwork(t)
	crowd := newCrowd(Config{Client: c.Client, Seed: 7, Lots: 30}, "visit")
	if err := crowd.putUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := crowd.bidBlindly(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var bids int64
	for n := range 30 {
		answer, err := c.Lot(t.Context(), crowd.lot(n), 0)
		if err != nil || answer.View.GetClosed() {
			t.Fatalf("lot %d: %v, %v", n, answer.View, err)
		}
		bids += answer.View.GetBidCount()
	}
	if bids < 20 {
		t.Fatalf("only %d of 100 bids count", bids)
	}
}

func TestWhatAStrangerBidsIsTold(t *testing.T) {
	t.Parallel()
	c := startClockwork(t)
	var out bytes.Buffer
	h := c.house(&out)
	h.nextBid = c.now().Add(time.Hour) // nobody else bids
	if err := h.openRound(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.steps(t, c, 1)
	if _, err := c.Command(t.Context(), "lamp-1", "mine", &auctionv1.PlaceBid{Bidder: "you", AmountCents: 99_00}); err != nil {
		t.Fatal(err)
	}
	h.steps(t, c, 1)
	if !strings.Contains(out.String(), "you bid up to 99.00 on lamp-1") {
		t.Fatalf("got\n%s", out.String())
	}
}

func TestThePictureIsDrawnInPlace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(Config{Out: &out, URL: "http://x", Others: []string{"http://y", "http://z"}})
	lots := []lot{{catalogue[0], "lamp-1", &auctionv1.LotView{PriceCents: 12_50, Leader: "ann", NextBidCents: 13_00, LiveAuction: true}}}
	if err := s.draw(lots, []string{"something happened"}); err != nil {
		t.Fatal(err)
	}
	got := out.String()
	if !strings.HasPrefix(got, "\x1b[H") || !strings.HasSuffix(got, "\x1b[J") || !strings.Contains(got, "12.50") || !strings.Contains(got, "something happened") ||
		!strings.Contains(got, "pages show the same, as it happens: http://y http://z") {
		t.Fatalf("got %q", got)
	}
}

func TestWhoeverWinsIsToldWhatTheyPay(t *testing.T) {
	t.Parallel()
	for who, want := range map[string]string{"you": "you pay 12.50", "ann": "ann pays 12.50", "": "nobody bid"} {
		if got := outcome(&auctionv1.LotView{Leader: who, PriceCents: 12_50}); got != want {
			t.Errorf("%q: got %q, want %q", who, got, want)
		}
	}
}
