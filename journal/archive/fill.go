package archive

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/journal"
)

const (
	// maxPage bounds a page's bytes, as far as entries can be told apart.
	maxPage = 256 << 10
	// maxBatchBytes and maxBatchRecords bound what is read ahead before pages are written:
	// more makes larger pages. The records of a batch must be appended within the
	// seconds that a journal leaves before it removes timers of past hours.
	maxBatchBytes   = 2 << 20
	maxBatchRecords = 1024
)

// batch is records that are about to be appended, and what is derived from them.
type batch struct {
	pending *pending
	records []journal.Record
	bytes   int
	derived journal.Derived
	open    map[journal.Entity]int // the page of an entity that is not full, in derived
}

func newBatch(shard uint32, p *pending) *batch {
	return &batch{pending: p, derived: journal.Derived{Shard: shard}, open: map[journal.Entity]int{}}
}

func (b *batch) full() bool { return b.bytes >= maxBatchBytes || len(b.records) >= maxBatchRecords }

// add takes a record in, with its pages and timers.
func (b *batch) add(rec journal.Record) error {
	b.records = append(b.records, rec)
	b.bytes += len(rec.Body)
	return rec.EachEntry(func(encoded []byte) error {
		e, err := parseEntry(encoded)
		if err != nil {
			return err
		}
		b.addToPage(&e, encoded)
		arms, disarms := b.pending.take(&e)
		b.derived.Arms = append(b.derived.Arms, arms...)
		b.derived.Disarms = append(b.derived.Disarms, disarms...)
		return nil
	})
}

// skip takes in a record that the journal holds already.
func (b *batch) skip(rec journal.Record) error {
	return rec.EachEntry(func(encoded []byte) error {
		e, err := parseEntry(encoded)
		if err == nil {
			b.pending.take(&e)
		}
		return err
	})
}

func (b *batch) addToPage(e *entry, encoded []byte) {
	at, ok := b.open[e.of]
	if !ok || len(b.derived.Pages[at].Body)+len(encoded) > maxPage {
		at = len(b.derived.Pages)
		b.open[e.of] = at
		b.derived.Pages = append(b.derived.Pages, journal.Page{Of: e.of, First: e.number})
	}
	p := &b.derived.Pages[at]
	p.Last = e.number
	p.Body = protowire.AppendTag(p.Body, pageEntries, protowire.BytesType)
	p.Body = protowire.AppendBytes(p.Body, encoded)
}

// clear makes room for the next records.
func (b *batch) clear() {
	clear(b.open)
	b.records, b.bytes = b.records[:0], 0
	b.derived = journal.Derived{Shard: b.derived.Shard}
}
