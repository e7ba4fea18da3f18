// Package auction is the sample's domain: lots, and the bids on them.
//
// [Lots] is the main entity. A timed lot is opened with a deadline and closes
// itself; a live lot is opened and closed by a clerk. Either sells by eBay's
// rule: a bid is its bidder's maximum, and the lot bids for them, up to it and
// only as far as the others make it ([Standing]). A live lot takes bids from the
// room as well, in the same order as those that come online. [Sales] say which lot a
// clerk has on the block.
//
//	lot := auction.Lots.Ref(host, "lamp")
//	_, err := auction.OpenLot.Ask(ctx, lot, &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 10_00})
//	view, err := auction.PlaceBid.Ask(ctx, lot, &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 25_00}, entity.Key(key))
//
// Who sends a command is not asked here, as nobody is known: all that a command says is checked, and
// nothing that it does not say.
//
// Everything here is a pure function of state and message: no clock, no I/O.
// Lots see only what the runtime stored, so a replay gives the same lot again.
package auction
