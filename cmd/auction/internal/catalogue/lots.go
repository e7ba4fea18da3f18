package catalogue

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/journal"
)

// order is one way to list lots. Lots that are equal in it are ordered by id, so that
// every page begins where the last one ended.
type order struct {
	name, column string
	falling      bool
	key          func(*auctionv1.LotRow, lotOrder) int64
}

var (
	byClosing = order{"closing", "ends_at", false, func(_ *auctionv1.LotRow, o lotOrder) int64 { return o.ends }}
	byPrice   = order{"price", "price_cents", true, func(r *auctionv1.LotRow, _ lotOrder) int64 { return r.GetPriceCents() }}
	byOpening = order{"newest", "opened_at", true, func(_ *auctionv1.LotRow, o lotOrder) int64 { return o.opened }}
	byClosed  = order{"results", "closed_at", true, func(_ *auctionv1.LotRow, o lotOrder) int64 { return o.closed }}
)

// lotQuery is a question for one page of lots, as two queries: for the page, and for how many there are.
type lotQuery struct {
	order       order
	size        int
	page, count query
}

// ListLots answers with a page of lots, and the token that tells what it holds.
func (c *Catalogue) ListLots(ctx context.Context, ask *auctionv1.ListLots) (*auctionv1.LotList, journal.Token, error) {
	q, err := lotsAsked(ask)
	if err != nil {
		return nil, journal.Token{}, err
	}
	return c.listLots(ctx, q)
}

// ListResults answers with a page of closed lots, the last one closed first.
func (c *Catalogue) ListResults(ctx context.Context, ask *auctionv1.ListResults) (*auctionv1.LotList, journal.Token, error) {
	q, err := newLotQuery(byClosed, filter{state: "closed"}, ask.GetPageSize(), ask.GetPageToken())
	if err != nil {
		return nil, journal.Token{}, err
	}
	return c.listLots(ctx, q)
}

func lotsAsked(ask *auctionv1.ListLots) (lotQuery, error) {
	by, known := map[string]order{"": byClosing, "closing": byClosing, "price": byPrice, "newest": byOpening}[ask.GetSort()]
	if !known {
		return lotQuery{}, malformed("sort is %q: it is closing, price or newest", ask.GetSort())
	}
	f := filter{state: ask.GetState(), live: ask.Live, text: searchable(ask.GetQuery())}
	switch f.state {
	case "", "all", "open", "closed":
	default:
		return lotQuery{}, malformed("state is %q: it is open, closed or all", f.state)
	}
	if n := len(ask.GetQuery()); n > maxQuery {
		return lotQuery{}, malformed("query has %d bytes: at most %d are allowed", n, maxQuery)
	}
	return newLotQuery(by, f, ask.GetPageSize(), ask.GetPageToken())
}

// filter says which lots are asked for.
type filter struct {
	state string // open, closed, or else all
	live  *bool
	text  string
}

// where returns the conditions, with their parameters added to q.
func (f filter) where(q *query) []string {
	conditions := []string{"1 = 1"}
	switch f.state {
	case "open":
		conditions = append(conditions, "closed_at = 0")
	case "closed":
		conditions = append(conditions, "closed_at > 0")
	}
	if f.live != nil && *f.live {
		conditions = append(conditions, "live = 1")
	} else if f.live != nil {
		conditions = append(conditions, "live = 0")
	}
	if f.text != "" {
		conditions = append(conditions, "search LIKE "+q.arg("%"+escapeLike.Replace(f.text)+"%")+` ESCAPE '\'`)
	}
	return conditions
}

// escapeLike makes the signs that LIKE has ideas of its own about ordinary ones.
var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func newLotQuery(by order, f filter, size int32, token string) (q lotQuery, err error) {
	q.order = by
	if q.size, err = pageSize(size); err != nil {
		return q, err
	}
	after, err := readCursor(token, by.name)
	if err != nil {
		return q, err
	}
	found := strings.Join(f.where(&q.count), " AND ")
	q.count.text = fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM lots WHERE %s LIMIT %d) AS found`, found, maxTotal)
	conditions, direction, beyond := f.where(&q.page), "ASC", ">"
	if by.falling {
		direction, beyond = "DESC", "<"
	}
	if after != nil {
		conditions = append(conditions, fmt.Sprintf("(%s, lot) %s (%s, %s)", by.column, beyond, q.page.arg(after.Key), q.page.arg(after.Name)))
	}
	q.page.text = fmt.Sprintf(`SELECT %s FROM lots WHERE %s ORDER BY %s %s, lot %s LIMIT %s`,
		lotColumns, strings.Join(conditions, " AND "), by.column, direction, direction, q.page.arg(q.size+1))
	return q, nil
}

func (c *Catalogue) listLots(ctx context.Context, q lotQuery) (*auctionv1.LotList, journal.Token, error) {
	list := &auctionv1.LotList{}
	token, err := c.at(ctx, []query{q.count, q.page}, func(v view) error {
		if err := v.row(ctx, q.count).Scan(&list.Total); err != nil {
			return err
		}
		var last cursor
		return v.each(ctx, q.page, func(rows *sql.Rows) error {
			if len(list.GetLots()) == q.size { // one more than fits: there is a next page
				list.NextPageToken = last.token()
				return nil
			}
			r, o, err := scanLot(rows)
			if err != nil {
				return err
			}
			list.Lots = append(list.Lots, r)
			last = cursor{Order: q.order.name, Key: q.order.key(r, o), Name: r.GetLot()}
			return nil
		})
	})
	return list, token, err
}
