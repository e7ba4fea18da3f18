package catalogue

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// scanner is a row of a result: *sql.Row or *sql.Rows.
type scanner interface{ Scan(into ...any) error }

// scanLot reads lotColumns, and whatever follows them.
func scanLot(from scanner, more ...any) (*auctionv1.LotRow, lotOrder, error) {
	r := &auctionv1.LotRow{}
	var o lotOrder
	var live, version int64
	into := []any{
		&r.Lot, &r.Title, &live, &r.OpeningCents, &r.PriceCents, &r.Leader, &r.NextBidCents,
		&r.BidCount, &o.opened, &o.ends, &o.closed, &r.Hammer, &version,
	}
	if err := from.Scan(append(into, more...)...); err != nil {
		return nil, o, err
	}
	r.Live, r.Closed, r.Version = live == 1, o.closed != 0, uint64(version)
	r.OpenedAt = timestamp(o.opened)
	if !r.Live {
		r.ClosesAt = timestamp(o.ends)
	}
	if r.Closed {
		r.ClosedAt = timestamp(o.closed)
	}
	return r, o, nil
}

// lotOrder is what lists are ordered by, beside the price.
type lotOrder struct{ opened, ends, closed int64 }

// scanBid reads bidColumns, and whatever follows them.
func scanBid(from scanner, more ...any) (*auctionv1.BidRow, int64, error) {
	b := &auctionv1.BidRow{}
	var at int64
	into := []any{&b.Lot, &b.Number, &b.Bidder, &b.Paddle, &b.AmountCents, &at, &b.PriceCents}
	if err := from.Scan(append(into, more...)...); err != nil {
		return nil, 0, err
	}
	b.At = timestamp(at)
	return b, at, nil
}

func timestamp(nanos int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(0, nanos)) }
