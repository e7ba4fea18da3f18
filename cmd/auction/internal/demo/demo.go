package demo

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
)

// Config says how the demo runs. Client, URL and Out are required.
type Config struct {
	Client *client.Client
	// URL is the service's, for the hints; Others are those of the other nodes, where the same can be seen.
	URL    string
	Others []string
	Seed   uint64
	// Lots are put up beside those of the house, with bids at random: to see a big house.
	Lots int
	// Out gets a picture that is drawn again and again if it is a terminal, else a line
	// for each thing that happens.
	Out      io.Writer
	Terminal bool
}

// The pace of the house.
const (
	tick      = 250 * time.Millisecond
	pauseMost = 1600 * time.Millisecond // between two bids; at least a quarter of it
	gavel     = 2 * time.Second         // between two words of the clerk
	applause  = 5 * time.Second         // between two rounds
)

// Patience is how long the demo waits for one answer: the machine may be busy.
const Patience = time.Minute

// sale is the sale that the live lots are called up in.
const sale = "today"

// Run keeps the house open until ctx ends, which is no error.
func Run(ctx context.Context, cfg Config) error {
	h := newHouse(cfg)
	open, shut := context.WithCancelCause(ctx)
	defer shut(nil)
	var crowd sync.WaitGroup
	crowd.Go(func() { shut(newCrowd(cfg, h.visit).run(open)) })
	err := h.run(open)
	if err == nil && ctx.Err() == nil {
		err = context.Cause(open) // the crowd's
	}
	shut(nil)
	crowd.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, h.out.end(h.lots))
}

// show is how a person sees the house.
type show interface {
	// draw is called after each look around; news is what happened since the last.
	draw(lots []lot, news []string) error
	end(lots []lot) error
}
