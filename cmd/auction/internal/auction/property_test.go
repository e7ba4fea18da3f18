package auction_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// offer is a bid that counts, in the naive model. One from the room has a paddle, one from outside a name.
type offer struct {
	bidder string
	room   bool
	cents  int64
}

// naive is eBay's rule as it is told, without thought of cost: sort one maximum per
// bidder, the highest and then the earliest first. The room bids exactly.
func naive(opening int64, offers []offer) (leader string, price int64) {
	var best []offer
	for _, o := range offers {
		best = slices.DeleteFunc(best, func(b offer) bool { return b.bidder == o.bidder })
		best = append(best, o)
	}
	slices.SortStableFunc(best, func(a, b offer) int { return int(b.cents - a.cents) })
	switch {
	case len(best) == 0:
		return "", 0
	case best[0].room:
		return best[0].bidder, best[0].cents
	case len(best) == 1:
		return best[0].bidder, opening
	}
	return best[0].bidder, min(best[0].cents, best[1].cents+naiveStep(best[1].cents))
}

// counts tells whether a lot should take a bid.
func (o offer) counts(opening int64, taken []offer, own map[string]int64) bool {
	leader, price := naive(opening, taken)
	if o.room {
		return o.cents >= opening && o.cents > price && o.bidder != leader
	}
	return o.cents >= opening && o.cents > own[o.bidder]
}

func (o offer) command() proto.Message {
	if !o.room {
		return &auctionv1.PlaceBid{Bidder: o.bidder, AmountCents: o.cents}
	}
	var paddle int32
	_, _ = fmt.Sscanf(o.bidder, "paddle %d", &paddle)
	return &auctionv1.PlaceFloorBid{Paddle: paddle, AmountCents: o.cents}
}

func naiveStep(cents int64) int64 {
	steps := [][2]int64{{100, 5}, {500, 25}, {2500, 50}, {10000, 100}, {25000, 250}, {50000, 500}, {100000, 1000}, {250000, 2500}, {500000, 5000}}
	for _, s := range steps {
		if cents < s[0] {
			return s[1]
		}
	}
	return 10000
}

func TestALotFollowsTheNaiveModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		opening := rapid.Int64Range(1, 2000).Draw(t, "opening")
		top := rapid.SampledFrom([]int64{2100, 20_000, 700_000}).Draw(t, "top")
		bidders := rapid.IntRange(1, 400).Draw(t, "bidders")
		room := rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "bids from the room, of 10")
		lot := evolve(t, auction.Lots.Initial(), &auctionv1.LotOpened{Title: "A lamp", OpeningCents: opening})
		var taken []offer
		own := map[string]int64{}
		for range rapid.IntRange(0, 300).Draw(t, "bids") {
			o := offer{cents: rapid.Int64Range(1, top).Draw(t, "cents")}
			if o.room = rapid.IntRange(0, 9).Draw(t, "from") < room; o.room {
				o.bidder = auction.PaddleText(int32(rapid.IntRange(1, 20).Draw(t, "paddle")))
			} else {
				o.bidder = fmt.Sprint("bidder-", rapid.IntRange(1, bidders).Draw(t, "bidder"))
			}
			effect, _, err := auction.Lots.Decide(lot, o.command(), entity.Moment{EntityID: "lamp"})
			if counts := o.counts(opening, taken, own); counts != (err == nil) {
				t.Fatalf("bid %v: the model says %v, the lot says %v", o, counts, err)
			}
			if err != nil {
				continue
			}
			taken = append(taken, o)
			if !o.room {
				own[o.bidder] = o.cents
			}
			before := lot
			lot = evolve(t, lot, effect.Events()[0])
			leader, price := naive(opening, taken)
			if lot.Standing.Leader != leader || int64(lot.Standing.Price) != price {
				t.Fatalf("after %v: %q at %v, the model says %q at %d", o, lot.Standing.Leader, lot.Standing.Price, leader, price)
			}
			checkBid(t, before, lot, o, effect.Events()[0].(*auctionv1.BidTaken))
		}
		if lot.Maxima.Len() != len(own) {
			t.Fatalf("%d bidders, the model has %d", lot.Maxima.Len(), len(own))
		}
		checkSnapshot(t, lot)
	})
}

// checkBid looks at what must hold whatever the rule is.
func checkBid(t *rapid.T, before, after auction.Lot, o offer, e *auctionv1.BidTaken) {
	now := after.Standing
	switch {
	case now.Price < before.Standing.Price:
		t.Fatalf("after %v the price fell from %v to %v", o, before.Standing.Price, now.Price)
	case now.Price > now.High:
		t.Fatalf("after %v the price %v exceeds the leader's maximum %v", o, now.Price, now.High)
	case int64(now.Price) < o.cents && o.room:
		t.Fatalf("after %v the price is %v", o, now.Price)
	case after.BidCount != before.BidCount+1 || e.GetNumber() != after.BidCount:
		t.Fatalf("bid %v has the number %d, %d came before it", o, e.GetNumber(), before.BidCount)
	case e.GetLeader() != now.Leader || e.GetPriceCents() != int64(now.Price) || e.GetNextBidCents() != int64(now.Next(after.Opening)):
		t.Fatalf("the event says %v, the lot %v", e, now)
	}
}

// checkSnapshot stores and reads the state as a snapshot does.
func checkSnapshot(t *rapid.T, lot auction.Lot) {
	stored, err := json.Marshal(lot)
	if err != nil {
		t.Fatal(err)
	}
	var read auction.Lot
	if err := json.Unmarshal(stored, &read); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(lot, read) {
		t.Fatalf("stored %v, read %v", lot, read)
	}
}

func evolve(t *rapid.T, lot auction.Lot, event proto.Message) auction.Lot {
	next, err := auction.Lots.Evolve(lot, event)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func TestAmountsAreReadAndShownExactly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := auction.Cents(rapid.Int64Range(1, int64(auction.MaxCents)).Draw(t, "cents"))
		if read, err := auction.ParseCents(c.String()); err != nil || read != c {
			t.Fatalf("%s read back as %v, %v", c, read, err)
		}
	})
}

func TestParseCentsTakesAmountsAndNothingElse(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]auction.Cents{"12": 12_00, "12.5": 12_50, "12.50": 12_50, "0.01": 1, "007": 7_00, "100000000.00": auction.MaxCents} {
		if got, err := auction.ParseCents(s); err != nil || got != want {
			t.Errorf("%q gives %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", ".", "1.", ".5", "-1", "+1", "0", "0.00", "1.005", "1e3", "NaN", "1,000", "$1", " 1", "1_0", "0x1", "100000000.01", "99999999999999999999", "１"} {
		if got, err := auction.ParseCents(s); err == nil {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}
