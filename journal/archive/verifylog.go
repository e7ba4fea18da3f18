package archive

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/journal"
)

// walk is what is known of one shard while it is checked.
type walk struct {
	*verifier
	shard    int
	head     journal.Head
	late     map[journal.Entity]uint64 // the first record that the pages of an entity may lack, though head is flushed further
	chain    chain
	entities map[journal.Entity]*known
	pending  *pending
	damaged  bool // the log cannot tell what derived data should be
}

// known is what the log tells of an entity: its newest entry and version, up to which entry pages are
// complete, and the hash of all entries up to there.
type known struct {
	last, version, paged uint64
	sum                  uint64
	// tail is the hashes of the entries behind paged, which pages may hold or not.
	tail []uint64
}

func (w *walk) find(record uint64, of journal.Entity, what string, args ...any) {
	w.verifier.find(Finding{Shard: w.shard, Record: record, Type: of.Type, ID: of.ID, What: fmt.Sprintf(what, args...)})
}

// damage is a finding after which derived data cannot be compared.
func (w *walk) damage(record uint64, of journal.Entity, what string, args ...any) {
	w.damaged = true
	w.find(record, of, what, args...)
}

// log reads what is not yet read of the log, to where no record follows: the head may be behind the truth, and an
// owner may append meanwhile. Around what cannot be read it goes record by record, up to the head.
func (w *walk) log(ctx context.Context) error {
	end, size := w.head.Last.Number, readBytes
	for from := w.chain.last.Number + 1; ; {
		records, err := w.cfg.Journal.Read(ctx, uint32(w.shard), from, size)
		switch {
		case err != nil && !corrupt(err):
			return err
		case err != nil && size > 1:
			size = 1
			continue
		case err != nil:
			w.damage(from, journal.Entity{}, "it cannot be read: %v", err)
			w.chain.broken = true
			from++
		case len(records) == 0 && from <= end:
			w.damage(from, journal.Entity{}, "the log ends before it, though record %d is stored", end)
			return nil
		case len(records) > 0:
			for _, rec := range records {
				w.record(rec)
				from = max(from, rec.Number) + 1
			}
			size = min(2*size, readBytes)
			continue
		}
		if from > end {
			break
		}
	}
	if w.chain.last.Number > end {
		w.head.Last = w.chain.last
	}
	return nil
}

// record checks one record.
func (w *walk) record(rec journal.Record) {
	w.report.Records++
	w.done++
	w.cfg.Progress.tell(w.done, w.total)
	none := journal.Entity{}
	parsed, err := journal.ParseRecord(rec.Body)
	if err != nil {
		w.damage(rec.Number, none, "%v", err)
		w.chain.broken = true
		return
	}
	if parsed.Header != rec.Header {
		w.damage(rec.Number, none, "the header that the journal keeps beside it is another")
	}
	if err := w.chain.follow(parsed.Header); err != nil {
		w.damage(rec.Number, none, "%v", err)
	}
	var events, entries uint64
	err = parsed.EachEntry(func(b []byte) error {
		e, err := parseEntry(b)
		if err != nil {
			return err
		}
		events += e.events
		entries++
		w.entry(parsed.Number, &e, b)
		return nil
	})
	switch {
	case err != nil:
		w.damage(rec.Number, none, "%v", err)
	case events != parsed.Events:
		w.damage(rec.Number, none, "it has %d events, its header says %d", events, parsed.Events)
	case parsed.Claim && entries > 0:
		w.damage(rec.Number, none, "it is a claim and carries %d entries", entries)
	}
}

// entry checks one entry and remembers what pages must hold of it.
func (w *walk) entry(record uint64, e *entry, b []byte) {
	k := w.entities[e.of]
	if k == nil {
		k = &known{}
		w.entities[e.of] = k
	}
	if !w.damaged && e.number != k.last+1 {
		w.damage(record, e.of, "entry %d follows entry %d", e.number, k.last)
	}
	if !w.damaged && e.version != k.version+e.events {
		w.damage(record, e.of, "entry %d has version %d, its events lead to %d", e.number, e.version, k.version+e.events)
	}
	k.last, k.version = e.number, e.version
	w.pending.take(e)
	hash := hashOf(b)
	if first, late := w.late[e.of]; record <= w.head.Flushed && (!late || record < first) {
		k.paged, k.sum = e.number, chained(k.sum, hash)
		return
	}
	k.tail = append(k.tail, hash)
}

// hashOf never returns 0, which stands for none.
func hashOf(entry []byte) uint64 { return xxhash.Sum64(entry) | 1 }

// chained adds the hash of an entity's next entry to that of all before.
func chained(sum, hash uint64) uint64 {
	const odd = 0x9e3779b97f4a7c15
	sum ^= hash
	sum *= odd
	return sum ^ sum>>29
}

// behind takes in which entities' pages end before the flush position.
func (w *walk) behind(head journal.Header) error {
	late, err := journal.ParseBehind(head.Behind)
	if err != nil {
		return fmt.Errorf("archive: the head of shard %d: %w", w.shard, err)
	}
	w.late = map[journal.Entity]uint64{}
	for _, l := range late {
		w.late[l.Of] = l.Record
	}
	return nil
}
