package breaker

import (
	"sync/atomic"
	"unsafe"
)

// stripeBits: there are 2^stripeBits stripes.
const stripeBits = 4

// counter counts what happens on every call without a line of memory that all cores fight for: goroutines
// spread over stripes.
type counter struct {
	stripes [1 << stripeBits]stripe
}

type stripe struct {
	succeeded, rejected, refused atomic.Uint64
	_                            [128 - 3*8]byte // two cache lines, which processors fetch together
}

// stripe returns the one of the calling goroutine. Its stack tells goroutines apart; that a stack may
// move, or two share a stripe, costs time only.
func (c *counter) stripe() *stripe {
	var here byte
	const stack, golden = 11, 0x9e3779b97f4a7c15 // a stack has 2^11 bytes or more
	at := uint64(uintptr(unsafe.Pointer(&here))) >> stack
	return &c.stripes[at*golden>>(64-stripeBits)]
}

func (c *counter) totals() (succeeded, rejected, refused uint64) {
	for i := range c.stripes {
		s := &c.stripes[i]
		succeeded += s.succeeded.Load()
		rejected += s.rejected.Load()
		refused += s.refused.Load()
	}
	return succeeded, rejected, refused
}
