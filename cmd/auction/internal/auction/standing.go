package auction

// Standing is how a lot stands: who leads it and what it costs them. The price is
//
//	min(highest maximum, second highest maximum + increment of that second maximum)
//
// over one maximum per bidder. With one bidder it is the opening bid; on equal maxima the
// earlier leads. Only the two highest maxima matter, so a bid costs the same whatever
// the number of bidders.
type Standing struct {
	Leader string
	Price  Cents
	// High is the leader's maximum, Second the highest of all others.
	High, Second Cents
}

// With returns the standing after a bid, which must be above the bidder's own earlier maximum.
func (s Standing) With(bidder string, amount, opening Cents) Standing {
	switch {
	case bidder == s.Leader:
		s.High = amount
	case amount > s.High:
		s.Leader, s.High, s.Second = bidder, amount, s.High
	default: // an equal maximum came later, so it only pushes
		s.Second = max(s.Second, amount)
	}
	s.Price = opening
	if s.Second > 0 {
		s.Price = min(s.High, s.Second+increment(s.Second))
	}
	return s
}

// Next is the least maximum that outbids the price by a full increment.
func (s Standing) Next(opening Cents) Cents {
	if s.Price == 0 {
		return opening
	}
	return s.Price + increment(s.Price)
}

// increments is eBay's table: below this price, a step is that much.
var increments = []struct{ below, step Cents }{
	{1_00, 5},
	{5_00, 25},
	{25_00, 50},
	{100_00, 1_00},
	{250_00, 2_50},
	{500_00, 5_00},
	{1_000_00, 10_00},
	{2_500_00, 25_00},
	{5_000_00, 50_00},
}

func increment(price Cents) Cents {
	for _, i := range increments {
		if price < i.below {
			return i.step
		}
	}
	return 100_00
}
