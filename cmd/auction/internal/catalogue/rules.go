package catalogue

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/readside"
)

// rules tell what each type of event changes. None knows the rules of the auction: what
// they came to is in the events.
func rules() []readside.SQLRule {
	lot, sale := readside.OfType(auction.Lots.Name()), readside.OfType(auction.Sales.Name())
	return []readside.SQLRule{
		readside.On(lotOpened, lot), readside.On(bidTaken, lot), readside.On(hammerRaised, lot), readside.On(lotClosed, lot),
		readside.On(lotCalledUp, sale),
	}
}

var (
	insertLot = readside.Prepare(`INSERT INTO lots
		(lot, title, search, live, opening_cents, price_cents, leader, next_bid_cents, bid_count, opened_at, ends_at, closed_at, hammer, version)
		VALUES ($1, $2, $3, $4, $5, 0, '', $5, 0, $6, $7, 0, 0, $8)`)
	countBid = readside.Prepare(`UPDATE lots
		SET price_cents = $2, leader = $3, next_bid_cents = $4, bid_count = bid_count + 1, hammer = 0, version = $5
		WHERE lot = $1 RETURNING bid_count`)
	insertBid = readside.Prepare(`INSERT INTO bids (lot, number, bidder, paddle, amount_cents, at, price_cents) VALUES ($1, $2, $3, $4, $5, $6, $7)`)
	setHammer = readside.Prepare(`UPDATE lots SET hammer = $2, version = $3 WHERE lot = $1`)
	closeLot  = readside.Prepare(`UPDATE lots
		SET closed_at = $2, leader = $3, price_cents = $4, next_bid_cents = 0, hammer = 0, version = $5 WHERE lot = $1`)
	putSale = readside.Prepare(`INSERT INTO sales (sale, lot, called_at, count) VALUES ($1, $2, $3, $4)
		ON CONFLICT (sale) DO UPDATE SET lot = excluded.lot, called_at = excluded.called_at, count = excluded.count`)
)

func lotOpened(ctx context.Context, tx *sql.Tx, ev readside.Event[*auctionv1.LotOpened]) error {
	e, live, ends := ev.Msg, 1, int64(math.MaxInt64)
	if e.GetClosesAt() != nil {
		live, ends = 0, nanos(e.GetClosesAt())
	}
	search := searchable(e.GetTitle()) + "\n" + searchable(ev.EntityID)
	_, err := insertLot.Exec(ctx, tx, ev.EntityID, e.GetTitle(), search, live, e.GetOpeningCents(), nanos(e.GetAt()), ends, int64(ev.Version))
	return err
}

// bidTaken numbers the bids by counting them: one that was stored before bids were numbered does not tell.
func bidTaken(ctx context.Context, tx *sql.Tx, ev readside.Event[*auctionv1.BidTaken]) error {
	e := ev.Msg
	var number int64
	err := countBid.QueryRow(ctx, tx, ev.EntityID, e.GetPriceCents(), e.GetLeader(), e.GetNextBidCents(), int64(ev.Version)).Scan(&number)
	if err != nil {
		return fmt.Errorf("count a bid on lot %s: %w", ev.EntityID, err)
	}
	if told := e.GetNumber(); told != 0 && told != number {
		return fmt.Errorf("lot %s: its bid %d would be row %d: somebody else has changed the tables; throw them away to have them made again", ev.EntityID, told, number)
	}
	_, err = insertBid.Exec(ctx, tx, ev.EntityID, number, auction.BidderOf(e), int64(e.GetPaddle()), e.GetAmountCents(), nanos(e.GetAt()), e.GetPriceCents())
	return err
}

func hammerRaised(ctx context.Context, tx *sql.Tx, ev readside.Event[*auctionv1.HammerRaised]) error {
	return one(setHammer.Exec(ctx, tx, ev.EntityID, int64(ev.Msg.GetTimes()), int64(ev.Version)))
}

func lotClosed(ctx context.Context, tx *sql.Tx, ev readside.Event[*auctionv1.LotClosed]) error {
	e := ev.Msg
	return one(closeLot.Exec(ctx, tx, ev.EntityID, nanos(e.GetAt()), e.GetWinner(), e.GetPriceCents(), int64(ev.Version)))
}

func lotCalledUp(ctx context.Context, tx *sql.Tx, ev readside.Event[*auctionv1.LotCalledUp]) error {
	_, err := putSale.Exec(ctx, tx, ev.EntityID, ev.Msg.GetLot(), nanos(ev.Msg.GetAt()), ev.Msg.GetNumber())
	return err
}

// one makes sure that a lot was there to be changed.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("the event changed %d rows of lots, not its own (%w)", n, err)
	}
	return nil
}

func nanos(t *timestamppb.Timestamp) int64 { return t.AsTime().UnixNano() }

// searchable is how texts and questions are compared. A database's own idea of letters
// and their case differs from one to the next.
func searchable(text string) string { return strings.Join(strings.Fields(strings.ToLower(text)), " ") }
