package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// TestTheBookNoticesWhatIsWrong makes sure that the kill test can fail.
func TestTheBookNoticesWhatIsWrong(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	placed := func(bidder string, cents int64, at time.Duration) *auctionv1.BidTaken {
		return &auctionv1.BidTaken{By: &auctionv1.BidTaken_Online{Online: bidder}, AmountCents: cents, At: timestamppb.New(noon.Add(at))}
	}
	tests := []struct {
		name, problem string
		spoil         func(*lotBook, *history, *auctionv1.LotView)
	}{
		{"nothing", "", func(*lotBook, *history, *auctionv1.LotView) {}},
		{"a bid is lost", "was acknowledged and is lost", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.bids, h.keys = h.bids[:1], h.keys[:1] }},
		{"a bid is doubled", "is stored twice", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.keys[1] = h.keys[0] }},
		{"a bid came from nowhere", "nobody sent", func(l *lotBook, _ *history, _ *auctionv1.LotView) { l.sent = l.sent[:2] }},
		{"a refused bid is stored", "was refused", func(l *lotBook, _ *history, _ *auctionv1.LotView) { l.sent[2].yes = false }},
		{"an amount changed", "became", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.bids[0].AmountCents++ }},
		{"a bidder changed", "became", func(_ *lotBook, h *history, _ *auctionv1.LotView) {
			h.bids[0].By = &auctionv1.BidTaken_Online{Online: "eve"}
		}},
		{"it closed twice", "closed 2 times", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.closed = append(h.closed, h.closed[0]) }},
		{"it closed before its deadline", "its deadline is", func(l *lotBook, _ *history, _ *auctionv1.LotView) { l.deadline = noon.Add(time.Hour) }},
		{"somebody else closed it", "closed by eve", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.closers[0] = "eve" }},
		{"a bid came after the deadline", "came after the deadline", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.bids[1] = placed("bob", 20, time.Minute) }},
		{"time fell back", "time fell back", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.bids[1] = placed("bob", 20, 0) }},
		{"the view hides a bid", "its view counts", func(_ *lotBook, _ *history, v *auctionv1.LotView) { v.Bids = v.Bids[:1] }},
		{"the view shows another bid", "its view shows", func(_ *lotBook, _ *history, v *auctionv1.LotView) { v.Bids[0].Bidder = "eve" }},
		{"the view is still open", "its view says", func(_ *lotBook, _ *history, v *auctionv1.LotView) { v.Closed = false }},
		{"an event of another kind", "make sense", func(_ *lotBook, h *history, _ *auctionv1.LotView) { h.events++ }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := &lotBook{id: "lamp", deadline: noon.Add(time.Minute), sent: []*sent{
				{key: "open"},
				{key: "ann/1", cmd: &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 10}, yes: true},
				{key: "bob/1", cmd: &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 20}, yes: true},
			}}
			h := history{
				bids: []*auctionv1.BidTaken{placed("ann", 10, time.Second), placed("bob", 20, 2*time.Second)}, keys: []string{"ann/1", "bob/1"},
				closed: []*auctionv1.LotClosed{{At: timestamppb.New(noon.Add(time.Minute))}}, closers: []string{"timer close @1"}, events: 4,
			}
			view := &auctionv1.LotView{Closed: true, BidCount: 2, Bids: []*auctionv1.Bid{{Number: 2, Bidder: "bob", AmountCents: 20}, {Number: 1, Bidder: "ann", AmountCents: 10}}}
			test.spoil(l, &h, view)
			problems := strings.Join(append(l.compareKeys(h), l.compareTimes(h, view)...), "\n")
			if (problems == "") != (test.problem == "") || !strings.Contains(problems, test.problem) {
				t.Fatalf("got %q, want %q", problems, test.problem)
			}
		})
	}
}
