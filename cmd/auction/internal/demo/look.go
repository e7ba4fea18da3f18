package demo

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// look asks for every lot of the round and notes what is new, whoever did it.
func (h *house) look(ctx context.Context) error {
	for i := range h.lots {
		answer, err := h.ask(ctx, h.lots[i].id)
		if err != nil {
			return err
		}
		before := h.lots[i].view
		h.lots[i].view = answer.View
		if before != nil {
			h.news = append(h.news, newsOf(h.lots[i].id, before, answer.View)...)
		}
	}
	return nil
}

func newsOf(id string, before, now *auctionv1.LotView) (news []string) {
	bids := now.GetBids()
	for i := len(bids) - 1; i >= 0; i-- {
		if b := bids[i]; b.GetNumber() > before.GetBidCount() {
			upTo := "up to " // a maximum
			if b.GetPaddle() > 0 {
				upTo = ""
			}
			news = append(news, fmt.Sprintf("%s  %s %s%s on %s", b.GetAt().AsTime().Format(clock), does(b.GetBidder(), "bid"), upTo, auction.Cents(b.GetAmountCents()), id))
		}
	}
	if words := []string{"", "going once", "going twice"}; now.GetHammer() > before.GetHammer() && int(now.GetHammer()) < len(words) {
		news = append(news, fmt.Sprintf("%s  %s is %s at %s", time.Now().UTC().Format(clock), id, words[now.GetHammer()], auction.Cents(now.GetPriceCents())))
	}
	if now.GetClosed() && !before.GetClosed() {
		news = append(news, fmt.Sprintf("%s  %s is closed: %s", now.GetClosedAt().AsTime().Format(clock), id, outcome(now)))
	}
	return news
}

// clock is how times are shown, in UTC.
const clock = "15:04:05"

func outcome(v *auctionv1.LotView) string {
	if v.GetLeader() == "" {
		return "nobody bid"
	}
	return fmt.Sprintf("%s %s", does(v.GetLeader(), "pay"), auction.Cents(v.GetPriceCents()))
}

// does is who does something. The hints call whoever reads them you.
func does(who, verb string) string {
	if who == "you" {
		return who + " " + verb
	}
	return who + " " + verb + "s"
}

func (h *house) ask(ctx context.Context, lot string) (client.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return h.Client.Lot(ctx, lot, 0)
}

func (h *house) command(ctx context.Context, lot, key string, cmd proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	_, err := h.Client.Command(ctx, lot, key, cmd)
	return err
}

// callUp puts a live lot on the block. The sale says no if it is there already, from before a restart.
func (h *house) callUp(ctx context.Context, lot string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	return notRejected(h.Client.CallUp(ctx, sale, "call-"+lot, lot))
}
