package auction

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// defaultNewest is how many bids a view shows when it is not told.
const defaultNewest = 20

func (l Lot) known() bool  { return !l.OpenedAt.IsZero() }
func (l Lot) live() bool   { return l.ClosesAt.IsZero() }
func (l Lot) closed() bool { return !l.ClosedAt.IsZero() }

// view is the answer to each command. It leaves the bids out: answers are stored
// with their keys, and should be small.
func (l Lot) view(id string) *auctionv1.LotView {
	v := &auctionv1.LotView{
		Lot: id, Title: l.Title, LiveAuction: l.live(), Closed: l.closed(), OpeningCents: int64(l.Opening),
		PriceCents: int64(l.Standing.Price), Leader: l.Standing.Leader, BidCount: l.BidCount,
		OpenedAt: timestamppb.New(l.OpenedAt), Hammer: l.Hammer,
	}
	if !l.live() {
		v.ClosesAt = timestamppb.New(l.ClosesAt)
	}
	if l.closed() {
		v.ClosedAt = timestamppb.New(l.ClosedAt)
	} else {
		v.NextBidCents = int64(l.Standing.Next(l.Opening))
	}
	return v
}

func (l Lot) viewWithBids(id string, newest int) *auctionv1.LotView {
	v := l.view(id)
	for i := len(l.Newest) - 1; i >= 0 && len(v.Bids) < newest; i-- {
		b := l.Newest[i]
		v.Bids = append(v.Bids, &auctionv1.Bid{
			Number: b.Number, Bidder: b.Bidder, Paddle: b.Paddle, AmountCents: int64(b.Amount), At: timestamppb.New(b.At),
		})
	}
	return v
}
