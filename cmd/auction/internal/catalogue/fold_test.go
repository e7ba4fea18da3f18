package catalogue_test

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// oldLots are lots as 0.1.0 had them, as far as it matters here: a bid is stored as BidPlaced.
var oldLots = entity.Define[auction.Lot]("lot",
	entity.On(oldWay[*auctionv1.OpenLot]), entity.On(oldWay[*auctionv1.PlaceBid]), entity.On(oldWay[*auctionv1.CloseLot]),
	entity.Apply(evolve[*auctionv1.LotOpened]), entity.Apply(evolve[*auctionv1.BidPlaced]), entity.Apply(evolve[*auctionv1.LotClosed]),
)

func oldWay[C proto.Message](l auction.Lot, cmd entity.Command[C]) (entity.Effect, *auctionv1.LotView, error) {
	at := entity.Moment{EntityID: cmd.EntityID, Time: cmd.Time, Version: cmd.Version, Timer: cmd.Timer}
	effect, reply, err := auction.Lots.Decide(l, cmd.Msg, at)
	if err != nil {
		return entity.None, nil, err
	}
	if e, ok := effect.Events()[0].(*auctionv1.BidTaken); ok {
		effect = entity.Persist(&auctionv1.BidPlaced{
			Bidder: e.GetOnline(), AmountCents: e.GetAmountCents(), At: e.GetAt(), Leader: e.GetLeader(), PriceCents: e.GetPriceCents(),
		})
	}
	return effect, reply.(*auctionv1.LotView), nil
}

func evolve[E proto.Message](l auction.Lot, e E) auction.Lot {
	payload, err := proto.Marshal(e)
	if err != nil {
		panic(err)
	}
	current, err := auction.Lots.Decode(string(e.ProtoReflect().Descriptor().FullName()), payload)
	if err != nil {
		panic(err)
	}
	next, err := auction.Lots.Evolve(l, current)
	if err != nil {
		panic(err)
	}
	return next
}

// TestTheTablesAreTheFoldOfTheLog plays random histories, the first part of each with
// 0.1.0, and compares all that the read model answers with the log.
func TestTheTablesAreTheFoldOfTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		db := openTables(t, t.TempDir())
		defer func() { _ = db.Close() }()
		h := newHouse(t.Context, rt)
		h.open(oldLots)
		h.play(rt, rapid.IntRange(0, 60).Draw(rt, "commands of 0.1.0"), true)
		h.close()
		h.openToday()
		defer h.close()
		c := catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
		defer func() { _ = c.Close() }()
		for range rapid.IntRange(1, 3).Draw(rt, "times that the processor is started") {
			h.follow(c)
			h.play(rt, rapid.IntRange(0, 60).Draw(rt, "commands"), false)
			h.stopFollowing()
		}
		h.follow(c)
		h.fireTimers()
		h.catchUp()
		is := h.fold()
		problems, err := is.Compare(t.Context(), c)
		if err != nil || len(problems) > 0 {
			rt.Fatal(err, strings.Join(problems, "\n"))
		}
		checkLots(h, c, is, int32(rapid.IntRange(1, 7).Draw(rt, "page size")))
		checkBidders(h, c, is)
	})
}

// fireTimers has all timers fired that are due, so that from then on nothing is stored by itself: a question finds those of its lot
// fired, others come when the host gets to them.
func (h *house) fireTimers() {
	h.t.Helper()
	for n := range mostLots {
		_, err := auction.GetLot.Ask(h.ctx(), auction.Lots.Ref(h.host, fmt.Sprint("lot-", n+1)), &auctionv1.GetLot{})
		var no *entity.Rejection
		if err != nil && !errors.As(err, &no) {
			h.t.Fatal(err)
		}
	}
}

// mostLots is how many lots are played with.
const mostLots = 8

// play sends random commands. Time goes on as well, so that timed lots close between them.
func (h *house) play(t *rapid.T, n int, old bool) {
	for range n {
		lot := fmt.Sprint("lot-", rapid.IntRange(1, mostLots).Draw(t, "lot"))
		h.clock.Add(int64(rapid.IntRange(0, 400).Draw(t, "ms")) * int64(time.Millisecond))
		cents := rapid.Int64Range(1, 3000).Draw(t, "cents")
		kinds := 8
		if old {
			kinds = 5
		}
		switch rapid.IntRange(0, kinds).Draw(t, "command") {
		case 0:
			open := &auctionv1.OpenLot{Title: "A " + rapid.SampledFrom([]string{"lamp", "LAMP 100%", "clo_ck", "Übertopf"}).Draw(t, "title"), OpeningCents: cents}
			if rapid.Bool().Draw(t, "timed") {
				open.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(5 * time.Second)}
			}
			h.send("lot", lot, open)
		case 1:
			h.send("lot", lot, &auctionv1.CloseLot{})
		case 2, 3, 4, 5:
			h.send("lot", lot, &auctionv1.PlaceBid{Bidder: string(rune('a' + rapid.IntRange(0, 4).Draw(t, "bidder"))), AmountCents: cents})
		case 6:
			h.send("lot", lot, &auctionv1.PlaceFloorBid{Paddle: int32(rapid.IntRange(1, 3).Draw(t, "paddle")), AmountCents: cents})
		case 7:
			h.send("lot", lot, &auctionv1.RaiseHammer{})
		case 8:
			h.send("sale", "today", &auctionv1.CallUp{Lot: lot})
		}
	}
}

