package replay

import (
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// check compares a closed lot with what was acknowledged. A lot's version counts its
// events: one that it was opened, one per bid, one that it was closed. A lot closed
// never or twice, or a bid lost or doubled, cannot come out even.
func (l *lot) check(closed *auctionv1.LotView, final client.Answer) {
	view := final.View
	if view.GetClosed() {
		l.report.Closed++
	} else {
		l.fault("it was never closed")
	}
	if n := int64(len(l.accepted)); view.GetBidCount() != n {
		l.fault("it has %d bids, %d were acknowledged", view.GetBidCount(), n)
	}
	if want := uint64(len(l.accepted)) + 2; final.Version != want {
		l.fault("it has %d events; opened once, %d bids and closed once make %d", final.Version, len(l.accepted), want)
	}
	if view.GetPriceCents() != closed.GetPriceCents() || view.GetLeader() != closed.GetLeader() || !view.GetClosedAt().AsTime().Equal(closed.GetClosedAt().AsTime()) {
		l.fault("it changed after it was closed: from %v to %v", closed, view)
	}
	l.checkBids()
	if l.auction.Final != 0 {
		l.report.Recorded++
		if view.GetPriceCents() == int64(l.auction.Final) {
			l.report.Exact++
		}
	}
}

// checkRow compares the read model's row with the lot's own view.
func (l *lot) checkRow(row *auctionv1.LotRow, final client.Answer) {
	view := final.View
	if row.GetPriceCents() == view.GetPriceCents() && row.GetLeader() == view.GetLeader() && row.GetBidCount() == view.GetBidCount() &&
		row.GetClosed() == view.GetClosed() && row.GetVersion() == final.Version {
		l.report.ReadBack++
		return
	}
	l.fault("the read model shows %v, the lot says %v (version %d)", row, view, final.Version)
}

func (l *lot) checkBids() {
	for i, b := range l.accepted {
		switch got := l.shown[int64(i+1)]; {
		case got == nil:
			l.fault("the bid of line %d (%s, %s) was acknowledged and is not there", b.Line, b.Bidder, b.Maximum)
		case got.GetBidder() != b.Bidder || got.GetAmountCents() != int64(b.Maximum):
			l.fault("the bid of line %d (%s, %s) became %v", b.Line, b.Bidder, b.Maximum, got)
		}
	}
}
