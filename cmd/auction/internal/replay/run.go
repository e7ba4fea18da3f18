package replay

import (
	"context"
	"sync"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
)

// Config says what to send where. Client and Name are required.
type Config struct {
	Client *client.Client
	// Name is the run's. It begins the ids of its lots, so that another run sells other
	// lots. A run repeated under its name, as after it was interrupted, goes on where it
	// stopped: its keys are the same, so each command gets its first answer.
	Name string
	// Lots are sent at the same time; the bids of one lot one after another. Default 16.
	Lots int
	// Sent, if not nil, is called after each bid that was answered, concurrently.
	Sent func()
}

// Run sends the auctions and checks each lot after it was closed. What it finds wrong with a lot
// is in the report; the error is for a service that cannot be used. Run waits
// for all that it started.
func Run(ctx context.Context, cfg Config, auctions []Auction) (Report, error) {
	if cfg.Lots == 0 {
		cfg.Lots = 16
	}
	if cfg.Sent == nil {
		cfg.Sent = func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan Auction)
	go func() {
		defer close(waiting)
		for _, a := range auctions {
			select {
			case waiting <- a:
			case <-ctx.Done():
				return
			}
		}
	}()
	reports := make([]Report, cfg.Lots)
	var workers sync.WaitGroup
	for i := range reports {
		workers.Go(func() {
			for a := range waiting {
				l := newLot(cfg, a)
				if err := l.play(ctx); err != nil {
					cancel(err)
				}
				reports[i].add(l.report)
			}
		})
	}
	workers.Wait() // and so for the feeder: waiting was closed
	return total(reports), context.Cause(ctx)
}
