package cassandra

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// sliceEntries is how many entries of an entity share a partition. It is part of
// the format: it can never change.
const sliceEntries = 4096

// maxPageSlices limits how many partitions one page may touch.
const maxPageSlices = 1024

// A page lies in the slice of its last entry. The rare one that begins in an
// earlier slice leaves a row without a body in each slice before, so
// that who reads a slice to its end knows whether entries go on.
const (
	insertPage   = "INSERT INTO pages (type, id, slice, last_entry, first_entry, shard, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
	insertMarker = "INSERT INTO pages (type, id, slice, last_entry, first_entry) VALUES (?, ?, ?, ?, ?)"
	selectPages  = "SELECT last_entry, first_entry, body FROM pages WHERE type = ? AND id = ? AND slice = ? AND last_entry > ?"
)

func sliceOf(entry uint64) uint64 { return entry / sliceEntries }

func sliceKey(of journal.Entity, slice uint64) []byte {
	return compositeKey([]byte(of.Type), []byte(of.ID), bigint(int64(slice)))
}

func pageWrites(d journal.Derived) (*groups, error) {
	g := &groups{}
	for _, p := range d.Pages {
		first, last := sliceOf(p.First), sliceOf(p.Last)
		if p.Last >= newest || last-first >= maxPageSlices {
			return g, fmt.Errorf("%w: a page of entries %d to %d", journal.ErrInvalid, p.First, p.Last)
		}
		for slice := first; slice < last; slice++ {
			g.add(sliceKey(p.Of, slice), write{insertMarker, []any{[]byte(p.Of.Type), []byte(p.Of.ID), int64(slice), int64(p.Last), int64(p.First)}, rowBytes})
		}
		g.add(sliceKey(p.Of, last), write{
			insertPage,
			[]any{[]byte(p.Of.Type), []byte(p.Of.ID), int64(last), int64(p.Last), int64(p.First), int64(d.Shard), p.Body},
			len(p.Body) + rowBytes,
		})
	}
	return g, nil
}

// Pages implements journal.Store. Where entries are missing between pages it may end
// early: whoever reads asserts that entries are dense anyway.
func (j *Journal) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.calls.Done()
	if after >= newest {
		return nil
	}
	last := after
	for slice := sliceOf(after + 1); ; slice++ {
		reached, err := j.pagesIn(ctx, of, slice, after, visit)
		last = max(last, reached)
		if err != nil || last < slice*sliceEntries+sliceEntries-1 {
			return err // the entry behind the last lies in this slice, and no page has it
		}
	}
}

// pageRows is how many pages are asked for at once.
const pageRows = 50

// pagesIn visits the pages of one slice and returns the last entry they reach.
func (j *Journal) pagesIn(ctx context.Context, of journal.Entity, slice, after uint64, visit func(journal.Page) error) (uint64, error) {
	reached := after
	iter := j.query(ctx, selectPages, []byte(of.Type), []byte(of.ID), int64(slice), int64(after)).
		RoutingKey(sliceKey(of, slice)).PageSize(pageRows).Iter()
	var last, first int64
	var body []byte
	for iter.Scan(&last, &first, &body) {
		reached = max(reached, uint64(last))
		if sliceOf(uint64(last)) == slice {
			if err := visit(journal.Page{Of: of, First: uint64(first), Last: uint64(last), Body: body}); err != nil {
				_ = iter.Close() // the visitor's error is what counts
				return reached, err
			}
		}
		body = nil
	}
	if err := iter.Close(); err != nil {
		return reached, failure(err, "read pages of %s %q", of.Type, of.ID)
	}
	return reached, nil
}
