package archive

import (
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// chain holds the records of one log against each other.
type chain struct {
	last journal.Header
	// broken tells that the record before the next one is not known.
	broken bool
}

// follow takes in the next record's header, or says how it breaks the promises of a log. It goes on
// from there in either case.
func (c *chain) follow(h journal.Header) error {
	before, broken := c.last, c.broken
	c.last, c.broken = h, false
	if broken {
		return nil
	}
	switch {
	case h.Number != before.Number+1:
		return fmt.Errorf("%w: record %d follows record %d", journal.ErrCorrupt, h.Number, before.Number)
	case h.FirstOffset != before.NextOffset():
		return fmt.Errorf("%w: record %d begins at offset %d; the one before it ends at %d", journal.ErrCorrupt, h.Number, h.FirstOffset, before.NextOffset()-1)
	case h.Claim && h.Epoch <= before.Epoch, !h.Claim && h.Epoch != before.Epoch:
		return fmt.Errorf("%w: record %d has epoch %d behind epoch %d", journal.ErrCorrupt, h.Number, h.Epoch, before.Epoch)
	case !h.Claim && h.Writer != before.Writer:
		return fmt.Errorf("%w: record %d was written by %q, but %q owns the shard there", journal.ErrCorrupt, h.Number, h.Writer, before.Writer)
	case h.Claim && h.Events != 0:
		return fmt.Errorf("%w: record %d is a claim with %d events", journal.ErrCorrupt, h.Number, h.Events)
	case h.Flushed >= h.Number:
		return fmt.Errorf("%w: record %d tells that pages reach up to record %d", journal.ErrCorrupt, h.Number, h.Flushed)
	}
	return nil
}
