package cataloguetest

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// maxProblems bounds what Compare tells; the first ones are enough.
const maxProblems = 20

// Compare tells what the tables have that the truth has not, what they lack, and what differs.
func (is *Truth) Compare(ctx context.Context, c *catalogue.Catalogue) (problems []string, err error) {
	d := &difference{}
	if err := is.compareLots(ctx, c, d); err != nil {
		return nil, err
	}
	for id, bids := range is.Bids {
		if err := compareBids(ctx, c, id, bids, d); err != nil {
			return nil, err
		}
	}
	err = is.compareSales(ctx, c, d)
	return d.problems, err
}

type difference struct{ problems []string }

func (d *difference) add(format string, args ...any) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, fmt.Sprintf(format, args...))
	}
}

func (is *Truth) compareLots(ctx context.Context, c *catalogue.Catalogue, d *difference) error {
	seen := map[string]bool{}
	for ask := (&auctionv1.ListLots{PageSize: 200, Sort: "newest"}); ; {
		list, _, err := c.ListLots(ctx, ask)
		if err != nil {
			return err
		}
		for _, r := range list.GetLots() {
			if want := is.Lots[r.GetLot()]; !proto.Equal(r, want) || seen[r.GetLot()] {
				d.add("the row is\n%v, the log says\n%v; it was met before: %v", r, want, seen[r.GetLot()])
			}
			seen[r.GetLot()] = true
		}
		if ask.PageToken = list.GetNextPageToken(); ask.PageToken == "" {
			break
		}
	}
	for id := range is.Lots {
		if !seen[id] {
			d.add("lot %s has no row", id)
		}
	}
	return nil
}

// compareBids wants all bids of a lot, numbered without a gap, in the order of the log.
func compareBids(ctx context.Context, c *catalogue.Catalogue, lot string, want []*auctionv1.BidRow, d *difference) error {
	left := len(want)
	for ask := (&auctionv1.ShowLot{Lot: lot, PageSize: 200}); ; {
		page, _, err := c.ShowLot(ctx, ask)
		if err != nil {
			return fmt.Errorf("lot %s: %w", lot, err)
		}
		for _, b := range page.GetBids() {
			if left--; left < 0 || !proto.Equal(b, want[left]) {
				d.add("lot %s has the bid %v where the log has %v", lot, b, want[max(left, 0):])
			}
		}
		if ask.PageToken = page.GetNextPageToken(); ask.PageToken == "" {
			break
		}
	}
	if left > 0 {
		d.add("lot %s lacks %d bids of %d", lot, left, len(want))
	}
	return nil
}

func (is *Truth) compareSales(ctx context.Context, c *catalogue.Catalogue, d *difference) error {
	list, _, err := c.ListSales(ctx, &auctionv1.ListSales{PageSize: 200})
	if err != nil {
		return err
	}
	for _, s := range list.GetSales() {
		if want := is.Sales[s.GetSale()]; !proto.Equal(s, want) {
			d.add("the sale's row is %v, the log says %v", s, want)
		}
	}
	if len(list.GetSales()) != min(len(is.Sales), 200) {
		d.add("there are %d sales, the log has %d", len(list.GetSales()), len(is.Sales))
	}
	return nil
}
