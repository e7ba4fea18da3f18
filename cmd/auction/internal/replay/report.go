package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Report counts what came of a run.
type Report struct {
	Lots, Closed int
	// Sent bids were answered: Accepted or Rejected.
	Sent, Accepted, Rejected int
	// Codes counts the rejections by their code.
	Codes map[string]int
	// Recorded lots have a final price in the file; of these, Exact came out at it.
	Recorded, Exact int
	// ReadBack lots are in the read model as they say themselves.
	ReadBack int
	// Faults are bids lost, doubled or changed, and lots not closed exactly once.
	Faults []string
}

func (r *Report) reject(code string) {
	if r.Codes == nil {
		r.Codes = map[string]int{}
	}
	r.Rejected++
	r.Codes[code]++
}

func (r *Report) add(o Report) {
	r.Lots, r.Closed = r.Lots+o.Lots, r.Closed+o.Closed
	r.Sent, r.Accepted, r.Rejected = r.Sent+o.Sent, r.Accepted+o.Accepted, r.Rejected+o.Rejected
	r.Recorded, r.Exact, r.ReadBack = r.Recorded+o.Recorded, r.Exact+o.Exact, r.ReadBack+o.ReadBack
	r.Faults = append(r.Faults, o.Faults...)
	for code, n := range o.Codes {
		if r.Codes == nil {
			r.Codes = map[string]int{}
		}
		r.Codes[code] += n
	}
}

func total(reports []Report) (sum Report) {
	for _, r := range reports {
		sum.add(r)
	}
	return sum
}

// maxShown limits the faults that are printed; all are counted.
const maxShown = 20

// String implements fmt.Stringer.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "lots      %d, closed %d\n", r.Lots, r.Closed)
	fmt.Fprintf(&b, "bids      %d sent, %d accepted, %d rejected%s\n", r.Sent, r.Accepted, r.Rejected, r.codes())
	fmt.Fprintf(&b, "prices    %d of %d recorded final prices exact\n", r.Exact, r.Recorded)
	fmt.Fprintf(&b, "read      %d of %d lots are in the read model with their own price, leader and bids\n", r.ReadBack, r.Lots)
	if len(r.Faults) == 0 {
		fmt.Fprintf(&b, "checked   every accepted bid is there once, every lot was closed once\n")
		return b.String()
	}
	fmt.Fprintf(&b, "checked   %d faults\n", len(r.Faults))
	for _, f := range r.Faults[:min(len(r.Faults), maxShown)] {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	return b.String()
}

func (r Report) codes() string {
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Codes[code], code))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
