package auction

import auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"

// takenFromPlaced reads a bid that 0.1.0 stored as one of today. 0.1.0 knew only bidders
// who bid online, by name; then the room came, which bids by paddle, and with it BidTaken. What
// is stored is never rewritten: this function stands between the log and
// whoever reads it, the lots and the read model alike, so that neither knows of the old event.
//
// It sees one event and nothing else. So it fills in what follows from the
// event, the next bid, and leaves out what does not, the number, which readers
// count. The increments are those of 0.1.0: should they ever change, the old table stays here.
func takenFromPlaced(old *auctionv1.BidPlaced) *auctionv1.BidTaken {
	standing := Standing{Price: Cents(old.GetPriceCents())}
	return &auctionv1.BidTaken{
		By:           &auctionv1.BidTaken_Online{Online: old.GetBidder()},
		AmountCents:  old.GetAmountCents(),
		At:           old.GetAt(),
		Leader:       old.GetLeader(),
		PriceCents:   old.GetPriceCents(),
		NextBidCents: int64(standing.Next(0)),
	}
}
