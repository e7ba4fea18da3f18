package auction_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"
)

// noon is when each story begins.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// story is about one lot.
type story struct {
	t *testing.T
	*entitytest.Story[auction.Lot]
}

func newStory(t *testing.T) story {
	t.Parallel()
	return story{t, entitytest.New(t, auction.Lots).ID("lamp").At(noon)}
}

// when sends a command that the lot takes, or refuses with the code.
func (s story) when(cmd proto.Message, code ...string) story {
	s.t.Helper()
	s.When(cmd)
	if len(code) > 0 {
		s.ThenRejected(code[0])
	}
	return s
}

// stands checks who leads, the price, and the next least bid.
func (s story) stands(leader string, price, next auction.Cents) story {
	s.t.Helper()
	got := s.State().Standing
	if got.Leader != leader || got.Price != price || got.Next(s.State().Opening) != next {
		s.t.Fatalf("%q leads at %v, next %v; want %q at %v, next %v", got.Leader, got.Price, got.Next(s.State().Opening), leader, price, next)
	}
	return s
}

func live(opening int64) *auctionv1.OpenLot {
	return &auctionv1.OpenLot{Title: "A lamp", OpeningCents: opening}
}

func timed(d time.Duration) *auctionv1.OpenLot {
	return &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 10_00, Closing: &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(d)}}
}

func taken(bidder string, cents int64) *auctionv1.BidTaken {
	return &auctionv1.BidTaken{By: &auctionv1.BidTaken_Online{Online: bidder}, AmountCents: cents}
}

func bid(bidder string, cents int64) *auctionv1.PlaceBid {
	return &auctionv1.PlaceBid{Bidder: bidder, AmountCents: cents}
}

func TestThePriceIsWhatTheSecondHighestMaximumMakesIt(t *testing.T) {
	newStory(t).
		when(live(10_00)).stands("", 0, 10_00).
		when(bid("ann", 50_00)).stands("ann", 10_00, 10_50).    // alone: the opening bid
		when(bid("bob", 20_00)).stands("ann", 20_50, 21_00).    // 20 and one step of 0.50
		when(bid("cid", 15_00)).stands("ann", 20_50, 21_00).    // counts, changes nothing
		when(bid("bob", 49_50)).stands("ann", 50_00, 51_00).    // never above the leader's maximum
		when(bid("bob", 50_00)).stands("ann", 50_00, 51_00).    // equal: the earlier leads
		when(bid("bob", 120_00)).stands("bob", 51_00, 52_00).   // 50 and one step of 1
		when(bid("bob", 200_00)).stands("bob", 51_00, 52_00).   // nobody bids against themselves
		when(bid("ann", 150_00)).stands("bob", 152_50, 155_00). // steps of 2.50 from 100 on
		when(&auctionv1.CloseLot{}).
		ThenEvents(&auctionv1.LotClosed{At: timestamppb.New(noon), Winner: "bob", PriceCents: 152_50, BidCount: 8})
}

func TestABidMustReachTheOpeningBidAndTheBiddersOwnMaximum(t *testing.T) {
	newStory(t).
		when(live(10_00)).
		when(bid("ann", 9_99), "low").
		when(bid("ann", 10_00)).
		when(bid("ann", 10_00), "own-maximum").
		when(bid("ann", 9_99), "low").
		when(bid("ann", 10_01)).stands("ann", 10_00, 10_50)
}

func TestABidIsStoredWithItsBidderItsAmountAndHowTheLotStandsThen(t *testing.T) {
	newStory(t).when(live(10_00)).when(bid("ann", 50_00)).
		when(bid("bob", 20_00)).
		ThenEvents(&auctionv1.BidTaken{
			By: &auctionv1.BidTaken_Online{Online: "bob"}, AmountCents: 20_00, At: timestamppb.New(noon),
			Leader: "ann", PriceCents: 20_50, NextBidCents: 21_00, Number: 2,
		}).
		ThenReply(&auctionv1.LotView{
			Lot: "lamp", Title: "A lamp", LiveAuction: true, OpeningCents: 10_00, PriceCents: 20_50, Leader: "ann",
			NextBidCents: 21_00, BidCount: 2, OpenedAt: timestamppb.New(noon),
		})
}

