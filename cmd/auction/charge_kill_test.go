package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
)

// How hard the two services are hit. SKERRY_CHARGE_ROUNDS makes more of it.
const (
	chargeRounds      = 7
	shortChargeRounds = 3
	sellers           = 4
	mostSale          = 500 * time.Millisecond
)

// TestEachWinnerIsChargedOnceWhoeverIsKilled kills the auction, payments, or both, at random moments, while lots close
// and one fault after the other is between the two. In the end each winner was charged once.
func TestEachWinnerIsChargedOnceWhoeverIsKilled(t *testing.T) {
	t.Parallel()
	p := newPair(t, 200*time.Millisecond, 300*time.Millisecond)
	faults := []fault{well, half, slow, hang, broken, flap, refuse}
	killed := map[string]int{}
	for round := range killRoundsOfCharges(t) {
		p.between.become(faults[(round+p.luck.IntN(2))%len(faults)])
		victims := [][]string{{"payments"}, {"auction"}, {"payments", "auction"}}[p.luck.IntN(3)]
		p.sellAndKill(fmt.Sprint("round-", round), victims)
		for _, v := range victims {
			killed[v]++
		}
	}
	p.between.become(well)
	p.awaitCharges(patience)
	closed, charged := p.sweep()
	if charged == 0 {
		t.Error("nobody was charged: this proves nothing")
	}
	t.Logf("killed %v; %d lots closed, %d winners charged, %d requests reached payments", killed, closed, charged, len(p.between.good))
}

func killRoundsOfCharges(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SKERRY_CHARGE_ROUNDS")
	switch n, err := strconv.Atoi(text); {
	case text != "" && err != nil:
		t.Fatalf("SKERRY_CHARGE_ROUNDS: %v", err)
	case text != "":
		return n
	case testing.Short():
		return shortChargeRounds
	}
	return chargeRounds
}

// sellAndKill lets lots be sold and ends processes in the midst of it, then starts them again.
func (p *pair) sellAndKill(round string, victims []string) {
	p.t.Helper()
	ctx, stop := context.WithCancel(p.t.Context())
	var selling sync.WaitGroup
	for n := range sellers {
		luck := rand.New(rand.NewPCG(p.luck.Uint64(), uint64(n)))
		selling.Go(func() { p.sell(ctx, fmt.Sprint(round, "-", n), luck, 10*time.Millisecond) })
	}
	p.awaitBid()
	<-time.After(mostSale/2 + time.Duration(p.luck.Int64N(int64(mostSale)))) // the random moment
	for _, v := range victims {
		if v == "auction" {
			p.auction.kill()
		} else {
			p.payments.kill()
		}
	}
	stop()
	selling.Wait()
	for _, v := range victims {
		if v == "auction" {
			p.startAuction()
		} else {
			p.startPayments()
		}
	}
}

// awaitBid waits until one more lot has a bidder: a round in which nothing is sold, on a slow machine, proves nothing.
func (p *pair) awaitBid() {
	p.t.Helper()
	for before, end := p.bids.Load(), time.Now().Add(patience); p.bids.Load() == before; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("no bid was taken in %v", patience)
		}
	}
}

// TestTheSweepNoticesWhatIsWrong makes sure that the test above can fail.
func TestTheSweepNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	lot := &auctionv1.LotRow{Closed: true, Leader: "ann", PriceCents: 500}
	paid := &paymentsv1.Charged{Bidder: "ann", AmountCents: 500}
	for name, c := range map[string]struct {
		lot   *auctionv1.LotRow
		made  []*paymentsv1.Charged
		wrong bool
	}{
		"charged once":     {lot, []*paymentsv1.Charged{paid}, false},
		"not charged":      {lot, nil, true},
		"charged twice":    {lot, []*paymentsv1.Charged{paid, paid}, true},
		"another price":    {lot, []*paymentsv1.Charged{{Bidder: "ann", AmountCents: 501}}, true},
		"another winner":   {lot, []*paymentsv1.Charged{{Bidder: "bob", AmountCents: 500}}, true},
		"nobody won":       {&auctionv1.LotRow{Closed: true}, []*paymentsv1.Charged{paid}, true},
		"nobody won, fine": {&auctionv1.LotRow{Closed: true}, nil, false},
		"still open":       {&auctionv1.LotRow{Leader: "ann", PriceCents: 500}, []*paymentsv1.Charged{paid}, true},
		"no such lot":      {nil, []*paymentsv1.Charged{paid}, true},
	} {
		lots := map[string]*auctionv1.LotRow{}
		if c.lot != nil {
			lots["lamp"] = c.lot
		}
		payments := map[string][]*paymentsv1.Charged{}
		if c.made != nil {
			payments["lamp"] = c.made
		}
		if problems := compareCharges(lots, payments); (len(problems) > 0) != c.wrong {
			t.Errorf("%s: %v", name, problems)
		}
	}
}
