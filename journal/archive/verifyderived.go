package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// derived checks what is derived from the log.
func (w *walk) derived(ctx context.Context) error {
	for of, k := range w.entities {
		if err := w.entity(ctx, of, k); err != nil {
			return err
		}
	}
	return w.timers(ctx)
}

// catchUp reads on in the log. What was seen of derived data before it was committed before, so the
// log must tell of it then.
func (w *walk) catchUp(ctx context.Context) error { return w.log(ctx) }

// entity checks what is derived of one entity.
func (w *walk) entity(ctx context.Context, of journal.Entity, k *known) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.pages(ctx, of, k); err != nil {
		return err
	}
	stored, err := w.cfg.Journal.Snapshots(ctx, of)
	if err != nil && !corrupt(err) {
		return err
	}
	if err != nil {
		w.find(0, of, "its snapshots cannot be read: %v", err)
	}
	for _, s := range stored {
		w.report.Snapshots++
		what, err := w.snapshot(ctx, of, k, s)
		if err != nil {
			return err
		}
		if what != "" {
			w.find(0, of, "the snapshot at entry %d %s", s.Entry, what)
		}
	}
	return nil
}

// pages holds the entity's pages against the log.
func (w *walk) pages(ctx context.Context, of journal.Entity, k *known) error {
	p := paged{of: of, hashes: make([]uint64, k.last)}
	err := w.cfg.Journal.Pages(ctx, of, 0, func(page journal.Page) error {
		w.report.Pages++
		if page.Last > k.last {
			if err := w.catchUp(ctx); err != nil {
				return err
			}
			p.hashes = append(p.hashes, make([]uint64, k.last-uint64(len(p.hashes)))...)
		}
		if what := p.take(page); what != "" {
			w.find(0, of, "the page of entries %d to %d %s", page.First, page.Last, what)
		}
		return ctx.Err()
	})
	if err != nil && !corrupt(err) {
		return err
	}
	if err != nil {
		w.find(0, of, "its pages cannot be read: %v", err)
		return nil
	}
	if what := p.compare(k); what != "" {
		w.find(0, of, "%s", what)
	}
	return nil
}

// paged gathers what the pages of one entity hold: the hash of each entry, by its number less one.
type paged struct {
	of     journal.Entity
	hashes []uint64
}

// take takes in a page, or says what is wrong with it.
func (p *paged) take(page journal.Page) (what string) {
	next := page.First
	err := eachPaged(page.Body, func(b []byte) error {
		e, err := parseEntry(b)
		switch {
		case err != nil:
			return err
		case e.of != p.of:
			return fmt.Errorf("holds an entry of %s %q", e.of.Type, e.of.ID)
		case e.number != next:
			return fmt.Errorf("holds entry %d where %d should be", e.number, next)
		case e.number > uint64(len(p.hashes)):
			return fmt.Errorf("holds entry %d; the log ends with entry %d", e.number, len(p.hashes))
		}
		next++
		hash := hashOf(b)
		if at := &p.hashes[e.number-1]; *at == 0 {
			*at = hash
		} else if *at != hash {
			return fmt.Errorf("holds another entry %d than the page before it", e.number)
		}
		return nil
	})
	switch {
	case errors.Is(err, journal.ErrCorrupt):
		return fmt.Sprintf("cannot be read: %v", err)
	case err != nil:
		return err.Error()
	case next != page.Last+1:
		return fmt.Sprintf("ends with entry %d", next-1)
	}
	return ""
}

// compare holds what pages hold against the log.
func (p *paged) compare(k *known) (what string) {
	var sum uint64
	for i, hash := range p.hashes[:k.paged] {
		if hash == 0 {
			return fmt.Sprintf("entry %d is in no page, though pages are complete up to entry %d", i+1, k.paged)
		}
		sum = chained(sum, hash)
	}
	if sum != k.sum {
		return fmt.Sprintf("the pages of entries 1 to %d are not what the log holds", k.paged)
	}
	for i, hash := range p.hashes[k.paged:] {
		if hash != 0 && hash != k.tail[i] {
			return fmt.Sprintf("entry %d in a page is not what the log holds", k.paged+uint64(i)+1)
		}
	}
	return ""
}

