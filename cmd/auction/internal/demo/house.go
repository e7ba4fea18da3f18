package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// house is one run of the demo. One goroutine does everything.
type house struct {
	Config
	luck *rand.Rand
	// visit makes the keys of this run's bids differ from those of any other.
	visit   string
	bids    int
	out     show
	round   int
	lots    []lot
	news    []string
	nextBid time.Time
	// nextWord is when the clerk speaks next.
	nextWord time.Time
	words    int
	// over is when all lots were seen closed.
	over time.Time
}

func newHouse(cfg Config) *house {
	h := &house{Config: cfg, luck: rand.New(rand.NewPCG(cfg.Seed, 1)), visit: fmt.Sprintf("%x", rand.Uint64()), out: newPlain(cfg)}
	if cfg.Terminal {
		h.out = newScreen(cfg)
	}
	return h
}

// lot is what the house last saw of one.
type lot struct {
	item
	id   string
	view *auctionv1.LotView
}

func (h *house) run(ctx context.Context) error {
	last, err := h.lastRound(ctx)
	if err != nil {
		return err
	}
	if err := h.openRound(ctx, max(last, 1)); err != nil {
		return err
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if err := h.step(ctx, time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (h *house) step(ctx context.Context, now time.Time) error {
	if err := h.look(ctx); err != nil {
		return err
	}
	if err := h.out.draw(h.lots, h.news); err != nil {
		return err
	}
	h.news = nil
	if err := h.clerk(ctx, now); err != nil {
		return err
	}
	if now.Before(h.nextBid) {
		return nil
	}
	h.nextBid = now.Add(pauseMost/4 + time.Duration(h.luck.Int64N(int64(pauseMost*3/4))))
	return h.bid(ctx)
}

// lastRound finds the newest round that was ever opened; 0 if none was. Rounds are dense, so
// that a few questions are enough.
func (h *house) lastRound(ctx context.Context) (int, error) {
	var failed error
	missing := func(round int) bool {
		if failed != nil {
			return true
		}
		_, err := h.ask(ctx, catalogue[0].lot(round))
		if client.Rejected(err) == "not-opened" {
			return true
		}
		failed = err
		return false
	}
	beyond := 1
	for !missing(beyond) {
		beyond *= 2
	}
	return sort.Search(beyond, func(n int) bool { return n > 0 && missing(n) }) - 1, failed
}

// openRound opens the lots of a round. Those that are open already, from before a restart, stay as they are.
func (h *house) openRound(ctx context.Context, round int) error {
	h.round, h.lots, h.over = round, nil, time.Time{}
	for _, i := range catalogue {
		id := i.lot(round)
		if err := h.command(ctx, id, "open", i.open()); err != nil && client.Rejected(err) != "exists" {
			return err
		}
		h.lots = append(h.lots, lot{item: i, id: id})
		if i.lasts == 0 {
			if err := h.callUp(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// clerk sells the live lot when the timed ones are closed, and opens the next round when all are.
func (h *house) clerk(ctx context.Context, now time.Time) error {
	var open []lot
	for _, l := range h.lots {
		if !l.view.GetClosed() {
			open = append(open, l)
		}
	}
	switch {
	case len(open) == 1 && open[0].view.GetLiveAuction():
		return h.sell(ctx, now, open[0])
	case len(open) > 0:
		return nil
	case h.over.IsZero():
		h.over = now
	case now.Sub(h.over) >= applause:
		return h.openRound(ctx, h.round+1)
	}
	return nil
}

// sell is what the clerk says over the live lot: going once, going twice, sold. Whoever bids
// meanwhile takes the hammer down, and the clerk begins again.
func (h *house) sell(ctx context.Context, now time.Time, l lot) error {
	if now.Before(h.nextWord) {
		return nil
	}
	h.nextWord = now.Add(gavel)
	h.words++
	var word proto.Message = &auctionv1.RaiseHammer{}
	if l.view.GetHammer() == auction.GoingTwice {
		word = &auctionv1.CloseLot{}
	}
	return notRejected(h.command(ctx, l.id, fmt.Sprint(h.visit, "-clerk-", h.words), word))
}

// bid lets somebody who does not lead bid on some lot, if it is worth it to them.
func (h *house) bid(ctx context.Context) error {
	l := h.lots[h.luck.IntN(len(h.lots))]
	who, paddle := bidders[h.luck.IntN(len(bidders))], int32(0)
	if l.lasts == 0 && h.luck.IntN(2) == 0 {
		paddle = firstPaddle + int32(h.luck.IntN(len(bidders)))
		who = auction.PaddleText(paddle)
	}
	least, most := auction.Cents(l.view.GetNextBidCents()), limit(h.Seed, l.item, l.id, who)
	if l.view == nil || l.view.GetClosed() || l.view.GetLeader() == who || least == 0 || most < least {
		return nil
	}
	h.bids++
	var cmd proto.Message = &auctionv1.PlaceFloorBid{Paddle: paddle, AmountCents: int64(least)}
	if paddle == 0 {
		amount := least + auction.Cents(h.luck.Int64N(int64(most-least)/4+1))
		cmd = &auctionv1.PlaceBid{Bidder: who, AmountCents: int64(amount)}
	}
	return notRejected(h.command(ctx, l.id, fmt.Sprint(h.visit, "-", h.bids), cmd))
}

// notRejected takes a lot's no for an answer: it may close while somebody is about to bid.
func notRejected(err error) error {
	if client.Rejected(err) != "" {
		return nil
	}
	return err
}
