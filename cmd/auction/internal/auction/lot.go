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
	Maxima   Maxima // of those who bid online
	BidCount int64
	Hammer   int32 // 1: going once, 2: going twice
	Newest   []Bid // at most KeptBids, newest last
}

// Bid is one bid that the lot has taken.
type Bid struct {
	Number int64
	// Bidder is a name, or a paddle as text.
	Bidder string
	// Paddle is the number of a bidder in the room; 0 if the bid came online.
	Paddle int32
	Amount Cents
	At     time.Time
}

// The commands and the query that a lot answers. Each is typed: PlaceBid.Ask yields an *auctionv1.LotView.
var (
	OpenLot       = entity.On(openLot)
	PlaceBid      = entity.On(placeBid)
	PlaceFloorBid = entity.On(placeFloorBid)
	RaiseHammer   = entity.On(raiseHammer)
	CloseLot      = entity.On(closeLot)
	GetLot        = entity.Query(getLot)
)

// Lots is the whole entity: what it answers, how events change it, and how old events are read.
var Lots = entity.Define[Lot]("lot",
	OpenLot, PlaceBid, PlaceFloorBid, RaiseHammer, CloseLot, GetLot,
	entity.Apply(lotOpened), entity.Apply(bidTaken), entity.Apply(hammerRaised), entity.Apply(lotClosed),
	entity.Upcast[Lot](takenFromPlaced),
)

func lotOpened(l Lot, e *auctionv1.LotOpened) Lot {
	l.Title, l.Opening, l.OpenedAt = e.GetTitle(), Cents(e.GetOpeningCents()), e.GetAt().AsTime()
	if e.GetClosesAt() != nil {
		l.ClosesAt = e.GetClosesAt().AsTime()
	}
	return l
}

// bidTaken counts by itself: an event that was stored as BidPlaced does not tell its number.
func bidTaken(l Lot, e *auctionv1.BidTaken) Lot {
	l.BidCount++
	b := Bid{Number: l.BidCount, Bidder: BidderOf(e), Paddle: e.GetPaddle(), Amount: Cents(e.GetAmountCents()), At: e.GetAt().AsTime()}
	l.Standing = l.Standing.With(b, l.Opening)
	l.Standing.Leader, l.Standing.Price = e.GetLeader(), Cents(e.GetPriceCents()) // as it was decided then
	if b.Paddle == 0 {
		l.Maxima = l.Maxima.With(b.Bidder, b.Amount)
	}
	l.Newest = keep(l.Newest, b)
	l.Hammer = 0
	return l
}

func hammerRaised(l Lot, e *auctionv1.HammerRaised) Lot {
	l.Hammer = e.GetTimes()
	return l
}

func lotClosed(l Lot, e *auctionv1.LotClosed) Lot {
	l.ClosedAt, l.Hammer = e.GetAt().AsTime(), 0
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