// snapshot says what is wrong with a snapshot.
func (w *walk) snapshot(ctx context.Context, of journal.Entity, k *known, s journal.Snapshot) (what string, err error) {
	var pb logv1.Snapshot
	if err := proto.Unmarshal(s.Body, &pb); err != nil {
		return fmt.Sprintf("cannot be read: %v", err), nil
	}
	if s.Entry > k.last || pb.GetVersion() > k.version || pb.GetRecord() > w.head.Last.Number {
		if err := w.catchUp(ctx); err != nil {
			return "", err
		}
	}
	switch {
	case pb.GetEntry() != s.Entry:
		return fmt.Sprintf("says that it stands at entry %d", pb.GetEntry()), nil
	case s.Entry == 0 || s.Entry > k.last:
		return fmt.Sprintf("stands behind the log's last entry %d", k.last), nil
	case pb.GetShard() != uint64(w.shard):
		return fmt.Sprintf("is of shard %d: it is another entity's", pb.GetShard()), nil
	case pb.GetVersion() > k.version:
		return fmt.Sprintf("has version %d, the log ends with version %d", pb.GetVersion(), k.version), nil
	case pb.GetRecord() == 0:
		return "", nil // made before the entity's next command, when nobody knew the record
	case pb.GetRecord() > w.head.Last.Number:
		return fmt.Sprintf("names record %d, the log ends with record %d", pb.GetRecord(), w.head.Last.Number), nil
	}
	return w.snapshotRecord(ctx, of, &pb)
}

// snapshotRecord looks into the record that a snapshot names. A snapshot bears no id: that this record holds that entry
// of this entity, with the key that the snapshot remembers, tells whose it is.
func (w *walk) snapshotRecord(ctx context.Context, of journal.Entity, pb *logv1.Snapshot) (what string, err error) {
	records, err := w.cfg.Journal.Read(ctx, uint32(w.shard), pb.GetRecord(), 1)
	if err != nil || len(records) == 0 {
		return "", err // the walk over the log has read it before
	}
	what = fmt.Sprintf("names record %d, which does not hold that entry of it: it is another entity's", pb.GetRecord())
	err = records[0].EachEntry(func(b []byte) error {
		e, err := parseEntry(b)
		switch {
		case err != nil || e.of != of || e.number != pb.GetEntry():
			return err
		case e.version != pb.GetVersion():
			what = fmt.Sprintf("has version %d, its entry has version %d", pb.GetVersion(), e.version)
		case !remembers(pb, &e):
			what = "remembers another command for that entry: it is another entity's"
		default:
			what = ""
		}
		return nil
	})
	return what, err
}

// remembers tells whether the snapshot's window, if it has the entry's answer, has it under the entry's key.
func remembers(pb *logv1.Snapshot, e *entry) bool {
	for _, r := range pb.GetWindow().GetAnswers() {
		if r.GetEntry() != e.number {
			continue
		}
		var key logv1.Key
		if err := proto.Unmarshal(e.key, &key); err != nil {
			return true // a key that only a newer release can read
		}
		a, b := r.GetKey(), &key
		return a.GetCaller() == b.GetCaller() && bytes.Equal(a.GetClient().GetClient(), b.GetClient().GetClient()) &&
			a.GetClient().GetNumber() == b.GetClient().GetNumber()
	}
	return true
}

// timers holds the index against the timers that are pending.
func (w *walk) timers(ctx context.Context) error {
	if w.pending.cut {
		w.report.Unchecked = append(w.report.Unchecked, fmt.Sprintf("shard %d: the timer index, since more than %d timers are pending", w.shard, maxPending))
		return nil
	}
	missing := map[journal.Timer]bool{}
	first, last := int64(0), int64(0)
	for _, t := range w.pending.timers {
		if t.Hour() < w.head.Last.TimersFromHour {
			w.find(0, t.Of, "timer %q is pending and due at %s, before the hour from which owners look: it would not fire", t.Name, dueTime(t))
		}
		if t.Armed > w.entities[t.Of].paged {
			continue // an owner takes it from the log
		}
		if len(missing) == 0 {
			first, last = t.Hour(), t.Hour()
		}
		missing[t] = true
		first, last = min(first, t.Hour()), max(last, t.Hour())
	}
	if len(missing) == 0 {
		return nil
	}
	err := w.cfg.Journal.Timers(ctx, uint32(w.shard), first, last+1, func(t journal.Timer) error {
		delete(missing, t)
		return nil
	})
	if err != nil && !corrupt(err) {
		return err
	}
	if err != nil {
		w.find(0, journal.Entity{}, "the timer index cannot be read: %v", err)
		return nil
	}
	if len(missing) > 0 {
		if err := w.catchUp(ctx); err != nil {
			return err
		}
	}
	for t := range missing {
		if w.pending.timers[pendingName{t.Of, t.Name}] != t {
			continue // it has fired or was cancelled before the index was read
		}
		w.find(0, t.Of, "timer %q, armed by entry %d and due at %s, is not in the index", t.Name, t.Armed, dueTime(t))
	}
	return nil
}

func dueTime(t journal.Timer) string { return time.Unix(0, t.Due).UTC().Format(time.RFC3339) }
