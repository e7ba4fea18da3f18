package catalogue_test

import (
	"testing"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// TestTheComparisonNoticesWhatIsWrong makes sure that the tests of the read model can fail.
func TestTheComparisonNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"nothing":                "",
		"a bid is lost":          "DELETE FROM bids WHERE number = 2",
		"a bid is doubled":       "INSERT INTO bids SELECT lot, number + 2, bidder, paddle, amount_cents, at, price_cents FROM bids WHERE number = 2",
		"two bids are swapped":   "UPDATE bids SET bidder = CASE bidder WHEN 'ann' THEN 'bob' ELSE 'ann' END",
		"an amount changed":      "UPDATE bids SET amount_cents = amount_cents + 1 WHERE number = 1",
		"a lot is lost":          "DELETE FROM lots",
		"a lot came of nowhere":  "INSERT INTO lots SELECT 'x' || lot, title, search, live, 1, 1, '', 1, 0, opened_at, ends_at, 0, 0, 1 FROM lots",
		"a price changed":        "UPDATE lots SET price_cents = price_cents + 1",
		"a lot is ahead":         "UPDATE lots SET version = version + 1",
		"a sale has another lot": "UPDATE sales SET lot = 'other'",
		"a sale is lost":         "DELETE FROM sales",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t.Context, t)
			h.openToday()
			db := openTables(t, t.TempDir())
			defer func() { _ = db.Close() }()
			c := catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
			defer func() { _ = c.Close() }()
			h.follow(c)
			h.send("lot", "lamp", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
			h.send("lot", "lamp", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 200})
			h.send("lot", "lamp", &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 300})
			h.send("sale", "today", &auctionv1.CallUp{Lot: "lamp"})
			h.catchUp()
			is := h.fold()
			h.close()
			if spoil != "" {
				_, err := db.Write().ExecContext(t.Context(), spoil)
				h.must(err)
			}
			problems, err := is.Compare(t.Context(), c)
			if wrong := err != nil || len(problems) > 0; wrong != (spoil != "") {
				t.Fatalf("it tells %v, %v", problems, err)
			}
		})
	}
}
