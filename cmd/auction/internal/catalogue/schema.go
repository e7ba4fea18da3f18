package catalogue

// Steps make the tables, with an index for each order in which lists are asked for: one step
// per change that was ever released, none ever edited.
func Steps() []string { return []string{tables} }

// search is title and id in lower case. ends_at is the deadline, or for a live lot the end of
// time, so that live lots come last. closed_at is 0 while the lot is open.
const tables = `
	CREATE TABLE lots (
		lot TEXT NOT NULL PRIMARY KEY, title TEXT NOT NULL, search TEXT NOT NULL, live BIGINT NOT NULL,
		opening_cents BIGINT NOT NULL, price_cents BIGINT NOT NULL, leader TEXT NOT NULL, next_bid_cents BIGINT NOT NULL,
		bid_count BIGINT NOT NULL, opened_at BIGINT NOT NULL, ends_at BIGINT NOT NULL, closed_at BIGINT NOT NULL,
		hammer BIGINT NOT NULL, version BIGINT NOT NULL);
	CREATE INDEX lots_ending ON lots (ends_at, lot);
	CREATE INDEX lots_open ON lots (closed_at, ends_at, lot);
	CREATE INDEX lots_closed ON lots (closed_at, lot);
	CREATE INDEX lots_price ON lots (price_cents, lot);
	CREATE INDEX lots_opened ON lots (opened_at, lot);
	CREATE TABLE bids (
		lot TEXT NOT NULL, number BIGINT NOT NULL, bidder TEXT NOT NULL, paddle BIGINT NOT NULL,
		amount_cents BIGINT NOT NULL, at BIGINT NOT NULL, price_cents BIGINT NOT NULL,
		PRIMARY KEY (lot, number));
	CREATE INDEX bids_bidder ON bids (bidder, at, lot, number);
	CREATE TABLE sales (
		sale TEXT NOT NULL PRIMARY KEY, lot TEXT NOT NULL, called_at BIGINT NOT NULL, count BIGINT NOT NULL);
	CREATE INDEX sales_called ON sales (called_at, sale);`

// lotColumns are a lot's row in the order in which scanLot reads it.
const lotColumns = `lots.lot, lots.title, lots.live, lots.opening_cents, lots.price_cents, lots.leader, lots.next_bid_cents,
	lots.bid_count, lots.opened_at, lots.ends_at, lots.closed_at, lots.hammer, lots.version`

// bidColumns are a bid's row in the order in which scanBid reads it.
const bidColumns = `bids.lot, bids.number, bids.bidder, bids.paddle, bids.amount_cents, bids.at, bids.price_cents`
