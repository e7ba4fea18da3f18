package catalogue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// The names of the two lists of bids in page tokens.
const (
	bidsOfLot    = "lot"
	bidsOfBidder = "bidder"
)

// ShowLot answers with a lot and a page of its bids, the newest first.
func (c *Catalogue) ShowLot(ctx context.Context, ask *auctionv1.ShowLot) (*auctionv1.LotPage, journal.Token, error) {
	size, after, err := pageAsked("lot", ask.GetLot(), bidsOfLot, ask.GetPageSize(), ask.GetPageToken())
	if err != nil {
		return nil, journal.Token{}, err
	}
	lot := query{`SELECT ` + lotColumns + ` FROM lots WHERE lot = $1`, []any{ask.GetLot()}}
	bids := query{`SELECT ` + bidColumns + ` FROM bids WHERE lot = $1 ORDER BY number DESC LIMIT $2`, []any{ask.GetLot(), size + 1}}
	if after != nil {
		bids = query{
			`SELECT ` + bidColumns + ` FROM bids WHERE lot = $1 AND number < $3 ORDER BY number DESC LIMIT $2`,
			[]any{ask.GetLot(), size + 1, after.Number},
		}
	}
	page := &auctionv1.LotPage{}
	token, err := c.at(ctx, []query{lot, bids}, func(v view) (err error) {
		page.Row, _, err = scanLot(v.row(ctx, lot))
		if errors.Is(err, sql.ErrNoRows) {
			return noSuchLot(ask.GetLot())
		}
		if err != nil {
			return err
		}
		return v.each(ctx, bids, func(rows *sql.Rows) error {
			if len(page.GetBids()) == size {
				page.NextPageToken = cursor{Order: bidsOfLot, Number: page.GetBids()[size-1].GetNumber()}.token()
				return nil
			}
			b, _, err := scanBid(rows)
			page.Bids = append(page.Bids, b)
			return err
		})
	})
	return page, token, err
}

func noSuchLot(id string) error {
	return &entity.Rejection{Code: codeNotFound, Message: fmt.Sprintf("there is no lot %q", id)}
}

// ListBids answers with a page of a bidder's bids, the newest first. A bidder whom nobody
// knows has none.
func (c *Catalogue) ListBids(ctx context.Context, ask *auctionv1.ListBids) (*auctionv1.BidList, journal.Token, error) {
	size, after, err := pageAsked("bidder", ask.GetBidder(), bidsOfBidder, ask.GetPageSize(), ask.GetPageToken())
	if err != nil {
		return nil, journal.Token{}, err
	}
	q := query{args: []any{ask.GetBidder(), size + 1}}
	beyond := ""
	if after != nil {
		beyond = fmt.Sprintf("AND (bids.at, bids.lot, bids.number) < (%s, %s, %s)", q.arg(after.Key), q.arg(after.Name), q.arg(after.Number))
	}
	q.text = fmt.Sprintf(`SELECT %s, lots.title, lots.leader, lots.closed_at, lots.price_cents FROM bids JOIN lots ON lots.lot = bids.lot
		WHERE bids.bidder = $1 %s ORDER BY bids.at DESC, bids.lot DESC, bids.number DESC LIMIT $2`, bidColumns, beyond)
	list := &auctionv1.BidList{}
	token, err := c.at(ctx, []query{q}, func(v view) error {
		var last cursor
		return v.each(ctx, q, func(rows *sql.Rows) error {
			if len(list.GetBids()) == size {
				list.NextPageToken = last.token()
				return nil
			}
			b, at, err := scanBidderBid(rows)
			list.Bids = append(list.Bids, b)
			last = cursor{Order: bidsOfBidder, Key: at, Name: b.GetBid().GetLot(), Number: b.GetBid().GetNumber()}
			return err
		})
	})
	return list, token, err
}

func scanBidderBid(rows *sql.Rows) (*auctionv1.BidderBid, int64, error) {
	b := &auctionv1.BidderBid{}
	var leader string
	var closed, at int64
	var err error
	b.Bid, at, err = scanBid(rows, &b.Title, &leader, &closed, &b.LotPriceCents)
	b.Closed = closed != 0
	b.Leads = leader == b.GetBid().GetBidder()
	b.Won = b.Leads && b.Closed
	return b, at, err
}

// pageAsked checks what the two lists of bids have in common.
func pageAsked(what, name, order string, size int32, token string) (int, *cursor, error) {
	if err := checkName(what, name); err != nil {
		return 0, nil, err
	}
	n, err := pageSize(size)
	if err != nil {
		return 0, nil, err
	}
	after, err := readCursor(token, order)
	return n, after, err
}
