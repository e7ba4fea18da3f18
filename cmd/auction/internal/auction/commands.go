package auction

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// The limits on what a lot takes.
const (
	MaxTitle    = 200    // bytes
	MaxBidder   = 64     // bytes
	MaxBidders  = 10_000 // online; those in the room are not remembered one by one
	MaxPaddle   = 99_999
	MaxDuration = 366 * 24 * time.Hour
)

// openLot stores the deadline with the event and arms the timer in the same
// effect: either both outlive the node or neither was promised.
func openLot(l Lot, cmd entity.Command[*auctionv1.OpenLot]) (entity.Effect, *auctionv1.LotView, error) {
	if l.known() {
		return entity.None, nil, entity.Reject("exists", "lot %q is open already or was: choose another id", cmd.EntityID)
	}
	if n := len(cmd.Msg.GetTitle()); n == 0 || n > MaxTitle {
		return entity.None, nil, entity.Reject("title", "a title has 1 to %d bytes, this one has %d", MaxTitle, n)
	}
	if err := checkAmount("opening_cents", Cents(cmd.Msg.GetOpeningCents())); err != nil {
		return entity.None, nil, err
	}
	deadline, err := deadlineOf(cmd.Msg, cmd.Time)
	if err != nil {
		return entity.None, nil, err
	}
	opened := &auctionv1.LotOpened{
		Title: cmd.Msg.GetTitle(), OpeningCents: cmd.Msg.GetOpeningCents(), At: timestamppb.New(cmd.Time), ClosesAt: deadline,
	}
	effect := entity.Persist(opened)
	if deadline != nil {
		effect = effect.Remind("close", deadline.AsTime(), &auctionv1.CloseLot{})
	}
	return effect, lotOpened(l, opened).view(cmd.EntityID), nil
}

// placeBid takes any maximum from the opening bid up that is above the bidder's own earlier
// one. It does not look at the deadline: the timer that closes the lot runs before
// any command that sees a later time, so a bid cannot overtake it.
func placeBid(l Lot, cmd entity.Command[*auctionv1.PlaceBid]) (entity.Effect, *auctionv1.LotView, error) {
	bidder, amount := cmd.Msg.GetBidder(), Cents(cmd.Msg.GetAmountCents())
	if err := l.checkOpen(cmd.EntityID); err != nil {
		return entity.None, nil, err
	}
	if err := l.checkBid(bidder, amount); err != nil {
		return entity.None, nil, err
	}
	return l.take(cmd.EntityID, cmd.Time, &auctionv1.BidTaken{By: &auctionv1.BidTaken_Online{Online: bidder}, AmountCents: int64(amount)})
}

// take stores a bid that was checked, with how the lot stands then.
func (l Lot) take(id string, at time.Time, e *auctionv1.BidTaken) (entity.Effect, *auctionv1.LotView, error) {
	standing := l.Standing.With(Bid{Bidder: BidderOf(e), Paddle: e.GetPaddle(), Amount: Cents(e.GetAmountCents())}, l.Opening)
	e.At, e.Number = timestamppb.New(at), l.BidCount+1
	e.Leader, e.PriceCents, e.NextBidCents = standing.Leader, int64(standing.Price), int64(standing.Next(l.Opening))
	return entity.Persist(e), bidTaken(l, e).view(id), nil
}

// closeLot serves the clerk of a live lot and the timer of a timed one. They are told
// apart by time alone: the timer's command never sees one before the deadline.
func closeLot(l Lot, cmd entity.Command[*auctionv1.CloseLot]) (entity.Effect, *auctionv1.LotView, error) {
	if err := l.checkOpen(cmd.EntityID); err != nil {
		return entity.None, nil, err
	}
	if !l.live() && cmd.Time.Before(l.ClosesAt) {
		return entity.None, nil, entity.Reject("timed", "lot %q closes by itself at %s", cmd.EntityID, l.ClosesAt.Format(time.RFC3339))
	}
	closed := &auctionv1.LotClosed{
		At: timestamppb.New(cmd.Time), Winner: l.Standing.Leader, PriceCents: int64(l.Standing.Price), BidCount: l.BidCount,
	}
	return entity.Persist(closed), lotClosed(l, closed).view(cmd.EntityID), nil
}

func getLot(l Lot, cmd entity.Command[*auctionv1.GetLot]) (*auctionv1.LotView, error) {
	newest := cmd.Msg.GetNewest()
	switch {
	case !l.known():
		return nil, notOpened(cmd.EntityID)
	case newest < 0 || newest > KeptBids:
		return nil, entity.Reject("newest", "newest is %d: ask for 1 to %d bids, or for 0 to get %d", newest, KeptBids, defaultNewest)
	case newest == 0:
		newest = defaultNewest
	}
	return l.viewWithBids(cmd.EntityID, int(newest)), nil
}