// checkLots compares the lots in every order, page by page, and the results.
func checkLots(h *house, c *catalogue.Catalogue, is *cataloguetest.Truth, size int32) {
	h.t.Helper()
	for _, sort := range []string{"closing", "price", "newest"} {
		seen := map[string]*auctionv1.LotRow{}
		var rows []*auctionv1.LotRow
		for ask := (&auctionv1.ListLots{Sort: sort, PageSize: size}); ; {
			list, token, err := c.ListLots(h.ctx(), ask)
			h.must(err)
			if int(list.GetTotal()) != len(is.Lots) || token.String() != h.head().String() {
				h.t.Fatalf("it counts %d lots at %v, the log has %d at %v", list.GetTotal(), token, len(is.Lots), h.head())
			}
			for _, r := range list.GetLots() {
				if !proto.Equal(r, is.Lots[r.GetLot()]) || seen[r.GetLot()] != nil {
					h.t.Fatalf("the row is\n%v, the log says\n%v; seen before: %v", r, is.Lots[r.GetLot()], seen[r.GetLot()])
				}
				seen[r.GetLot()] = r
			}
			rows = append(rows, list.GetLots()...)
			if ask.PageToken = list.GetNextPageToken(); ask.PageToken == "" {
				break
			}
		}
		if len(seen) != len(is.Lots) || !slices.IsSortedFunc(rows, orders[sort]) {
			h.t.Fatalf("sorted by %s: %d of %d lots: %v", sort, len(seen), len(is.Lots), rows)
		}
	}
	checkResults(h, c, is)
}

var orders = map[string]func(a, b *auctionv1.LotRow) int{
	"closing": func(a, b *auctionv1.LotRow) int {
		if a.GetLive() || b.GetLive() {
			return cmp.Compare(btoi(a.GetLive()), btoi(b.GetLive()))
		}
		return a.GetClosesAt().AsTime().Compare(b.GetClosesAt().AsTime())
	},
	"price":  func(a, b *auctionv1.LotRow) int { return cmp.Compare(b.GetPriceCents(), a.GetPriceCents()) },
	"newest": func(a, b *auctionv1.LotRow) int { return b.GetOpenedAt().AsTime().Compare(a.GetOpenedAt().AsTime()) },
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func checkResults(h *house, c *catalogue.Catalogue, is *cataloguetest.Truth) {
	h.t.Helper()
	results, _, err := c.ListResults(h.ctx(), &auctionv1.ListResults{PageSize: 200})
	h.must(err)
	open, _, err := c.ListLots(h.ctx(), &auctionv1.ListLots{PageSize: 200, State: "open"})
	h.must(err)
	byClosing := func(a, b *auctionv1.LotRow) int { return b.GetClosedAt().AsTime().Compare(a.GetClosedAt().AsTime()) }
	if len(results.GetLots())+len(open.GetLots()) != len(is.Lots) || !slices.IsSortedFunc(results.GetLots(), byClosing) {
		h.t.Fatalf("%d lots are closed and %d open: %v", len(results.GetLots()), len(open.GetLots()), results)
	}
	for _, r := range append(results.GetLots(), open.GetLots()...) {
		if !proto.Equal(r, is.Lots[r.GetLot()]) {
			h.t.Fatalf("the row is\n%v, the log says\n%v", r, is.Lots[r.GetLot()])
		}
	}
	if closed := slices.ContainsFunc(open.GetLots(), (*auctionv1.LotRow).GetClosed); closed {
		h.t.Fatalf("a closed lot is among the open ones: %v", open)
	}
}

// checkBidders: each bidder's bids are those of the log, the newest first.
func checkBidders(h *house, c *catalogue.Catalogue, is *cataloguetest.Truth) {
	h.t.Helper()
	want := map[string]int{}
	for _, bids := range is.Bids {
		for _, b := range bids {
			want[b.GetBidder()]++
		}
	}
	for bidder, n := range want {
		var got []*auctionv1.BidderBid
		for ask := (&auctionv1.ListBids{Bidder: bidder, PageSize: 3}); ; {
			list, _, err := c.ListBids(h.ctx(), ask)
			h.must(err)
			got = append(got, list.GetBids()...)
			if ask.PageToken = list.GetNextPageToken(); ask.PageToken == "" {
				break
			}
		}
		if len(got) != n {
			h.t.Fatalf("%s has bid %d times, the list has %d", bidder, n, len(got))
		}
		for i, b := range got {
			lot := is.Lots[b.GetBid().GetLot()]
			leads := lot.GetLeader() == bidder
			if !proto.Equal(b.GetBid(), is.Bids[lot.GetLot()][b.GetBid().GetNumber()-1]) || b.GetLeads() != leads || b.GetWon() != (leads && lot.GetClosed()) || b.GetTitle() != lot.GetTitle() {
				h.t.Fatalf("%s's bid is %v", bidder, b)
			}
			if i > 0 && b.GetBid().GetAt().AsTime().After(got[i-1].GetBid().GetAt().AsTime()) {
				h.t.Fatalf("%s's bids are not in order: %v", bidder, got)
			}
		}
	}
}
