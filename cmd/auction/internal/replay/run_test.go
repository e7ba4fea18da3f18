package replay_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	"github.com/skerryhq/skerry/cmd/auction/internal/replay"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// play sends a small file, and one lot with more bids than a view shows, through the service.
func play(t *testing.T, s *service) (replay.Report, error) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	text := header + "1,A lamp,10,0.5,ann,50,20.50\n1,A lamp,10,0.6,bob,20,20.50\n1,A lamp,10,0.7,cid,9,20.50\n2,A clock,1,0.5,ann,5,7\n"
	for i := range auction.KeptBids + 50 {
		text += fmt.Sprintf("3,A globe,1,0.5,ann,%d,\n", i+1)
	}
	auctions, problems, err := replay.Read(strings.NewReader(text))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	ctx, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	return replay.Run(ctx, replay.Config{Client: client.New(server.URL, server.Client()), Name: "run", Lots: 2}, auctions)
}

func TestARunCountsWhatCameOfIt(t *testing.T) {
	t.Parallel()
	got, err := play(t, newService())
	if err != nil {
		t.Fatal(err)
	}
	want := "lots      3, closed 3\n" +
		"bids      154 sent, 153 accepted, 1 rejected (1 low)\n" +
		"prices    1 of 2 recorded final prices exact\n" +
		"read      3 of 3 lots are in the read model with their own price, leader and bids\n" +
		"checked   every accepted bid is there once, every lot was closed once\n"
	if got.String() != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAnswersThatTellNothingAreAskedAgainWithTheSameKey(t *testing.T) {
	t.Parallel()
	for status, ran := range map[int]bool{http.StatusTooManyRequests: false, http.StatusServiceUnavailable: false, http.StatusGatewayTimeout: true} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			s := newService()
			s.refuse = func(n int) (int, bool) {
				if n%9 == 0 {
					return status, ran
				}
				return 0, true
			}
			got, err := play(t, s)
			if err != nil || len(got.Faults) > 0 || got.Accepted != 153 {
				t.Fatalf("got %v, %v", got, err)
			}
		})
	}
}

func TestADefectEndsTheRun(t *testing.T) {
	t.Parallel()
	s := newService()
	s.refuse = func(n int) (int, bool) {
		if n == 20 {
			return http.StatusInternalServerError, false
		}
		return 0, true
	}
	if _, err := play(t, s); err == nil || !strings.Contains(err.Error(), "500 skerry/test: not now") {
		t.Fatalf("got %v", err)
	}
}

func TestAServiceThatLosesOrChangesSomethingIsFoundOut(t *testing.T) {
	t.Parallel()
	final := func(change func(*auctionv1.LotView, *uint64)) func(*auctionv1.LotView, *uint64) {
		return func(v *auctionv1.LotView, version *uint64) {
			if v.GetLot() == "run-1" && v.GetClosed() {
				change(v, version)
			}
		}
	}
	tests := []struct {
		name, fault string
		spoil       func(*auctionv1.LotView, *uint64)
	}{
		{"a bid is lost", "the bid of line 2 (ann, 50.00) was acknowledged and is not there", func(v *auctionv1.LotView, _ *uint64) { v.Bids = v.Bids[:1] }},
		{"a bid has another bidder", "the bid of line 3 (bob, 20.00) became", func(v *auctionv1.LotView, _ *uint64) { v.Bids[0].Bidder = "eve" }},
		{"a bid has another amount", "the bid of line 3 (bob, 20.00) became", func(v *auctionv1.LotView, _ *uint64) { v.Bids[0].AmountCents++ }},
		{"a bid is there twice", "it has 3 bids, 2 were acknowledged", func(v *auctionv1.LotView, _ *uint64) { v.BidCount++ }},
		{"an event is missing", "it has 3 events", func(_ *auctionv1.LotView, version *uint64) { *version-- }},
		{"it is open again", "it was never closed", func(v *auctionv1.LotView, _ *uint64) { v.Closed = false }},
		{"the price changed", "it changed after it was closed", func(v *auctionv1.LotView, _ *uint64) { v.PriceCents++ }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService()
			s.spoil = final(test.spoil)
			got, err := play(t, s)
			if err != nil || !strings.Contains(got.String(), "lot run-1: "+test.fault) {
				t.Fatalf("got %v\n%v", err, got)
			}
		})
	}
	t.Run("the read model has another price", func(t *testing.T) {
		t.Parallel()
		s := newService()
		s.spoilRow = func(r *auctionv1.LotRow) {
			if r.GetLot() == "run-1" {
				r.PriceCents++
			}
		}
		got, err := play(t, s)
		if err != nil || !strings.Contains(got.String(), "lot run-1: the read model shows") {
			t.Fatalf("got %v\n%v", err, got)
		}
	})
	t.Run("it closes twice", func(t *testing.T) {
		t.Parallel()
		s := newService()
		s.closesTwice = true
		got, err := play(t, s)
		if err != nil || !strings.Contains(got.String(), "lot run-1: it was closed twice") {
			t.Fatalf("got %v\n%v", err, got)
		}
	})
}
