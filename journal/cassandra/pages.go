package cassandra

import (
	"context"
	"errors"
	"fmt"

	"github.com/gocql/gocql"

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
	selectPages  = "SELECT last_entry, first_entry, body FROM pages WHERE type = ? AND id = ? AND slice = ? AND (last_entry, first_entry) > (?, ?)"
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
			g.addPage(sliceKey(p.Of, slice), p.Of, write{insertMarker, []any{[]byte(p.Of.Type), []byte(p.Of.ID), int64(slice), int64(p.Last), int64(p.First)}, rowBytes})
		}
		g.addPage(sliceKey(p.Of, last), p.Of, write{
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
	r := pageReading{of: of, slice: slice, last: int64(after), first: newest, visit: visit}
	err := again(ctx, func() error {
		return r.take(j.query(ctx, selectPages, r.from()...).RoutingKey(sliceKey(of, slice)).PageSize(pageRows).Iter())
	})
	if err != nil {
		err = failure(err, "read pages of %s %q", of.Type, of.ID)
	}
	return uint64(r.last), errors.Join(r.visited, err)
}

// pageReading is one slice that is being read. It knows the newest row it has taken, so that
// a second attempt goes on behind it.
type pageReading struct {
	of          journal.Entity
	slice       uint64
	last, first int64
	visit       func(journal.Page) error
	visited     error // what the visitor said
}

// from is where the next row is looked for.
func (r *pageReading) from() []any {
	return []any{[]byte(r.of.Type), []byte(r.of.ID), int64(r.slice), r.last, r.first}
}

// take visits the rows that are pages and not marks of later ones. It returns errors of the database only.
func (r *pageReading) take(iter *gocql.Iter) error {
	var body []byte
	for iter.Scan(&r.last, &r.first, &body) {
		if sliceOf(uint64(r.last)) == r.slice {
			r.visited = r.visit(journal.Page{Of: r.of, First: uint64(r.first), Last: uint64(r.last), Body: body})
		}
		if r.visited != nil {
			_ = iter.Close() // the visitor's error is what counts, and is not repeated
			return nil       //nolint:nilerr // it is in visited
		}
		body = nil
	}
	return iter.Close()
}
