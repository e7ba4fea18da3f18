package auction_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

func floorBid(paddle int32, cents int64) *auctionv1.PlaceFloorBid {
	return &auctionv1.PlaceFloorBid{Paddle: paddle, AmountCents: cents}
}

func TestABidFromTheRoomCountsAtItsFullAmount(t *testing.T) {
	newStory(t).
		when(live(10_00)).
		when(floorBid(7, 9_99), "low").
		when(floorBid(7, 30_00)).stands("paddle 7", 30_00, 31_00).
		when(floorBid(7, 40_00), "leads").
		when(floorBid(8, 30_00), "low").
		when(floorBid(8, 30_01)).stands("paddle 8", 30_01, 31_01). // any step that the auctioneer takes
		when(floorBid(7, 50_00)).stands("paddle 7", 50_00, 51_00).
		when(&auctionv1.CloseLot{}).
		ThenEvents(&auctionv1.LotClosed{At: timestamppb.New(noon), Winner: "paddle 7", PriceCents: 50_00, BidCount: 3})
}

func TestMaximaOnlineBidAgainstTheRoom(t *testing.T) {
	newStory(t).
		when(live(10_00)).
		when(bid("ann", 100_00)).stands("ann", 10_00, 10_50).
		when(floorBid(7, 40_00)).stands("ann", 41_00, 42_00).
		when(floorBid(7, 41_00), "low"). // not above the price
		when(floorBid(7, 99_50)).stands("ann", 100_00, 102_50).
		when(floorBid(8, 100_00), "low").
		when(floorBid(8, 101_00)).stands("paddle 8", 101_00, 103_50).
		when(bid("ann", 101_00)).stands("paddle 8", 101_00, 103_50). // equal: the earlier leads
		when(bid("bob", 90_00)).stands("paddle 8", 101_00, 103_50).
		when(bid("ann", 150_00)).stands("ann", 103_50, 106_00)
}

func TestTheRoomTiesWithAMaximumAndTheEarlierLeads(t *testing.T) {
	newStory(t).
		when(live(10_00)).
		when(bid("ann", 50_00)).
		when(floorBid(7, 50_00)).stands("ann", 50_00, 51_00)
}

func TestRoomAndOnlineBidsAreNumberedInOneOrder(t *testing.T) {
	s := newStory(t).when(live(10_00)).when(bid("ann", 20_00)).when(floorBid(7, 25_00)).when(bid("bob", 30_00))
	s.when(floorBid(7, 40_00)).ThenEvents(&auctionv1.BidTaken{
		By: &auctionv1.BidTaken_Paddle{Paddle: 7}, AmountCents: 40_00, At: timestamppb.New(noon),
		Leader: "paddle 7", PriceCents: 40_00, NextBidCents: 41_00, Number: 4,
	})
	s.when(&auctionv1.GetLot{Newest: 2}).ThenReply(&auctionv1.LotView{
		Lot: "lamp", Title: "A lamp", LiveAuction: true, OpeningCents: 10_00, PriceCents: 40_00, Leader: "paddle 7",
		NextBidCents: 41_00, BidCount: 4, OpenedAt: timestamppb.New(noon),
		Bids: []*auctionv1.Bid{
			{Number: 4, Bidder: "paddle 7", Paddle: 7, AmountCents: 40_00, At: timestamppb.New(noon)},
			{Number: 3, Bidder: "bob", AmountCents: 30_00, At: timestamppb.New(noon)},
		},
	})
}

// Until 0.1.0 anybody could be called so.
func TestABidderOnlineWhoIsCalledLikeAPaddleIsNotThatPaddle(t *testing.T) {
	t.Parallel()
	lot, err := auction.Lots.Evolve(auction.Lot{Opening: 1_00, OpenedAt: noon}, &auctionv1.BidTaken{
		By: &auctionv1.BidTaken_Online{Online: "paddle 7"}, AmountCents: 50_00, Leader: "paddle 7", PriceCents: 1_00,
	})
	if err != nil {
		t.Fatal(err)
	}
	effect, _, err := auction.Lots.Decide(lot, floorBid(7, 20_00), entity.Moment{EntityID: "lamp", Time: noon})
	if err != nil {
		t.Fatal(err)
	}
	if lot, err = auction.Lots.Evolve(lot, effect.Events()[0]); err != nil {
		t.Fatal(err)
	}
	if lot.Standing.Paddle != 0 || lot.Standing.High != 50_00 || lot.Standing.Price != 20_50 {
		t.Fatalf("the lot stands at %+v", lot.Standing)
	}
}

func TestTheHammerIsRaisedTwiceAndTakenDownByABid(t *testing.T) {
	raise := &auctionv1.RaiseHammer{}
	s := newStory(t).when(live(10_00)).when(bid("ann", 20_00))
	s.when(raise).ThenEvents(&auctionv1.HammerRaised{
		At: timestamppb.New(noon), Times: 1, Leader: "ann", PriceCents: 10_00, NextBidCents: 10_50, BidCount: 1,
	})
	s.when(raise).hammer(2)
	s.when(raise, "hammer").when(bid("ann", 5_00), "low").hammer(2) // what does not count does not take it down
	s.when(bid("bob", 15_00)).hammer(0)
	s.when(raise).hammer(1)
	s.when(floorBid(7, 50_00)).hammer(0)
	s.when(raise).when(raise).when(&auctionv1.CloseLot{}).hammer(0)
	s.when(raise, "closed").when(floorBid(7, 500_00), "closed")
}

// hammer checks how often it was raised.
func (s story) hammer(times int32) {
	s.t.Helper()
	if got := s.State().Hammer; got != times {
		s.t.Fatalf("the hammer stands at %d, want %d", got, times)
	}
}

func TestNonsenseFromTheRoomIsRejected(t *testing.T) {
	t.Parallel()
	lot := auction.Lot{Opening: 1, OpenedAt: noon}
	for code, cmds := range map[string][]*auctionv1.PlaceFloorBid{
		"paddle": {floorBid(0, 1), floorBid(-1, 1), floorBid(auction.MaxPaddle+1, 1), floorBid(-1<<31, 1)},
		"amount": {floorBid(1, 0), floorBid(1, -1), floorBid(1, int64(auction.MaxCents)+1), floorBid(1, 1<<63-1)},
	} {
		for _, cmd := range cmds {
			_, _, err := auction.Lots.Decide(lot, cmd, entity.Moment{EntityID: "lamp", Time: noon})
			var no *entity.Rejection
			if !errors.As(err, &no) || no.Code != code {
				t.Errorf("%v gives %v, want a rejection with the code %q", cmd, err, code)
			}
		}
	}
	if _, _, err := auction.Lots.Decide(auction.Lot{}, floorBid(1, 1), entity.Moment{EntityID: "lamp", Time: noon.Add(time.Hour)}); err == nil {
		t.Error("a lot that was never opened takes a bid")
	}
}
