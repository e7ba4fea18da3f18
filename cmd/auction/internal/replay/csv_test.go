package replay_test

import (
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/replay"
)

const header = "auction,item,opening_bid,bid_time_days,bidder,max_bid,final_price\n"

func TestBidsAreReadInOrderOfTimeAndEqualTimesInTheFilesOrder(t *testing.T) {
	t.Parallel()
	auctions, problems, err := replay.Read(strings.NewReader("\ufeff" + strings.ReplaceAll(header+
		"1,A lamp,9.99,2.5,late,30,20\n"+
		"2,A clock,1,0.1,other,5,\n"+
		"1,A lamp,9.99,0.5,tied first,11,20\n"+
		"1,A lamp,9.99,0.50,tied second,12.5,20\n", "\n", "\r\n")))
	if err != nil || len(problems) > 0 || len(auctions) != 2 {
		t.Fatalf("got %v, %v, %v", auctions, problems, err)
	}
	lamp := auctions[0]
	if lamp.Name != "1" || lamp.Title != "A lamp" || lamp.Opening != 9_99 || lamp.Final != 20_00 || auctions[1].Final != 0 {
		t.Fatalf("got %+v", auctions)
	}
	var order []string
	for _, b := range lamp.Bids {
		order = append(order, b.Bidder)
	}
	if got := strings.Join(order, ", "); got != "tied first, tied second, late" {
		t.Fatalf("in the order %s", got)
	}
	if b := lamp.Bids[1]; b.Line != 5 || b.Maximum != 12_50 {
		t.Fatalf("got %+v", b)
	}
}

func TestEachBadLineIsReportedWithItsNumberAndTheGoodOnesAreKept(t *testing.T) {
	t.Parallel()
	const good = "1,A lamp,9.99,0.5,ann,30,20\n"
	tests := []struct{ name, line, why string }{
		{"too few fields", "1,A lamp,9.99,0.5,ann,30\n", "it has 6 fields"},
		{"too many fields", "1,A lamp,9.99,0.5,ann,30,20,\n", "it has 8 fields"},
		{"no auction", ",A lamp,9.99,0.5,ann,30,20\n", "auction: a name has 1 to"},
		{"no bidder", "1,A lamp,9.99,0.5,,30,20\n", "bidder: a name has 1 to"},
		{"a long bidder", "1,A lamp,9.99,0.5," + strings.Repeat("x", auction.MaxBidder+1) + ",30,20\n", "bidder: a name has 1 to"},
		{"a long item", "1," + strings.Repeat("x", auction.MaxTitle+1) + ",9.99,0.5,ann,30,20\n", "item: a name has 1 to"},
		{"a control character", "1,A lamp,9.99,0.5,a\x07nn,30,20\n", "not UTF-8 text on one line"},
		{"broken UTF-8", "1,A lamp,9.99,0.5,a\xffnn,30,20\n", "not UTF-8 text on one line"},
		{"a negative bid", "1,A lamp,9.99,0.5,ann,-30,20\n", "max_bid: "},
		{"a fraction of a cent", "1,A lamp,9.99,0.5,ann,30.001,20\n", "max_bid: "},
		{"a word as an opening bid", "1,A lamp,ten,0.5,ann,30,20\n", "opening_bid: "},
		{"an absurd final price", "1,A lamp,9.99,0.5,ann,30,1e9\n", "final_price: "},
		{"no time", "1,A lamp,9.99,,ann,30,20\n", "bid_time_days: "},
		{"a time that is no number", "1,A lamp,9.99,NaN,ann,30,20\n", "bid_time_days: "},
		{"another opening bid", "1,A lamp,9.98,0.5,ann,30,20\n", "differ from those of auction 1 in line 2"},
		{"a quote that is never closed", "1,\"A lamp,9.99,0.5,ann,30,20\n", "missing \""},
		{"a bare quote", "1,A \"lamp,9.99,0.5,ann,30,20\n", "bare \""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			auctions, problems, err := replay.Read(strings.NewReader(header + good + test.line + good))
			if err != nil || len(auctions) != 1 || len(auctions[0].Bids) != 2 {
				t.Fatalf("got %+v, %v; want both good lines", auctions, err)
			}
			if len(problems) != 1 || problems[0].Line != 3 || !strings.Contains(problems[0].String(), test.why) {
				t.Fatalf("got %v, want one problem in line 3: %s", problems, test.why)
			}
		})
	}
}

func TestAFileWithoutTheColumnsIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a long line":    strings.Repeat("x", 1<<17),
		"empty":          "",
		"another header": "a,b,c\n",
		"a column twice": "auction,auction,opening_bid,bid_time_days,bidder,max_bid\n",
		"a broken quote": "\"auction",
	} {
		if _, _, err := replay.Read(strings.NewReader(text)); err == nil || !strings.HasPrefix(err.Error(), "line 1: ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + "1,A lamp,9.99,0.5,ann,30,20\n")
	f.Add(header + "1,\"A\nlamp\",9.99,0.5,ann,30,20\n\n,,\n")
	f.Fuzz(func(t *testing.T, text string) {
		auctions, problems, err := replay.Read(strings.NewReader(text))
		lines := strings.Count(text, "\n") + 1
		bids := 0
		for _, a := range auctions {
			bids += len(a.Bids)
			if a.Opening < 1 || a.Opening > auction.MaxCents {
				t.Fatalf("opening %v", a.Opening)
			}
		}
		if err == nil && bids+len(problems) >= lines+1 {
			t.Fatalf("%d bids and %d problems in %d lines", bids, len(problems), lines)
		}
	})
}
