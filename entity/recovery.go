package entity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// rebuilt is an entity as it follows from the journal.
type rebuilt struct {
	instance instance
	image    shard.Image
	// bytes is about what the state takes; since is what was stored since the
	// snapshot, whose size is snapshot.
	bytes, since, snapshot int
	// before and each, if not nil, see every encoded entry before and after it is folded.
	before, each func(version uint64, entry []byte) error
}

// brokenError tells that what is stored cannot be understood: trying again is of no use.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

// rebuild reads an entity: the newest usable snapshot, the pages behind it, and
// the pinned entries, which pages may not hold yet. upTo is the entry that must be reached.
func (h *Host) rebuild(ctx context.Context, def Definition, of journal.Entity, pinned [][]byte, upTo uint64) (*rebuilt, error) {
	r := &rebuilt{instance: def.newInstance(of.ID, h.events[of.Type])}
	if err := h.readSnapshot(ctx, r, def, of); err != nil {
		return nil, err
	}
	return r, h.readEntries(ctx, r, of, pinned, upTo)
}

// readSnapshot takes the newest snapshot that can be read. One that cannot is ignored.
func (h *Host) readSnapshot(ctx context.Context, r *rebuilt, def Definition, of journal.Entity) error {
	found, err := h.cfg.Journal.Snapshots(ctx, of)
	if errors.Is(err, journal.ErrCorrupt) {
		h.log.Warn("snapshots ignored", "type", of.Type, "id", of.ID, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the snapshots: %w", err)
	}
	for _, s := range found {
		pb, image, err := shard.ReadSnapshot(s.Body)
		if err == nil && pb.GetFingerprint() != def.fingerprint() {
			continue // the state's shape has changed since
		}
		if err == nil {
			err = r.instance.restore(pb.GetState())
		}
		if err != nil {
			h.log.Warn("snapshot ignored", "type", of.Type, "id", of.ID, "entry", s.Entry, "error", err)
			r.instance = def.newInstance(of.ID, h.events[of.Type])
			continue
		}
		r.image, r.bytes, r.snapshot = image, len(pb.GetState()), len(s.Body)
		return nil
	}
	return nil
}

// readEntries folds all entries behind the image: from pages, from the pins,
// and where these leave a hole, from the log.
func (h *Host) readEntries(ctx context.Context, r *rebuilt, of journal.Entity, pinned [][]byte, upTo uint64) error {
	m := merger{r: r}
	err := h.cfg.Journal.Pages(ctx, of, r.image.Entry, func(p journal.Page) error {
		return eachPaged(p.Body, m.add)
	})
	if err != nil {
		return fmt.Errorf("read the pages: %w", err)
	}
	for _, b := range pinned {
		if err := m.add(b); err != nil {
			return err
		}
	}
	if len(m.ahead) == 0 && r.image.Entry >= upTo {
		return nil
	}
	h.log.Warn("pages have a hole; reading the log", "type", of.Type, "id", of.ID, "entry", r.image.Entry+1)
	return h.readLog(ctx, of, &m, upTo)
}

// readLog folds an entity's entries from the shard's log.
func (h *Host) readLog(ctx context.Context, of journal.Entity, m *merger, upTo uint64) error {
	at := h.shardOf(of)
	for from := uint64(1); ; {
		records, err := h.cfg.Journal.Read(ctx, at, from, readBytes)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for _, rec := range records {
			from = rec.Number + 1
			if err := rec.EachEntry(func(b []byte) error { return m.addIf(of, b) }); err != nil {
				return err
			}
		}
		if len(records) == 0 {
			break
		}
	}
	if len(m.ahead) > 0 || m.r.image.Entry < upTo {
		return brokenError{fmt.Errorf("%w: entry %d is neither in pages nor in the log of shard %d", journal.ErrCorrupt, m.r.image.Entry+1, at)}
	}
	return nil
}

// readBytes is how much of a log is read at a time.
const readBytes = 4 << 20

// merger folds entries in order, whatever order they come in, each once.
type merger struct {
	r     *rebuilt
	ahead map[uint64][]byte // entries behind a hole
	entry shard.Entry       // of add, used again
}

func (m *merger) add(b []byte) error {
	if err := m.entry.Decode(b); err != nil {
		return brokenError{err}
	}
	next := m.r.image.Entry + 1
	switch n := m.entry.Number; {
	case n < next:
		return nil
	case n > next:
		if m.ahead == nil {
			m.ahead = map[uint64][]byte{}
		}
		m.ahead[n] = slices.Clone(b)
		return nil
	}
	if err := m.r.take(&m.entry, b); err != nil {
		return err
	}
	if waiting, ok := m.ahead[next+1]; ok {
		delete(m.ahead, next+1)
		return m.add(waiting)
	}
	return nil
}

func (m *merger) addIf(of journal.Entity, b []byte) error {
	if err := m.entry.Decode(b); err != nil {
		return brokenError{err}
	}
	if string(m.entry.Type) != of.Type || string(m.entry.ID) != of.ID {
		return nil
	}
	return m.add(b)
}

// take folds the next entry.
func (r *rebuilt) take(e *shard.Entry, b []byte) error {
	if r.before != nil {
		if err := r.before(e.Version, b); err != nil {
			return err
		}
	}
	if err := r.image.Take(e); err != nil {
		return brokenError{err}
	}
	for _, ev := range e.Events {
		if err := r.instance.apply(ev.Type, ev.Payload); err != nil {
			return brokenError{fmt.Errorf("entry %d: %w", e.Number, err)}
		}
	}
	r.since += len(b)
	r.bytes += len(b) / 2
	if r.each != nil {
		return r.each(e.Version, b)
	}
	return nil
}

// eachPaged calls visit with each entry of a page.
func eachPaged(page []byte, visit func([]byte) error) error {
	for len(page) > 0 {
		tag, typ, n := protowire.ConsumeTag(page)
		if n < 0 || tag != 1 || typ != protowire.BytesType {
			return brokenError{fmt.Errorf("%w: a page that is not one", journal.ErrCorrupt)}
		}
		b, m := protowire.ConsumeBytes(page[n:])
		if m < 0 {
			return brokenError{fmt.Errorf("%w: a cut page", journal.ErrCorrupt)}
		}
		if err := visit(b); err != nil {
			return err
		}
		page = page[n+m:]
	}
	return nil
}
