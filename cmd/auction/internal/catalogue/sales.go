package catalogue

import (
	"context"
	"database/sql"
	"fmt"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/journal"
)

// inSales is the name of the list of sales in page tokens.
const inSales = "sales"

// ListSales answers with a page of sales, the one that called a lot up last first.
func (c *Catalogue) ListSales(ctx context.Context, ask *auctionv1.ListSales) (*auctionv1.SaleList, journal.Token, error) {
	size, err := pageSize(ask.GetPageSize())
	if err != nil {
		return nil, journal.Token{}, err
	}
	after, err := readCursor(ask.GetPageToken(), inSales)
	if err != nil {
		return nil, journal.Token{}, err
	}
	q := query{args: []any{size + 1}}
	beyond := ""
	if after != nil {
		beyond = fmt.Sprintf("WHERE (called_at, sale) < (%s, %s)", q.arg(after.Key), q.arg(after.Name))
	}
	q.text = `SELECT sale, lot, called_at, count FROM sales ` + beyond + ` ORDER BY called_at DESC, sale DESC LIMIT $1`
	list := &auctionv1.SaleList{}
	token, err := c.at(ctx, []query{q}, func(v view) error {
		var last cursor
		return v.each(ctx, q, func(rows *sql.Rows) error {
			if len(list.GetSales()) == size {
				list.NextPageToken = last.token()
				return nil
			}
			s, called := &auctionv1.SaleView{}, int64(0)
			if err := rows.Scan(&s.Sale, &s.Lot, &called, &s.Count); err != nil {
				return err
			}
			s.CalledAt = timestamp(called)
			list.Sales = append(list.Sales, s)
			last = cursor{Order: inSales, Key: called, Name: s.GetSale()}
			return nil
		})
	})
	return list, token, err
}