func TestALiveLotIsClosedByAClerkOnce(t *testing.T) {
	s := newStory(t).when(live(10_00))
	s.ThenNoTimer()
	s.when(bid("ann", 20_00)).After(time.Minute)
	s.when(&auctionv1.CloseLot{}).
		when(&auctionv1.CloseLot{}, "closed").
		when(bid("bob", 30_00), "closed").
		when(live(10_00), "exists").
		when(&auctionv1.GetLot{}).
		ThenReply(&auctionv1.LotView{
			Lot: "lamp", Title: "A lamp", LiveAuction: true, Closed: true, OpeningCents: 10_00, PriceCents: 10_00, Leader: "ann", BidCount: 1,
			Bids:     []*auctionv1.Bid{{Number: 1, Bidder: "ann", AmountCents: 20_00, At: timestamppb.New(noon)}},
			OpenedAt: timestamppb.New(noon), ClosedAt: timestamppb.New(noon.Add(time.Minute)),
		})
}

func TestATimedLotClosesItselfAtItsDeadlineAndNotBefore(t *testing.T) {
	deadline := noon.Add(time.Minute)
	s := newStory(t).when(timed(time.Minute))
	s.ThenTimer("close", deadline).After(59 * time.Second)
	s.when(&auctionv1.CloseLot{}, "timed").
		when(bid("ann", 20_00)).
		WhenTimer("close").
		ThenEvents(&auctionv1.LotClosed{At: timestamppb.New(deadline), Winner: "ann", PriceCents: 10_00, BidCount: 1}).
		ThenNoTimer()
	s.when(bid("bob", 30_00), "closed").when(&auctionv1.CloseLot{}, "closed")
}

func TestABidDoesNotOvertakeADeadlineThatPassedDuringADowntime(t *testing.T) {
	s := newStory(t).when(timed(time.Minute))
	s.After(time.Hour)
	s.when(bid("ann", 20_00), "closed")
	if at := s.State().ClosedAt; !at.Equal(noon.Add(time.Hour)) {
		t.Fatalf("closed at %v", at)
	}
}

func TestALotNobodyWantedClosesWithoutAWinner(t *testing.T) {
	newStory(t).when(live(10_00)).when(&auctionv1.CloseLot{}).
		ThenEvents(&auctionv1.LotClosed{At: timestamppb.New(noon)})
}

func TestALotThatWasNeverOpenedTakesNothing(t *testing.T) {
	newStory(t).
		when(bid("ann", 20_00), "not-opened").
		when(&auctionv1.CloseLot{}, "not-opened").
		when(&auctionv1.GetLot{}, "not-opened")
}

func TestNonsenseIsRejected(t *testing.T) {
	t.Parallel()
	closesAt := func(at time.Time) *auctionv1.OpenLot {
		return &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1, Closing: &auctionv1.OpenLot_ClosesAt{ClosesAt: timestamppb.New(at)}}
	}
	tests := []struct {
		name string
		cmd  proto.Message
		code string
	}{
		{"no title", &auctionv1.OpenLot{OpeningCents: 1}, "title"},
		{"a long title", &auctionv1.OpenLot{Title: string(make([]byte, auction.MaxTitle+1)), OpeningCents: 1}, "title"},
		{"no opening bid", &auctionv1.OpenLot{Title: "A lamp"}, "amount"},
		{"a negative opening bid", live(-1), "amount"},
		{"an absurd opening bid", live(int64(auction.MaxCents) + 1), "amount"},
		{"a deadline now", timed(0), "deadline"},
		{"a negative duration", timed(-time.Second), "deadline"},
		{"a deadline in the past", closesAt(noon.Add(-time.Second)), "deadline"},
		{"a deadline in years", closesAt(noon.Add(auction.MaxDuration + 1)), "deadline"},
		{"a duration that no clock holds", timed(1<<63 - 1), "deadline"},
		{"an invalid timestamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1, Closing: &auctionv1.OpenLot_ClosesAt{ClosesAt: &timestamppb.Timestamp{Nanos: -1}}}, "deadline"},
		{"an invalid duration", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1, Closing: &auctionv1.OpenLot_ClosesAfter{ClosesAfter: &durationpb.Duration{Seconds: 1 << 62}}}, "deadline"},
		{"a bid of nothing", bid("ann", 0), "amount"},
		{"a negative bid", bid("ann", -5), "amount"},
		{"the least int64", bid("ann", -1<<63), "amount"},
		{"the greatest int64", bid("ann", 1<<63-1), "amount"},
		{"a bid of nobody", bid("", 1), "bidder"},
		{"a bidder with a long name", bid(string(make([]byte, auction.MaxBidder+1)), 1), "bidder"},
		{"a bidder with a control character", bid("ann\x1b[2J", 1), "bidder"},
		{"a bidder who is called like a paddle", bid("Paddle 7", 1), "bidder"},
		{"a bid from the room on a timed lot", floorBid(7, 1), "timed"},
		{"a hammer over a timed lot", &auctionv1.RaiseHammer{}, "timed"},
		{"a negative count of bids", &auctionv1.GetLot{Newest: -1}, "newest"},
		{"more bids than are kept", &auctionv1.GetLot{Newest: auction.KeptBids + 1}, "newest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lot := auction.Lot{}
			if _, opens := test.cmd.(*auctionv1.OpenLot); !opens {
				lot.Opening, lot.OpenedAt, lot.ClosesAt = 1, noon, noon.Add(time.Hour)
			}
			_, _, err := auction.Lots.Decide(lot, test.cmd, entity.Moment{EntityID: "lamp", Time: noon})
			var no *entity.Rejection
			if !errors.As(err, &no) || no.Code != test.code {
				t.Fatalf("got %v, want a rejection with the code %q", err, test.code)
			}
		})
	}
}

