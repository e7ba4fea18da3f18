package auction

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// GoingTwice is as far as the hammer is raised: the third time it falls.
const GoingTwice = 2

// paddleWord begins the text of a paddle, as in "paddle 7".
const paddleWord = "paddle "

// PaddleText is how a bidder in the room is told where bidders are told by name.
func PaddleText(paddle int32) string { return fmt.Sprint(paddleWord, paddle) }

// BidderOf returns the bidder's name, or the paddle as text.
func BidderOf(e *auctionv1.BidTaken) string {
	if e.GetPaddle() > 0 {
		return PaddleText(e.GetPaddle())
	}
	return e.GetOnline()
}

// namesPaddle tells whether a name could be taken for a bidder in the room.
func namesPaddle(name string) bool {
	return len(name) >= len(paddleWord) && strings.EqualFold(name[:len(paddleWord)], paddleWord)
}

// placeFloorBid takes a bid above the price. Its order among the bids that come
// online is the order in which the lot handled them: there is no other.
func placeFloorBid(l Lot, cmd entity.Command[*auctionv1.PlaceFloorBid]) (entity.Effect, *auctionv1.LotView, error) {
	paddle, amount := cmd.Msg.GetPaddle(), Cents(cmd.Msg.GetAmountCents())
	if err := l.checkLive(cmd.EntityID); err != nil {
		return entity.None, nil, err
	}
	if err := l.checkFloorBid(paddle, amount); err != nil {
		return entity.None, nil, err
	}
	return l.take(cmd.EntityID, cmd.Time, &auctionv1.BidTaken{By: &auctionv1.BidTaken_Paddle{Paddle: paddle}, AmountCents: int64(amount)})
}

// raiseHammer is stored, so that all who look see the same, and a bid that comes takes it down.
func raiseHammer(l Lot, cmd entity.Command[*auctionv1.RaiseHammer]) (entity.Effect, *auctionv1.LotView, error) {
	if err := l.checkLive(cmd.EntityID); err != nil {
		return entity.None, nil, err
	}
	if l.Hammer == GoingTwice {
		return entity.None, nil, entity.Reject("hammer", "lot %q is going twice already: close it", cmd.EntityID)
	}
	raised := &auctionv1.HammerRaised{
		At: timestamppb.New(cmd.Time), Times: l.Hammer + 1,
		Leader: l.Standing.Leader, PriceCents: int64(l.Standing.Price), NextBidCents: int64(l.Standing.Next(l.Opening)), BidCount: l.BidCount,
	}
	return entity.Persist(raised), hammerRaised(l, raised).view(cmd.EntityID), nil
}
