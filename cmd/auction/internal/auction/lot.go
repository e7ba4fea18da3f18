package auction

import (
	"slices"
	"time"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// Lot is the write-side state of one lot. Only the Apply rules below change it.
type Lot struct {
	Title    string
	Opening  Cents
	OpenedAt time.Time
	ClosesAt time.Time // zero for a live lot
	ClosedAt time.Time // zero until it is closed
	Standing Standing
	Maxima   Maxima
	BidCount int64
	Newest   []Bid // at most KeptBids, newest last
}

// Bid is one bid that the lot has taken.
type Bid struct {
	Number int64
	Bidder string
	Amount Cents
	At     time.Time
}

// The commands and the query that a lot answers. Each is typed: PlaceBid.Ask yields an *auctionv1.LotView.
var (
	OpenLot  = entity.On(openLot)
	PlaceBid = entity.On(placeBid)
	CloseLot = entity.On(closeLot)
	GetLot   = entity.Query(getLot)
)

// Lots is the whole entity: what it answers, and how events change it.
var Lots = entity.Define[Lot]("lot",
	OpenLot, PlaceBid, CloseLot, GetLot,
	entity.Apply(lotOpened), entity.Apply(bidPlaced), entity.Apply(lotClosed),
)

func lotOpened(l Lot, e *auctionv1.LotOpened) Lot {
	l.Title, l.Opening, l.OpenedAt = e.GetTitle(), Cents(e.GetOpeningCents()), e.GetAt().AsTime()
	if e.GetClosesAt() != nil {
		l.ClosesAt = e.GetClosesAt().AsTime()
	}
	return l
}

func bidPlaced(l Lot, e *auctionv1.BidPlaced) Lot {
	bidder, amount := e.GetBidder(), Cents(e.GetAmountCents())
	l.Standing = l.Standing.With(bidder, amount, l.Opening)
	l.Standing.Leader, l.Standing.Price = e.GetLeader(), Cents(e.GetPriceCents()) // as it was decided then
	l.Maxima = l.Maxima.With(bidder, amount)
	l.BidCount++
	l.Newest = keep(l.Newest, Bid{Number: l.BidCount, Bidder: bidder, Amount: amount, At: e.GetAt().AsTime()})
	return l
}

func lotClosed(l Lot, e *auctionv1.LotClosed) Lot {
	l.ClosedAt = e.GetAt().AsTime()
	return l
}

// KeptBids bounds the bids that a lot remembers for its view. Older ones are in its
// events, and in whatever follows those.
const KeptBids = 100

// keep returns a new slice: the old one belongs to the state before, which may
// still be in use. The bound makes the copy as cheap for the ten-thousandth bid as for the
// hundredth.
func keep(bids []Bid, b Bid) []Bid {
	if len(bids) == KeptBids {
		bids = bids[1:]
	}
	return slices.Concat(bids, []Bid{b})
}
