package entity

import (
	"context"
	"fmt"

	"github.com/skerryhq/skerry/entity/internal/shard"
)

// completeList makes sure that all that the logs hold is listed.
func (h *Host) completeList(ctx context.Context) error {
	complete := false
	err := h.cfg.Journal.Settled(ctx, listedFact, func(name, _ string) error {
		complete = complete || name == listedFact
		return nil
	})
	if err != nil {
		return fmt.Errorf("entity: read whether the journal's events are listed: %w", err)
	}
	if complete {
		return nil
	}
	if err := h.listLogs(ctx); err != nil {
		return fmt.Errorf("entity: list the events of a journal that has no list yet: %w", err)
	}
	if _, err := h.cfg.Journal.Settle(ctx, listedFact, factValue); err != nil {
		return fmt.Errorf("entity: settle that the journal's events are listed: %w", err)
	}
	return nil
}

// listLogs reads all logs and lists what they hold.
func (h *Host) listLogs(ctx context.Context) error {
	s := lister{host: h}
	for i := range h.cfg.Shards {
		head, err := h.cfg.Journal.Head(ctx, uint32(i))
		if err != nil {
			return fmt.Errorf("read the head of shard %d: %w", i, err)
		}
		s.total += head.Last.Number
	}
	if s.total == 0 {
		return nil
	}
	h.log.Info("listing the events of a journal of an earlier release; this reads its logs, once", "records", s.total)
	for i := range h.cfg.Shards {
		if err := s.readShard(ctx, uint32(i)); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
	}
	h.log.Info("the journal's events are listed", "records", s.read, "events", s.pairs)
	return nil
}

// lister lists what it reads in logs. It remembers what it has listed, to settle it once.
type lister struct {
	host        *Host
	total, read uint64 // records
	pairs       int
	seen        map[string]map[string]bool // by type, then event; at most maxNames pairs
	entry       shard.Entry
}

// progressRecords is how many records are read between two lines in the log.
const progressRecords = 500_000

func (s *lister) readShard(ctx context.Context, number uint32) error {
	for from := uint64(1); ; {
		records, err := s.host.cfg.Journal.Read(ctx, number, from, readBytes)
		if err != nil || len(records) == 0 {
			return err
		}
		for _, rec := range records {
			if err := rec.EachEntry(func(b []byte) error { return s.readEntry(ctx, b) }); err != nil {
				return fmt.Errorf("record %d: %w", rec.Number, err)
			}
			from = rec.Number + 1
			if s.read++; s.read%progressRecords == 0 {
				s.host.log.Info("listing the journal's events", "records", s.read, "of", s.total)
			}
		}
	}
}

func (s *lister) readEntry(ctx context.Context, b []byte) error {
	if err := s.entry.Decode(b); err != nil {
		return err
	}
	for _, ev := range s.entry.Events {
		if s.seen[string(s.entry.Type)][string(ev.Type)] {
			continue
		}
		if err := s.list(ctx, string(s.entry.Type), string(ev.Type)); err != nil {
			return err
		}
	}
	return nil
}

func (s *lister) list(ctx context.Context, typ, event string) error {
	if _, err := s.host.cfg.Journal.Settle(ctx, eventFactOf(typ, event), factValue); err != nil {
		return fmt.Errorf("list %s of type %q: %w", event, typ, err)
	}
	if s.pairs%maxNames == 0 {
		s.seen = map[string]map[string]bool{} // a service has a few dozen; this many are settled again
	}
	s.pairs++
	if s.seen[typ] == nil {
		s.seen[typ] = map[string]bool{}
	}
	s.seen[typ][event] = true
	return nil
}
