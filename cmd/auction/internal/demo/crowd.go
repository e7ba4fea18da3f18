package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// crowd is many lots, and people who bid on them without looking. It is what makes a big house
// busy; nothing of it is shown on the terminal.
type crowd struct {
	cfg  Config
	name string // begins the ids, so that each start has lots of its own
	luck *rand.Rand
	sent int
}

// The crowd's ways.
const (
	shortestLot = 5 * time.Minute
	longestLot  = 3 * time.Hour
	everyLive   = 20  // one lot of so many is a live one
	lotsPerBid  = 100 // for one bid a second
	worthCents  = 500_00
)

var (
	kinds  = []string{"brass", "oak", "silver", "painted", "Victorian", "folding", "signed", "restored", "early", "late"}
	things = []string{"lamp", "clock", "globe", "mirror", "chest", "camera", "vase", "atlas", "microscope", "ring"}
)

func newCrowd(cfg Config, visit string) *crowd {
	return &crowd{cfg: cfg, name: visit[:min(4, len(visit))], luck: rand.New(rand.NewPCG(cfg.Seed, 2))}
}

// run puts the lots up and bids on them until ctx ends.
func (c *crowd) run(ctx context.Context) error {
	if c.cfg.Lots == 0 {
		<-ctx.Done()
		return nil
	}
	if err := c.putUp(ctx); err != nil {
		return err
	}
	pace := time.NewTicker(max(time.Second*lotsPerBid/time.Duration(c.cfg.Lots), time.Millisecond))
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		if err := c.bidBlindly(ctx); err != nil {
			return err
		}
	}
}

func (c *crowd) putUp(ctx context.Context) error {
	for n := range c.cfg.Lots {
		if err := c.send(ctx, n, "open", c.open()); err != nil {
			return err
		}
	}
	return nil
}

func (c *crowd) bidBlindly(ctx context.Context) error {
	c.sent++
	return c.send(ctx, c.luck.IntN(c.cfg.Lots), fmt.Sprint("bid-", c.sent), c.bid())
}

func (c *crowd) open() *auctionv1.OpenLot {
	title := fmt.Sprintf("A %s %s of %d", kinds[c.luck.IntN(len(kinds))], things[c.luck.IntN(len(things))], 1750+c.luck.IntN(230))
	cmd := &auctionv1.OpenLot{Title: title, OpeningCents: 100 * (1 + c.luck.Int64N(50))}
	if c.luck.IntN(everyLive) > 0 {
		after := shortestLot + time.Duration(c.luck.Int64N(int64(longestLot-shortestLot)))
		cmd.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(after)}
	}
	return cmd
}

func (c *crowd) bid() *auctionv1.PlaceBid {
	return &auctionv1.PlaceBid{Bidder: bidders[c.luck.IntN(len(bidders))], AmountCents: 1 + c.luck.Int64N(worthCents)}
}

func (c *crowd) lot(n int) string { return fmt.Sprintf("%s-%04d", c.name, n+1) }

// send takes a lot's no for an answer: a bid that is made blindly is often too low.
func (c *crowd) send(ctx context.Context, n int, key string, cmd proto.Message) error {
	answer, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	_, err := c.cfg.Client.Command(answer, c.lot(n), key, cmd)
	if ctx.Err() != nil {
		return nil
	}
	return notRejected(err)
}
