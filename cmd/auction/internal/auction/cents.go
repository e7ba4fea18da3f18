package auction

import (
	"fmt"
	"strconv"
	"strings"
)

// Cents is an amount of money. Amounts that a lot takes are 1 to MaxCents, so that no sum of two can overflow.
type Cents int64

// MaxCents is a hundred million, in cents.
const MaxCents Cents = 100_000_000_00

// String shows units and cents, such as 12.50.
func (c Cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, int64(c/100), int64(c%100))
}

// ParseCents reads an amount such as 12, 12.5 or 12.50: digits, and up to two behind a point. It
// takes 0.01 to MaxCents.
func ParseCents(s string) (Cents, error) {
	units, fraction, point := strings.Cut(s, ".")
	if !digits(units) || point && (!digits(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("%q is not an amount: write it like 12 or 12.50", s)
	}
	for len(fraction) < 2 {
		fraction += "0"
	}
	n, err := strconv.ParseInt(units+fraction, 10, 64)
	if c := Cents(n); err == nil && c >= 1 && c <= MaxCents {
		return c, nil
	}
	return 0, fmt.Errorf("%s is out of range: an amount is 0.01 to %s", s, MaxCents)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
