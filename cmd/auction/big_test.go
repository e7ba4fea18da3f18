package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// A big house: as many lots as an auction house sells in a good year, with tens of bids each.
const (
	bigLots      = 2000
	bigBids      = 30
	bigCallers   = 64
	bigRecovered = 7 // times that one lot is recovered, before and after
)

// TestABigHouseIsReadAsItsLotsSay loads a big house through the host and compares the whole
// read model with the log. It tells, without judging, what the house costs: how long one
// lot takes to come back after a restart, in an empty house and in a full one.
func TestABigHouseIsReadAsItsLotsSay(t *testing.T) {
	if testing.Short() {
		t.Skip("60,000 bids")
	}
	dir := t.TempDir()
	svc := bigStart(t, dir)
	open(t, svc, "probe")
	for n := range bigBids {
		bidOn(t, svc, "probe", n)
	}
	bigStop(t, svc)
	alone := recoveries(t, dir)

	svc = bigStart(t, dir)
	began := time.Now()
	fill(t, svc)
	loaded := time.Since(began)
	waitForReadModel(t, svc)
	caughtUp := time.Since(began)
	feed := svc.entities.host.Feed()
	is, err := cataloguetest.Fold(t.Context(), feed.Records, feed.Shards(), nil)
	if err != nil {
		t.Fatal(err)
	}
	problems, err := is.Compare(t.Context(), svc.lots)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v\n%s", err, strings.Join(problems, "\n"))
	}
	if len(is.Lots) != bigLots+1 {
		t.Fatalf("the log has %d lots", len(is.Lots))
	}
	lists := listTimes(t, svc)
	bigStop(t, svc)
	t.Logf("%d lots, %d bids each: loaded in %v, in the read model after %v", bigLots, bigBids, loaded.Round(time.Millisecond), caughtUp.Round(time.Millisecond))
	t.Logf("a page of 50 open lots of %d: median %v", bigLots, lists)
	t.Logf("one lot of %d bids, first answer after a restart (median of %d): %v alone, %v in the full house", bigBids, bigRecovered, alone, recoveries(t, dir))
}

func bigStart(t *testing.T, dir string) *Service {
	t.Helper()
	svc, err := Start(t.Context(), Config{Dir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func bigStop(t *testing.T, svc *Service) {
	t.Helper()
	if err := svc.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, svc *Service, id string) {
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	_, err := auction.OpenLot.Ask(ctx, auction.Lots.Ref(svc.entities.host, id), &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100}, entity.Key("open"))
	if err != nil {
		t.Error(err)
	}
}

func bidOn(t *testing.T, svc *Service, id string, n int) {
	bid := &auctionv1.PlaceBid{Bidder: fmt.Sprint("bidder-", n%7), AmountCents: int64(100 + 10*n)}
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	if _, err := auction.PlaceBid.Ask(ctx, auction.Lots.Ref(svc.entities.host, id), bid, entity.Key(fmt.Sprint("bid-", n))); err != nil {
		t.Error(err)
	}
}

// fill opens the lots and bids on them, the bids of one lot far apart from each other.
func fill(t *testing.T, svc *Service) {
	t.Helper()
	var callers sync.WaitGroup
	for caller := range bigCallers {
		callers.Go(func() {
			var mine []int
			for n := caller; n < bigLots; n += bigCallers {
				mine = append(mine, n)
				open(t, svc, fmt.Sprint("lot-", n))
			}
			luck := rand.New(rand.NewPCG(1, uint64(caller)))
			for n := range bigBids {
				luck.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
				for _, lot := range mine {
					bidOn(t, svc, fmt.Sprint("lot-", lot), n)
				}
			}
		})
	}
	callers.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func waitForReadModel(t *testing.T, svc *Service) {
	t.Helper()
	for n := range bigLots {
		var got entity.Receipt
		_, err := auction.GetLot.Ask(t.Context(), auction.Lots.Ref(svc.entities.host, fmt.Sprint("lot-", n)), &auctionv1.GetLot{Newest: 1}, entity.Receive(&got))
		if err == nil {
			err = svc.processors.WaitFor(t.Context(), catalogue.Name, got.Token)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// recoveries returns how long one lot's first answer takes after a restart.
func recoveries(t *testing.T, dir string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range bigRecovered {
		svc := bigStart(t, dir)
		began := time.Now()
		view, err := auction.GetLot.Ask(t.Context(), auction.Lots.Ref(svc.entities.host, "probe"), &auctionv1.GetLot{})
		took = append(took, time.Since(began))
		if err != nil || view.GetBidCount() != bigBids {
			t.Fatalf("it has %d bids, %v", view.GetBidCount(), err)
		}
		bigStop(t, svc)
	}
	return median(took)
}

func listTimes(t *testing.T, svc *Service) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 50 {
		began := time.Now()
		list, _, err := svc.lots.ListLots(t.Context(), &auctionv1.ListLots{State: "open"})
		took = append(took, time.Since(began))
		if err != nil || len(list.GetLots()) != 50 || list.GetTotal() != bigLots+1 {
			t.Fatalf("%d lots of %d, %v", len(list.GetLots()), list.GetTotal(), err)
		}
	}
	return median(took)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2].Round(time.Microsecond)
}