func TestTheGreatestAmountsDoNotOverflow(t *testing.T) {
	most := int64(auction.MaxCents)
	newStory(t).
		when(live(most-1)).
		when(bid("ann", most)).
		when(bid("bob", most)).stands("ann", auction.MaxCents, 0)
}

func TestAViewShowsTheNewestBidsFirst(t *testing.T) {
	s := newStory(t).when(live(1))
	for i := range int64(auction.KeptBids + 50) {
		s.when(bid("ann", i+1))
	}
	for newest, want := range map[int32]int{0: 20, 1: 1, auction.KeptBids: auction.KeptBids} {
		_, reply, err := auction.Lots.Decide(s.State(), &auctionv1.GetLot{Newest: newest}, entity.Moment{EntityID: "lamp", Time: noon})
		if err != nil {
			t.Fatal(err)
		}
		bids := reply.(*auctionv1.LotView).GetBids()
		if len(bids) != want || bids[0].GetNumber() != 150 || bids[want-1].GetNumber() != int64(151-want) {
			t.Fatalf("newest %d: got %d bids from %d", newest, len(bids), bids[0].GetNumber())
		}
	}
	if got := s.State().BidCount; got != auction.KeptBids+50 {
		t.Fatalf("counts %d bids", got)
	}
}

func TestTwoFuturesOfOneStateDoNotTouchEachOther(t *testing.T) {
	t.Parallel()
	after := func(lot auction.Lot, bidder string, cents int64) auction.Lot {
		lot, err := auction.Lots.Evolve(lot, taken(bidder, cents))
		if err != nil {
			t.Fatal(err)
		}
		return lot
	}
	lot := auction.Lot{Opening: 1, OpenedAt: noon}
	for i := range int64(300) {
		lot = after(lot, string(rune('a'+i%26)), i+1)
		ann := after(lot, "ann", 1000)
		bob := after(lot, "bob", 1001)
		if last := ann.Newest[len(ann.Newest)-1]; last.Bidder != "ann" {
			t.Fatalf("after %d bids: bob's future changed ann's: %v", i+1, last)
		}
		if _, found := bob.Maxima.Of("ann"); found {
			t.Fatalf("after %d bids: bob's future knows of ann's bid", i+1)
		}
	}
}

// BenchmarkBid shows that a bid costs about the same whatever came before it.
func BenchmarkBid(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprint(n, "-bidders"), func(b *testing.B) {
			lot := auction.Lot{Opening: 1, OpenedAt: noon}
			for i := range n {
				lot, _ = auction.Lots.Evolve(lot, taken(fmt.Sprint("bidder-", i), int64(i+1)))
			}
			placed := taken("bidder-5", int64(n+1))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = auction.Lots.Evolve(lot, placed)
			}
		})
	}
}

func TestNoNextBidIsToldWhereNoneCouldBePlaced(t *testing.T) {
	most := int64(auction.MaxCents)
	newStory(t).when(live(most)).when(bid("ann", most)).
		ThenReply(&auctionv1.LotView{
			Lot: "lamp", Title: "A lamp", LiveAuction: true, OpeningCents: most, PriceCents: most, Leader: "ann",
			BidCount: 1, OpenedAt: timestamppb.New(noon),
		})
}
