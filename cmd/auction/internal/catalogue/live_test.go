package catalogue_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/readside/stream"
)

// listener is a page that listens to the live stream, and merges what it tells of a lot.
type listener struct {
	t     *testing.T
	lines *bufio.Scanner
	parts map[string]map[string]any // what is known of each lot, as JSON
	rows  map[string]*auctionv1.LotRow
	bids  map[string][]*auctionv1.BidRow
	sales map[string]*auctionv1.SaleView
}

func listen(t *testing.T, url string) *listener {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &listener{t, bufio.NewScanner(resp.Body), map[string]map[string]any{}, map[string]*auctionv1.LotRow{}, map[string][]*auctionv1.BidRow{}, map[string]*auctionv1.SaleView{}}
}

// until reads messages until their position is as told.
func (l *listener) until(position string) {
	l.t.Helper()
	id := ""
	for id != position && l.lines.Scan() {
		line := l.lines.Text()
		if text, ok := strings.CutPrefix(line, "id:"); ok {
			id = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, "data:"); ok && strings.Contains(text, "rows") {
			l.take(text)
		}
	}
	for id == position && l.lines.Scan() && l.lines.Text() != "" { // what is left of the last message
		if text, ok := strings.CutPrefix(l.lines.Text(), "data:"); ok {
			l.take(text)
		}
	}
}

func (l *listener) take(text string) {
	l.t.Helper()
	changes := &auctionv1.Changes{}
	if err := protojson.Unmarshal([]byte(text), changes); err != nil {
		l.t.Fatal(err, text)
	}
	for _, r := range changes.GetRows() {
		if have := l.rows[r.GetLot()]; have.GetVersion() >= r.GetVersion() {
			l.t.Fatalf("the row\n%v follows\n%v", r, have)
		}
	}
	l.merge(text)
	for _, b := range changes.GetBids() {
		l.bids[b.GetLot()] = append(l.bids[b.GetLot()], b)
	}
	for _, s := range changes.GetSales() {
		l.sales[s.GetSale()] = s
	}
}

// merge does what a page does.
func (l *listener) merge(text string) {
	l.t.Helper()
	var message struct{ Rows []map[string]any }
	if err := json.Unmarshal([]byte(text), &message); err != nil {
		l.t.Fatal(err)
	}
	for _, part := range message.Rows {
		id := part["lot"].(string)
		if l.parts[id] == nil {
			l.parts[id] = map[string]any{}
		}
		maps.Copy(l.parts[id], part)
		whole, err := json.Marshal(l.parts[id])
		if err != nil {
			l.t.Fatal(err)
		}
		l.rows[id] = &auctionv1.LotRow{}
		if err := protojson.Unmarshal(whole, l.rows[id]); err != nil {
			l.t.Fatal(err)
		}
	}
}

// A page must not be able to tell whether a row came from the tables or from the stream.
func TestTheLiveStreamShowsTheRowsOfTheTables(t *testing.T) {
	t.Parallel()
	h := newHouse(t.Context, t)
	h.open(oldLots)
	h.send("lot", "old", &auctionv1.OpenLot{Title: "An old lamp", OpeningCents: 500})
	h.send("lot", "old", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 700})
	h.close()
	h.openToday()
	db := openTables(t, t.TempDir())
	c := catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
	h.follow(c)
	defer func() {
		h.close()
		_, _ = c.Close(), db.Close()
	}()
	server := serveLive(t, h)
	h.catchUp()
	after := "?after=" + h.head().History + "."
	early, one := listen(t, server+after), listen(t, server+after+"&lot=violin")
	h.send("lot", "old", &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 600})
	h.send("lot", "violin", &auctionv1.OpenLot{Title: "A violin", OpeningCents: 500})
	h.send("sale", "today", &auctionv1.CallUp{Lot: "violin"})
	h.send("lot", "violin", &auctionv1.PlaceFloorBid{Paddle: 7, AmountCents: 900})
	h.send("lot", "violin", &auctionv1.RaiseHammer{})
	h.send("lot", "violin", &auctionv1.PlaceFloorBid{Paddle: 8, AmountCents: 9_000}) // takes the hammer down again
	h.send("lot", "clock", &auctionv1.OpenLot{Title: "A clock", OpeningCents: 1, Closing: &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(time.Second)}})
	h.send("lot", "clock", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 600})
	h.send("lot", "old", &auctionv1.CloseLot{})
	h.catchUp()
	late := listen(t, server+after)
	is := h.fold()
	for name, l := range map[string]*listener{"early": early, "late": late} {
		l.until(h.head().String())
		for id, want := range is.Lots {
			if !proto.Equal(l.rows[id], want) {
				t.Errorf("%s: the row is\n%v, the log says\n%v", name, l.rows[id], want)
			}
			if len(l.bids[id]) != len(is.Bids[id]) {
				t.Fatalf("%s: lot %s has %d bids, the log has %d", name, id, len(l.bids[id]), len(is.Bids[id]))
			}
			for i, want := range is.Bids[id] {
				if !proto.Equal(l.bids[id][i], want) {
					t.Errorf("%s: the bid is\n%v, the log says\n%v", name, l.bids[id][i], want)
				}
			}
		}
		if !proto.Equal(l.sales["today"], is.Sales["today"]) {
			t.Errorf("%s: the sale is %v", name, l.sales["today"])
		}
	}
	h.send("lot", "violin", &auctionv1.CloseLot{})
	h.catchUp()
	one.until(h.head().String())
	if len(one.rows) != 1 || !proto.Equal(one.rows["violin"], h.fold().Lots["violin"]) || len(one.sales) != 1 {
		t.Errorf("who listens to one lot hears %v, %v", one.rows, one.sales)
	}
}

// serveLive serves the live stream of a house, and returns its URL.
func serveLive(t *testing.T, h *house) string {
	t.Helper()
	cfg := catalogue.Live(h.host.Feed())
	cfg.Logger = slog.New(slog.DiscardHandler)
	live, err := stream.New(cfg)
	h.must(err)
	server := httptest.NewServer(live)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := live.Stop(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return server.URL
}

// No table is there at all, and the stream has not seen the lots opened, as after a restart.
func TestTheLiveStreamNeedsNothingButTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t.Context, t)
	h.openToday()
	defer h.close()
	const lots = 5
	for i := range lots {
		h.send("lot", fmt.Sprint("lamp", i), &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
		h.send("lot", fmt.Sprint("lamp", i), &auctionv1.RaiseHammer{})
	}
	l := listen(t, serveLive(t, h)+"?after="+h.head().String())
	for i := range lots {
		h.send("lot", fmt.Sprint("lamp", i), &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 700})
	}
	h.send("lot", "lamp0", &auctionv1.CloseLot{})
	l.until(h.head().String())
	is := h.fold()
	for i := range lots {
		id := fmt.Sprint("lamp", i)
		part := l.parts[id]
		if l.rows[id].GetVersion() != is.Lots[id].GetVersion() || l.rows[id].GetPriceCents() != 100 || part["hammer"] != 0.0 || len(l.bids[id]) != 1 {
			t.Errorf("the stream tells of %s %v and the bids %v", id, part, l.bids[id])
		}
		for _, unchanged := range []string{"title", "live", "openingCents", "openedAt", "closesAt"} {
			if part[unchanged] != nil {
				t.Errorf("the event tells no %s, the stream tells %v", unchanged, part[unchanged])
			}
		}
		if closed := part["closed"] == true && part["nextBidCents"] == "0"; closed != (i == 0) {
			t.Errorf("the stream tells of %s %v", id, part)
		}
	}
}
