package catalogue

import (
	"fmt"
	"net/http"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/readside/stream"
)

// The members of the live stream's messages, those of auctionv1.Changes.
const (
	listRows  = "rows"
	listBids  = "bids"
	listSales = "sales"
)

// Live says what pages learn from the log as it grows: what changes of lots, and the bids. It needs the
// events and nothing else, so that nothing lies between a bid and whoever watches.
func Live(source stream.Source) stream.Config {
	return stream.Config{
		Source: source, Name: "lots", Lists: []string{listRows, listBids, listSales}, Topics: topics,
		Rules: []stream.Rule{
			stream.On(liveOpened), stream.On(liveBid), stream.On(liveHammer), stream.On(liveClosed), stream.On(liveCall),
		},
	}
}

// topics lets ?lot=ID hear of one lot only, and of the sales.
func topics(r *http.Request) ([]string, error) {
	if !r.URL.Query().Has("lot") {
		return nil, nil
	}
	id := r.URL.Query().Get("lot")
	if n := len(id); n == 0 || n > maxName {
		return nil, fmt.Errorf("lot has %d bytes: name one lot, of 1 to %d", n, maxName)
	}
	return []string{topic(id)}, nil
}

func topic(lot string) string { return "lot/" + lot }

// partialRow is what an event tells of a lot: members of an auctionv1.LotRow, under its names. Whoever has the row as
// it was before merges them into it. How the lot stands is in each, and its zeros too, because the hammer comes down again and
// the next bid becomes 0. What does not change is in the first only.
type partialRow struct {
	Lot     string `json:"lot"`
	Version uint64 `json:"version,string"`

	Leader       string `json:"leader"`
	PriceCents   int64  `json:"priceCents,string"`
	NextBidCents int64  `json:"nextBidCents,string"`
	BidCount     int64  `json:"bidCount,string"`
	Hammer       int32  `json:"hammer"`

	*openedPart
	*closedPart
}

// openedPart makes a partial row a whole one.
type openedPart struct {
	Title        string     `json:"title"`
	Live         bool       `json:"live"`
	OpeningCents int64      `json:"openingCents,string"`
	OpenedAt     time.Time  `json:"openedAt"`
	ClosesAt     *time.Time `json:"closesAt,omitempty"`
}

// closedPart is the end of a lot.
type closedPart struct {
	Closed   bool      `json:"closed"`
	ClosedAt time.Time `json:"closedAt"`
}

// fragment makes a row what the stream sends of an event.
func (r partialRow) fragment(lot string, version uint64) stream.Fragment {
	r.Lot, r.Version = lot, version
	return stream.Fragment{List: listRows, Topic: topic(lot), Value: r}
}

func liveOpened(ev stream.Event[*auctionv1.LotOpened]) []stream.Fragment {
	e := ev.Msg
	whole := &openedPart{Title: e.GetTitle(), Live: e.GetClosesAt() == nil, OpeningCents: e.GetOpeningCents(), OpenedAt: e.GetAt().AsTime()}
	if !whole.Live {
		at := e.GetClosesAt().AsTime()
		whole.ClosesAt = &at
	}
	return []stream.Fragment{partialRow{NextBidCents: e.GetOpeningCents(), openedPart: whole}.fragment(ev.EntityID, ev.Version)}
}

func liveBid(ev stream.Event[*auctionv1.BidTaken]) []stream.Fragment {
	e, number := ev.Msg, ev.Msg.GetNumber()
	if number == 0 { // stored as BidPlaced, when nothing but the opening could come before bids
		number = int64(ev.Version) - 1
	}
	bid := stream.Fragment{List: listBids, Topic: topic(ev.EntityID), Value: &auctionv1.BidRow{
		Lot: ev.EntityID, Number: number, Bidder: auction.BidderOf(e), Paddle: e.GetPaddle(),
		AmountCents: e.GetAmountCents(), At: e.GetAt(), PriceCents: e.GetPriceCents(),
	}}
	row := partialRow{Leader: e.GetLeader(), PriceCents: e.GetPriceCents(), NextBidCents: e.GetNextBidCents(), BidCount: number}
	return []stream.Fragment{row.fragment(ev.EntityID, ev.Version), bid}
}

func liveHammer(ev stream.Event[*auctionv1.HammerRaised]) []stream.Fragment {
	e := ev.Msg
	row := partialRow{
		Leader: e.GetLeader(), PriceCents: e.GetPriceCents(), NextBidCents: e.GetNextBidCents(), BidCount: e.GetBidCount(), Hammer: e.GetTimes(),
	}
	return []stream.Fragment{row.fragment(ev.EntityID, ev.Version)}
}

func liveClosed(ev stream.Event[*auctionv1.LotClosed]) []stream.Fragment {
	e := ev.Msg
	row := partialRow{
		Leader: e.GetWinner(), PriceCents: e.GetPriceCents(), BidCount: e.GetBidCount(),
		closedPart: &closedPart{Closed: true, ClosedAt: e.GetAt().AsTime()},
	}
	return []stream.Fragment{row.fragment(ev.EntityID, ev.Version)}
}

// liveCall goes to everybody: a page of one lot tells when its lot is on the block.
func liveCall(ev stream.Event[*auctionv1.LotCalledUp]) []stream.Fragment {
	return []stream.Fragment{{List: listSales, Value: &auctionv1.SaleView{
		Sale: ev.EntityID, Lot: ev.Msg.GetLot(), CalledAt: ev.Msg.GetAt(), Count: ev.Msg.GetNumber(),
	}}}
}
