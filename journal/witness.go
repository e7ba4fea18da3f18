package journal

import (
	"context"
	"fmt"
	"time"
)

// Witnesses are rows by which nodes that cannot hear each other see who is alive and whom
// that one hears. They are met by journals as an extra ability.
//
// All methods may be called concurrently.
type Witnesses interface {
	// PutWitness stores w in place of what its address had. A process's calls win in their
	// order, and its first call wins over all that were answered before. (Two processes that
	// keep putting at one address, a mistake in their settings, may be ordered by their clocks.)
	// Durable when it returns; after an error w may be stored, now or later, but never in place
	// of what this process puts next.
	PutWitness(ctx context.Context, w Witness) error

	// Witnesses returns what is stored, ordered by the bytes of the addresses, and at least
	// as new as when it was called. A witness that was not put again for WitnessLife may be missing.
	Witnesses(ctx context.Context) ([]Witness, error)
}

// Witness is what one node says of itself. Who wants to know whether the node is alive watches whether Beat
// changes, for as long as its own clock says: clocks of two machines are never compared.
type Witness struct {
	// Address is what the node is known by: valid UTF-8, at most MaxName bytes, not empty.
	Address string
	// Incarnation tells this start of the node from any other; as long as an address at most.
	Incarnation string
	// Beat differs each time the node puts its witness.
	Beat uint64
	// View is whom the node hears, at most MaxView bytes. The journal does not look into it.
	View []byte
}

const (
	// MaxView limits the bytes of a witness's view.
	MaxView = 64 << 10

	// WitnessLife is how long a witness stays at least that is not put again.
	WitnessLife = time.Hour
)

// Check tells whether w may be stored.
func (w Witness) Check() error {
	if err := checkText("a witness's address", w.Address); err != nil {
		return err
	}
	if err := checkText("a witness's incarnation", w.Incarnation); err != nil {
		return err
	}
	if len(w.View) > MaxView {
		return fmt.Errorf("%w: the witness of %s: its view has %d bytes, at most %d are allowed", ErrInvalid, w.Address, len(w.View), MaxView)
	}
	return nil
}
