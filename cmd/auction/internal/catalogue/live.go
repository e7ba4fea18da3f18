package catalogue

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

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

// Live says what pages learn from the log as it grows: the rows of lots that change, and the
// bids. All that changes is in the events, so nothing lies between a bid and whoever watches; what a
// lot is, which never changes, is looked up once.
func (c *Catalogue) Live(source stream.Source) stream.Config {
	l := &live{lots: c, known: map[string]*auctionv1.LotRow{}}
	return stream.Config{
		Source: source, Name: "lots", Lists: []string{listRows, listBids, listSales}, Topics: topics,
		Rules: []stream.Rule{
			stream.On(l.opened), stream.On(l.bidTaken), stream.On(l.hammerRaised), stream.On(l.closed), stream.On(calledUp),
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

// live makes rows of events. It may be used concurrently.
type live struct {
	lots *Catalogue

	mu sync.Mutex
	// known are the rows of lots as they were opened. What changes of a lot is not in them.
	known map[string]*auctionv1.LotRow
}

const (
	// maxKnown bounds the lots that are remembered; beyond it they are looked up anew.
	maxKnown = 10_000
	// lookupPatience bounds one look into the tables.
	lookupPatience = time.Second
)

func (l *live) opened(ev stream.Event[*auctionv1.LotOpened]) []stream.Fragment {
	e := ev.Msg
	r := &auctionv1.LotRow{
		Lot: ev.EntityID, Title: e.GetTitle(), Live: e.GetClosesAt() == nil, OpeningCents: e.GetOpeningCents(),
		OpenedAt: e.GetAt(), ClosesAt: e.GetClosesAt(),
	}
	l.remember(r)
	return l.row(ev.EntityID, ev.Version, func(r *auctionv1.LotRow) { r.NextBidCents = r.GetOpeningCents() })
}

func (l *live) bidTaken(ev stream.Event[*auctionv1.BidTaken]) []stream.Fragment {
	e, number := ev.Msg, ev.Msg.GetNumber()
	if number == 0 { // stored as BidPlaced, when nothing but the opening could come before bids
		number = int64(ev.Version) - 1
	}
	bid := stream.Fragment{List: listBids, Topic: topic(ev.EntityID), Value: &auctionv1.BidRow{
		Lot: ev.EntityID, Number: number, Bidder: auction.BidderOf(e), Paddle: e.GetPaddle(),
		AmountCents: e.GetAmountCents(), At: e.GetAt(), PriceCents: e.GetPriceCents(),
	}}
	return append(l.row(ev.EntityID, ev.Version, func(r *auctionv1.LotRow) {
		r.Leader, r.PriceCents, r.NextBidCents, r.BidCount = e.GetLeader(), e.GetPriceCents(), e.GetNextBidCents(), number
	}), bid)
}

func (l *live) hammerRaised(ev stream.Event[*auctionv1.HammerRaised]) []stream.Fragment {
	e := ev.Msg
	return l.row(ev.EntityID, ev.Version, func(r *auctionv1.LotRow) {
		r.Leader, r.PriceCents, r.NextBidCents, r.BidCount, r.Hammer = e.GetLeader(), e.GetPriceCents(), e.GetNextBidCents(), e.GetBidCount(), e.GetTimes()
	})
}

func (l *live) closed(ev stream.Event[*auctionv1.LotClosed]) []stream.Fragment {
	e := ev.Msg
	return l.row(ev.EntityID, ev.Version, func(r *auctionv1.LotRow) {
		r.Closed, r.ClosedAt, r.Leader, r.PriceCents, r.BidCount = true, e.GetAt(), e.GetWinner(), e.GetPriceCents(), e.GetBidCount()
	})
}

// calledUp goes to everybody: a page of one lot tells when its lot is on the block.
func calledUp(ev stream.Event[*auctionv1.LotCalledUp]) []stream.Fragment {
	return []stream.Fragment{{List: listSales, Value: &auctionv1.SaleView{
		Sale: ev.EntityID, Lot: ev.Msg.GetLot(), CalledAt: ev.Msg.GetAt(), Count: ev.Msg.GetNumber(),
	}}}
}

// row returns the lot's row with what an event says of it. It is left out while the tables are so
// far behind that they have not heard of the lot: a page that could show it has not loaded it either.
func (l *live) row(lot string, version uint64, change func(*auctionv1.LotRow)) []stream.Fragment {
	known := l.find(lot)
	if known == nil {
		return nil
	}
	r := proto.CloneOf(known)
	r.Version = version
	change(r)
	return []stream.Fragment{{List: listRows, Topic: topic(lot), Value: r}}
}

func (l *live) find(lot string) *auctionv1.LotRow {
	l.mu.Lock()
	r := l.known[lot]
	l.mu.Unlock()
	if r != nil {
		return r
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupPatience)
	defer cancel()
	page, _, err := l.lots.ShowLot(ctx, &auctionv1.ShowLot{Lot: lot, PageSize: 1})
	if err != nil {
		return nil
	}
	now := page.GetRow()
	r = &auctionv1.LotRow{
		Lot: lot, Title: now.GetTitle(), Live: now.GetLive(), OpeningCents: now.GetOpeningCents(), OpenedAt: now.GetOpenedAt(), ClosesAt: now.GetClosesAt(),
	}
	l.remember(r)
	return r
}

func (l *live) remember(r *auctionv1.LotRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[r.GetLot()] = r
}
