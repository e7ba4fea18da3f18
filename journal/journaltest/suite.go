package journaltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// Suite says how to get at the journals under test.
type Suite struct {
	// Open returns an empty journal, closed by the end of the test. Required.
	Open func(t *testing.T) journal.Journal
	// Reopen closes the journal that Open returned and opens what it stored.
	// Nil: the journal does not outlive Close.
	Reopen func(t *testing.T, j journal.Journal) journal.Journal
	// Second returns another owner's way to the same journal, as another
	// process would have it. Nil: owners share one.
	Second func(t *testing.T, j journal.Journal) journal.Journal
}

// Run holds the journal that open returns against the contract.
func Run(t *testing.T, open func(t *testing.T) journal.Journal) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// Run runs the whole contract, each part on a journal of its own.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, part := range slices.Concat(logParts, raceParts, storeParts, lifeParts, registerParts, witnessParts) {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, s)
		})
	}
}

type part struct {
	name string
	run  func(t *testing.T, s Suite)
}

// timeout bounds each wait, where the time of all tests is not longer; it is far beyond what any journal needs on a quiet machine.
const timeout = 2 * time.Minute

// within returns a context that ends a minute before all tests do, so that what takes too long is told by name.
func within(t *testing.T) context.Context {
	t.Helper()
	end := time.Now().Add(timeout)
	if last, ok := t.Deadline(); ok && last.Add(-time.Minute).After(end) {
		end = last.Add(-time.Minute)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end)
	t.Cleanup(cancel)
	return ctx
}

// second returns the journal as the second of two owners sees it.
func (s Suite) second(t *testing.T, j journal.Journal) journal.Journal {
	if s.Second == nil {
		return j
	}
	return s.Second(t, j)
}

// Chain builds the records of one owner, one after the other.
type Chain struct {
	// Last is the header of the record that the next one follows.
	Last   journal.Header
	Writer string
}

// Next builds the record that follows the chain's last, with n entries of one event each.
func (c *Chain) Next(n int) journal.Record {
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = fmt.Appendf(nil, "entry %d of record %d by %s", i, c.Last.Number+1, c.Writer)
	}
	return c.build(false, entries)
}

// Claim builds the record that takes the shard over.
func (c *Chain) Claim() journal.Record { return c.build(true, nil) }

func (c *Chain) build(claim bool, entries [][]byte) journal.Record {
	h := journal.Header{
		Number:      c.Last.Number + 1,
		Epoch:       c.Last.Epoch,
		Writer:      c.Writer,
		Batch:       journal.NewBatch(),
		Claim:       claim,
		Time:        c.Last.Time + 1,
		FirstOffset: c.Last.NextOffset(),
		Events:      uint64(len(entries)),
		Flushed:     c.Last.Flushed,
	}
	if claim {
		h.Epoch++
	}
	return journal.NewRecord(h, entries)
}

// Append appends the record until its outcome is known. It tells whether the
// slot is ours, and moves on to the slot's holder either way.
func (c *Chain) Append(ctx context.Context, j journal.Log, shard uint32, rec journal.Record) (bool, error) {
	slot, err := Settle(ctx, j, shard, rec)
	if err != nil {
		return false, err
	}
	c.Last = slot.Holder
	return slot.Holder.Batch == rec.Batch, nil
}

// Settle repeats an append until it is known who holds the slot.
func Settle(ctx context.Context, j journal.Log, shard uint32, rec journal.Record) (journal.Slot, error) {
	for {
		slot, err := j.Append(ctx, shard, rec)
		switch {
		case err == nil && !slot.Taken:
			return slot, fmt.Errorf("append of record %d: no error, but the slot is not taken", rec.Number)
		case err == nil:
			return slot, nil
		case ctx.Err() != nil, errors.Is(err, journal.ErrClosed), errors.Is(err, journal.ErrCorrupt):
			return slot, err
		}
		if err := breathe(ctx); err != nil {
			return slot, err
		}
	}
}

// breathe waits before a repetition.
func breathe(ctx context.Context) error {
	timer := time.NewTimer(time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// mustAppend appends the chain's next record, which nobody contests.
func (c *Chain) mustAppend(t *testing.T, j journal.Journal, shard uint32, entries int) journal.Record {
	t.Helper()
	rec := c.Next(entries)
	ours, err := c.Append(within(t), j, shard, rec)
	if err != nil || !ours {
		t.Fatalf("append record %d: ours %v, %v", rec.Number, ours, err)
	}
	return rec
}

// ReadAll reads a shard's log to its end, and checks it as any reader must.
func ReadAll(ctx context.Context, j journal.Journal, shard uint32) ([]journal.Record, error) {
	var all []journal.Record
	for {
		page, err := j.Read(ctx, shard, uint64(len(all))+1, 64<<10)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return all, Check(all)
		}
		all = append(all, page...)
	}
}

// Check tells whether records, read from slot 1, are a valid log: dense records
// and offsets, epochs that rise by claims only, written by the last claimant.
func Check(records []journal.Record) error {
	var last journal.Header
	for _, rec := range records {
		if err := follows(last, rec.Header); err != nil {
			return fmt.Errorf("record %d: %w", last.Number+1, err)
		}
		parsed, err := journal.ParseRecord(rec.Body)
		if err != nil {
			return err
		}
		if parsed.Header != rec.Header {
			return fmt.Errorf("record %d: header %+v, body says %+v", rec.Number, rec.Header, parsed.Header)
		}
		last = rec.Header
	}
	return nil
}

func follows(last, next journal.Header) error {
	epoch, writer := last.Epoch, last.Writer
	if next.Claim {
		epoch, writer = epoch+1, next.Writer
	}
	switch {
	case next.Number != last.Number+1:
		return fmt.Errorf("its number is %d", next.Number)
	case next.FirstOffset != last.NextOffset():
		return fmt.Errorf("first offset %d, want %d", next.FirstOffset, last.NextOffset())
	case next.Epoch != epoch:
		return fmt.Errorf("epoch %d, want %d", next.Epoch, epoch)
	case next.Writer != writer && last.Number > 0:
		return fmt.Errorf("writer %q, want %q", next.Writer, writer)
	}
	return nil
}
