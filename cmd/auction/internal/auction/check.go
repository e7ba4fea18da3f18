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
