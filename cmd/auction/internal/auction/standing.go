package auction

// Standing is how a lot stands: who leads it and what it costs them. The price is
//
//	min(highest maximum, second highest maximum + increment of that second maximum)
//
// over one maximum per bidder. With one bidder it is the opening bid; on equal maxima the
// earlier leads. A leader in the room pays what they bid: the room names amounts, not maxima. Only
// the two highest matter, so a bid costs the same whatever the number of bidders.
type Standing struct {
	// Leader is a name, or a paddle as text.
	Leader string
	// Paddle is the leader's if they are in the room; 0 if they bid online.
	Paddle int32
	Price  Cents
	// High is the leader's maximum, Second the highest of all others.
	High, Second Cents
}

// With returns the standing after a bid. It must be above the bidder's own earlier
// maximum and, if it comes from the room, above the price: so the price never falls.
func (s Standing) With(b Bid, opening Cents) Standing {
	switch {
	case b.Bidder == s.Leader && b.Paddle == s.Paddle:
		s.High = b.Amount
	case b.Amount > s.High:
		s.Leader, s.Paddle, s.High, s.Second = b.Bidder, b.Paddle, b.Amount, s.High
	default: // an equal maximum came later, so it only pushes
		s.Second = max(s.Second, b.Amount)
	}
	s.Price = s.price(opening)
	return s
}

func (s Standing) price(opening Cents) Cents {
	switch {
	case s.Paddle > 0:
		return s.High
	case s.Second > 0:
		return min(s.High, s.Second+increment(s.Second))
	}
	return opening
}

// Next is the least maximum that outbids the price by a full increment; 0 if that is more than any bid may be.
func (s Standing) Next(opening Cents) Cents {
	if s.Price == 0 {
		return opening
	}
	if next := s.Price + increment(s.Price); next <= MaxCents {
		return next
	}
	return 0
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
