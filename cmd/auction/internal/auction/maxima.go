package auction

import (
	"cmp"
	"slices"
)

// Maximum is the highest bid of one bidder.
type Maximum struct {
	Bidder string
	Amount Cents
}

// Maxima holds one maximum per bidder, in order of their names, in short blocks. A value never changes: a
// bid copies one block and the list of blocks, never all bidders, as it would with a map.
type Maxima [][]Maximum

const maxBlock = 128

// Of returns the bidder's maximum, if there is one.
func (m Maxima) Of(bidder string) (Cents, bool) {
	if len(m) == 0 {
		return 0, false
	}
	block := m[m.blockOf(bidder)]
	i, found := slices.BinarySearchFunc(block, bidder, byBidder)
	if !found {
		return 0, false
	}
	return block[i].Amount, true
}

// With returns the maxima with the bidder's new one.
func (m Maxima) With(bidder string, amount Cents) Maxima {
	if len(m) == 0 {
		return Maxima{{{bidder, amount}}}
	}
	at := m.blockOf(bidder)
	block := slices.Clone(m[at])
	i, found := slices.BinarySearchFunc(block, bidder, byBidder)
	if found {
		block[i].Amount = amount
	} else {
		block = slices.Insert(block, i, Maximum{bidder, amount})
	}
	if len(block) <= maxBlock {
		changed := slices.Clone(m)
		changed[at] = block
		return changed
	}
	half := len(block) / 2
	return slices.Concat(m[:at], Maxima{slices.Clip(block[:half]), block[half:]}, m[at+1:])
}

// Len counts the bidders.
func (m Maxima) Len() int {
	n := 0
	for _, block := range m {
		n += len(block)
	}
	return n
}

// blockOf finds the last block that begins at or before the bidder, or else the first.
func (m Maxima) blockOf(bidder string) int {
	i, found := slices.BinarySearchFunc(m, bidder, func(block []Maximum, bidder string) int { return cmp.Compare(block[0].Bidder, bidder) })
	if found || i == 0 {
		return i
	}
	return i - 1
}

func byBidder(m Maximum, bidder string) int { return cmp.Compare(m.Bidder, bidder) }
