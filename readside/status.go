package readside

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// Status tells operators how each processor is doing, on all shards: of those that other nodes follow (their state is
// "elsewhere") how far they are and what is parked, as the database has it. Counts of events and errors are this node's.
func (r *Runner) Status(ctx context.Context) (*adminv1.Processors, error) {
	all := &adminv1.Processors{}
	for _, w := range r.order {
		all.Processors = append(all.Processors, w.status(ctx, time.Now()))
	}
	return all, ctx.Err()
}

func (w *worker) status(ctx context.Context, now time.Time) *adminv1.Processor {
	abroad, unknown := w.elsewhere(ctx)
	p := w.state()
	if unknown != nil && p.GetReason() == "" {
		p.Reason = cutText("how far other nodes are is not known: " + unknown.Error())
	}
	for _, l := range w.lanes {
		head, _ := w.cfg.Source.Head(l.shard)
		s := w.shardStatus(l, head)
		switch at := abroad[l.shard]; {
		case s.GetState() == passive.String() && !toldElsewhere(s, abroad, head):
			continue
		case at != nil: // a retry by way of another node may have ended some
			s.ParkedEntities, s.ParkedCommands = int64(len(at.parked)), int64(at.rows)
		}
		behind := int64(s.GetHeadOffset() - s.GetOffset()) //nolint:gosec // both count events
		if behind > 0 {
			s.LagMs = w.lag(ctx, l, s.GetRecord()+1, now).Milliseconds()
			p.LagEvents += uint64(behind)
		}
		p.LagMs = max(p.GetLagMs(), s.GetLagMs())
		p.HandledEvents += s.GetHandledEvents()
		p.Errors += s.GetErrors()
		p.ParkedEntities += s.GetParkedEntities()
		p.ParkedCommands += s.GetParkedCommands()
		p.Shards = append(p.Shards, s)
	}
	return p
}

// statusPatience bounds how long a status waits for a processor's database.
const statusPatience = 2 * time.Second

// elsewhere reads how far other nodes are; nil if all shards are followed here.
func (w *worker) elsewhere(ctx context.Context) (map[uint32]*loaded, error) {
	w.mu.Lock()
	away := slices.ContainsFunc(w.lanes, func(l *lane) bool { return l.phase == passive })
	w.mu.Unlock()
	if !away {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	found, paused, err := w.store.loadAll(ctx, nil)
	if err != nil {
		return nil, err
	}
	if paused {
		w.notePaused(true)
	}
	return found, nil
}

// toldElsewhere fills in what the database has of a shard; false if that is not known.
func toldElsewhere(s *adminv1.ProcessorShard, of map[uint32]*loaded, head journal.Header) bool {
	if of == nil {
		return false
	}
	at := of[s.GetShard()]
	if at == nil {
		at = &loaded{}
	}
	s.Record, s.Offset, s.Epoch = at.record, at.offset, at.epoch
	s.HeadOffset = max(head.NextOffset(), at.offset+1) - 1
	return true
}

func (w *worker) state() *adminv1.Processor {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &adminv1.Processor{Name: w.name, State: "running"}
	switch {
	case w.reason != "":
		p.State, p.Reason = "halted", cutText(w.reason)
	case w.paused:
		p.State, p.Reason = "paused", "by an operator"
	case w.awayErr != nil:
		p.State, p.Reason = "waiting", cutText(w.awayErr.Error())
	}
	for _, l := range w.lanes {
		p.SlowHandlers += l.shown.slow
	}
	return p
}

func (w *worker) shardStatus(l *lane, head journal.Header) *adminv1.ProcessorShard {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &adminv1.ProcessorShard{
		Shard: l.shard, State: l.phase.String(), Reason: cutText(l.reason), Record: l.shown.record, Offset: l.shown.offset, Epoch: l.shown.epoch,
		HeadOffset: max(head.NextOffset()-1, l.shown.offset), HandledEvents: l.shown.handled, Errors: l.shown.errors,
		ParkedEntities: int64(l.shown.parkedEntities), ParkedCommands: int64(l.shown.parkedCommands),
		LastError: cutText(l.shown.lastError), LastErrorAt: timestamp(l.shown.lastErrorAt), RetryAt: timestamp(l.shown.retryAt),
	}
	if l.phase == following && l.readFail > 0 {
		s.State, s.Reason = "retrying", "its log cannot be read now"
	}
	if l.phase == following && l.shown.failing != "" {
		s.State, s.Reason = "retrying", cutText(l.shown.failing)
	}
	return s
}

// lag is the age of the oldest event that is not handled: that of the record that holds it.
func (w *worker) lag(ctx context.Context, l *lane, record uint64, now time.Time) time.Duration {
	w.mu.Lock()
	oldest := l.shown.oldest
	if l.phase == passive {
		oldest = time.Time{}
	}
	w.mu.Unlock()
	if oldest.IsZero() {
		next, err := w.cfg.Source.Records(ctx, l.shard, record, 1)
		if err != nil || len(next) == 0 {
			return 0
		}
		oldest = time.Unix(0, next[0].Time)
	}
	return max(now.Sub(oldest), 0)
}

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// maxListed bounds the parked entities that are listed.
const maxListed = 1000

// Parked lists the entities that a processor has parked, oldest first.
func (r *Runner) Parked(ctx context.Context, processor string) (*adminv1.ParkedEntities, error) {
	w, err := r.worker(processor)
	if err != nil {
		return nil, err
	}
	list, err := w.store.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("readside: read what processor %s has parked: %w", processor, err)
	}
	return list, nil
}

func (s *store) list(ctx context.Context) (*adminv1.ParkedEntities, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }()
	text := `SELECT f.entity_type, f.entity_id, f.shard, f.record, f."offset", f.error, f.attempts, f.since, b.commands
		FROM skerry_parked f JOIN (
			SELECT shard, entity_type, entity_id, MIN("offset") AS first, COUNT(*) AS commands FROM skerry_parked
			WHERE processor = $1 GROUP BY shard, entity_type, entity_id) b
		ON f.shard = b.shard AND f."offset" = b.first
		WHERE f.processor = $1 ORDER BY f.since, f.shard, f."offset" LIMIT $2`
	list := &adminv1.ParkedEntities{}
	err = each(ctx, tx, text, []any{s.processor, maxListed + 1}, func(rows *sql.Rows) error {
		e := &adminv1.ParkedEntity{}
		var since int64
		if err := rows.Scan(&e.Type, &e.Id, &e.Shard, &e.Record, &e.Offset, &e.Error, &e.Attempts, &since, &e.Commands); err != nil {
			return err
		}
		e.Error = cutText(e.GetError()) // an older release stored it as it came
		e.Since = timestamppb.New(time.UnixMilli(since))
		list.Entities = append(list.Entities, e)
		return nil
	})
	if len(list.Entities) > maxListed {
		list.Entities, list.Cut = list.Entities[:maxListed], true
	}
	return list, err
}
