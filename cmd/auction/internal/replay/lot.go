package replay

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// patience is how long one command is repeated before the run gives up.
const patience = time.Minute

// lot is one auction on its way through the service.
type lot struct {
	cfg     Config
	auction Auction
	id      string
	// accepted are the bids that the lot said yes to, in order: its bid number n is accepted[n-1].
	accepted []Bid
	// shown are the bids that the lot has shown since, by number.
	shown  map[int64]*auctionv1.Bid
	report Report
}

func newLot(cfg Config, a Auction) *lot {
	return &lot{cfg: cfg, auction: a, id: cfg.Name + "-" + a.Name, shown: map[int64]*auctionv1.Bid{}}
}

func (l *lot) play(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	for _, b := range l.auction.Bids {
		if err := l.bid(ctx, b); err != nil {
			return err
		}
	}
	return l.close(ctx)
}

func (l *lot) command(ctx context.Context, key string, cmd proto.Message) (client.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := l.cfg.Client.Command(ctx, l.id, key, cmd)
	if err != nil {
		return answer, fmt.Errorf("lot %s: %w", l.id, err)
	}
	return answer, nil
}

func (l *lot) open(ctx context.Context) error {
	l.report.Lots++
	_, err := l.command(ctx, "open", &auctionv1.OpenLot{Title: l.auction.Title, OpeningCents: int64(l.auction.Opening)})
	if client.Rejected(err) == "exists" {
		return fmt.Errorf("%w: choose another -run name", err)
	}
	return err
}

// bid sends one bid under a key made of its line, so that a repeated run repeats it.
func (l *lot) bid(ctx context.Context, b Bid) error {
	answer, err := l.command(ctx, fmt.Sprint("line-", b.Line), &auctionv1.PlaceBid{Bidder: b.Bidder, AmountCents: int64(b.Maximum)})
	code := client.Rejected(err)
	if err != nil && code == "" {
		return err
	}
	l.report.Sent++
	l.cfg.Sent()
	if code != "" {
		l.report.reject(code)
		return nil
	}
	l.accepted = append(l.accepted, b)
	l.report.Accepted++
	if n := answer.View.GetBidCount(); n != int64(len(l.accepted)) {
		l.fault("the bid of line %d is its bid %d, not %d", b.Line, n, len(l.accepted))
	}
	if len(l.accepted)%auction.KeptBids == 0 {
		_, err := l.look(ctx) // before the lot's view forgets them
		return err
	}
	return nil
}

// look remembers the bids that the lot shows now.
func (l *lot) look(ctx context.Context) (client.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := l.cfg.Client.Lot(ctx, l.id, auction.KeptBids)
	if err != nil {
		return answer, fmt.Errorf("lot %s: %w", l.id, err)
	}
	for _, b := range answer.View.GetBids() {
		l.shown[b.GetNumber()] = b
	}
	return answer, nil
}

// close ends the lot as a clerk does, makes sure that it cannot be ended again, and checks it.
func (l *lot) close(ctx context.Context) error {
	closed, err := l.command(ctx, "close", &auctionv1.CloseLot{})
	if err != nil {
		return err
	}
	if _, err := l.command(ctx, "close-again", &auctionv1.CloseLot{}); err == nil {
		l.fault("it was closed twice")
	} else if client.Rejected(err) != "closed" {
		return err
	}
	final, err := l.look(ctx)
	if err != nil {
		return err
	}
	l.check(closed.View, final)
	return l.readBack(ctx, final)
}

// readBack compares the read model with the lot, once it has seen all of it.
func (l *lot) readBack(ctx context.Context, final client.Answer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	row, err := l.cfg.Client.Row(ctx, l.id, final.Token)
	if err != nil {
		return fmt.Errorf("lot %s in the read model: %w", l.id, err)
	}
	l.checkRow(row, final)
	return nil
}

func (l *lot) fault(format string, args ...any) {
	l.report.Faults = append(l.report.Faults, "lot "+l.id+": "+fmt.Sprintf(format, args...))
}
