package auction

import (
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// What makes a lot say no. Each reason has a code of its own, for programs.

func notOpened(id string) error {
	return entity.Reject("not-opened", "there is no lot %q: open it first", id)
}

func (l Lot) checkOpen(id string) error {
	switch {
	case !l.known():
		return notOpened(id)
	case l.closed():
		return entity.Reject("closed", "lot %q was closed at %s", id, l.ClosedAt.Format(time.RFC3339))
	}
	return nil
}

// checkLive lets the clerk in, to lots that a clerk sells.
func (l Lot) checkLive(id string) error {
	if err := l.checkOpen(id); err != nil {
		return err
	}
	if !l.live() {
		return entity.Reject("timed", "lot %q is sold online and closes by itself at %s", id, l.ClosesAt.Format(time.RFC3339))
	}
	return nil
}

// checkFloorBid wants more than the price, not a full increment: what step the room takes is the auctioneer's to say.
func (l Lot) checkFloorBid(paddle int32, amount Cents) error {
	if paddle < 1 || paddle > MaxPaddle {
		return entity.Reject("paddle", "paddle is %d: a paddle is 1 to %d", paddle, MaxPaddle)
	}
	if err := checkAmount("amount_cents", amount); err != nil {
		return err
	}
	switch {
	case amount < l.Opening:
		return entity.Reject("low", "a bid of %s is below the opening bid of %s", amount, l.Opening)
	case paddle == l.Standing.Paddle:
		return entity.Reject("leads", "paddle %d leads at %s: nobody bids against themselves", paddle, l.Standing.Price)
	case amount <= l.Standing.Price:
		return entity.Reject("low", "a bid of %s from the room is not above the price of %s", amount, l.Standing.Price)
	}
	return nil
}

func (l Lot) checkBid(bidder string, amount Cents) error {
	if err := checkBidder(bidder); err != nil {
		return err
	}
	if err := checkAmount("amount_cents", amount); err != nil {
		return err
	}
	own, again := l.Maxima.Of(bidder)
	switch {
	case amount < l.Opening:
		return entity.Reject("low", "a bid of %s is below the opening bid of %s", amount, l.Opening)
	case again && amount <= own:
		return entity.Reject("own-maximum", "%s has bid %s already: only a higher maximum counts", bidder, own)
	case !again && l.Maxima.Len() == MaxBidders:
		return entity.Reject("full", "the lot has %d bidders and takes no more", MaxBidders)
	}
	return nil
}

func checkBidder(bidder string) error {
	if n := len(bidder); n == 0 || n > MaxBidder {
		return entity.Reject("bidder", "a bidder's name has 1 to %d bytes, this one has %d", MaxBidder, n)
	}
	if strings.ContainsFunc(bidder, unicode.IsControl) {
		return entity.Reject("bidder", "the bidder's name %q has a control character", bidder)
	}
	if namesPaddle(bidder) {
		return entity.Reject("bidder", "the bidder's name %q looks like one of the room's paddles: choose another", bidder)
	}
	return nil
}

func checkLot(id string) error {
	if n := len(id); n == 0 || n > MaxLot {
		return entity.Reject("lot", "a lot's id has 1 to %d bytes, this one has %d", MaxLot, n)
	}
	if strings.ContainsFunc(id, unicode.IsControl) {
		return entity.Reject("lot", "the lot's id %q has a control character", id)
	}
	return nil
}

func checkAmount(field string, amount Cents) error {
	if amount < 1 || amount > MaxCents {
		return entity.Reject("amount", "%s is %d: an amount is 1 to %d cents", field, int64(amount), int64(MaxCents))
	}
	return nil
}

// deadlineOf returns when the lot closes by itself, or nil for a live lot.
func deadlineOf(cmd *auctionv1.OpenLot, now time.Time) (*timestamppb.Timestamp, error) {
	var at time.Time
	switch {
	case cmd.GetClosesAt() != nil && cmd.GetClosesAt().IsValid():
		at = cmd.GetClosesAt().AsTime()
	case cmd.GetClosesAfter() != nil && cmd.GetClosesAfter().IsValid():
		at = now.Add(cmd.GetClosesAfter().AsDuration())
	case cmd.GetClosing() == nil:
		return nil, nil
	}
	if !at.After(now) || at.After(now.Add(MaxDuration)) {
		return nil, entity.Reject("deadline", "a timed lot closes after now, %s, and within %d days", now.Format(time.RFC3339), MaxDuration/(24*time.Hour))
	}
	return timestamppb.New(at), nil
}
