package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// TestThePage is the page as people use it, in a real browser, before the real service: one Chromium, a house of
// its own for each story.
func TestThePage(t *testing.T) {
	t.Parallel()
	browser := chromium.Start(t)
	for name, story := range map[string]func(*testing.T, *chromium.Browser){
		"a bid in one browser appears in another":             aBidAppearsElsewhere,
		"a bid at one node appears at the others":             aBidAppearsAtOtherNodes,
		"an unknown outcome is told and asked for again":      anUnknownOutcome,
		"a rejected bid is explained beside its field":        aRejectedBid,
		"a cut connection resumes without a hole or a repeat": aCutConnection,
		"a stream that is refused or reset is taken up again": aRefusedStream,
		"a connection that falls silent is noticed":           aSilentConnection,
		"the clerk sells a lot":                               theClerkSells,
		"a late bid stops the hammer":                         aLateBidStopsTheHammer,
		"from the list to a bid by keyboard alone":            aBidByKeyboard,
		"the clerk's keys":                                    theClerksKeys,
		"the list is searched, filtered and turned":           theListIsSearched,
		"nothing scrolls sideways, from phone to desktop":     nothingScrollsSideways,
		"hostile titles and names are text":                   hostileTextStaysText,
		"everything has a name, headings have an order":       everythingHasAName,
		"text can be read, in light and in dark":              textCanBeRead,
		"a page that was put away catches up":                 aPageThatWasPutAway,
		"time is the auction house's":                         timeIsTheHouses,
		"what is not there":                                   whatIsNotThere,
		"pictures":                                            pictures,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, browser)
		})
	}
}

// house is a whole service with a clerk at its API.
type house struct {
	t      testing.TB
	svc    *Service
	url    string
	client *client.Client
	keys   atomic.Int64
}

func openHouse(t testing.TB) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	svc, err := Start(t.Context(), Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	h := &house{t: t, svc: svc, url: svc.HTTP(), client: client.New(svc.HTTP(), &http.Client{Transport: transport})}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stopping(t, svc)
	})
	return h
}

// stopping stops a service that browsers may still be connected to.
func stopping(t testing.TB, svc *Service) {
	ctx, done := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer done()
	if err := svc.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// send sends a command to a lot, and fails the test if the answer is no.
func (h *house) send(lot string, command proto.Message) *auctionv1.LotView {
	h.t.Helper()
	answer, err := h.client.Command(h.t.Context(), lot, fmt.Sprint("house-", h.keys.Add(1)), command)
	if err != nil {
		h.t.Fatalf("%T to %s: %v", command, lot, err)
	}
	return answer.View
}

// put puts a lot up: for a time, or live if that is 0.
func (h *house) put(lot, title string, opening int64, lasts time.Duration) {
	h.t.Helper()
	command := &auctionv1.OpenLot{Title: title, OpeningCents: opening}
	if lasts > 0 {
		command.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(lasts)}
	}
	h.send(lot, command)
}

func (h *house) bid(lot, bidder string, cents int64) *auctionv1.LotView {
	h.t.Helper()
	return h.send(lot, &auctionv1.PlaceBid{Bidder: bidder, AmountCents: cents})
}
