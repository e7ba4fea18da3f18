package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/skerryhq/skerry/journal"
)

// VerifyConfig says what is checked. Zero fields mean the defaults named here.
type VerifyConfig struct {
	// Journal is read only. A service may append to it meanwhile. Required.
	Journal journal.Journal
	// MaxFindings bounds Report.Findings; 100 by default.
	MaxFindings int
	// Progress hears how many records of the logs were read.
	Progress Progress
}

const defaultFindings = 100

// Verify walks every log and holds it against itself, and pages, snapshots and timer index
// against it:
//
//   - records, offsets and entries are dense, epochs never fall, the writer is the last claimant,
//     checksums match, counts of events and versions are right;
//   - every entry up to the flush position is in a page, and every entry in a page is the log's, byte for byte;
//   - snapshots decode, and their record holds the entry that they stand at, of this entity, with that version;
//   - every pending timer up to the flush position is in the index, and none is due before the hour
//     from which owners look.
//
// A service that goes on meanwhile is not mistaken for damage: how far pages must reach is asked before the log is read, and whatever
// is derived of more than was read of the log makes Verify read on there first, since it was committed before. Records
// appended behind that are not looked at.
//
// Pages and snapshots of entities that are in no log are not seen. One shard is checked at a time; memory
// holds its entities' ids with a few numbers each, its pending timers up to a limit, the entries behind its flush position as
// a number each, and those of one entity. The error tells that it could not be checked to the end; damage is in the report.
func Verify(ctx context.Context, cfg VerifyConfig) (*Report, error) {
	s, err := serviceOf(ctx, cfg.Journal)
	if err != nil {
		return nil, err
	}
	v := &verifier{cfg: cfg, limit: cfg.MaxFindings}
	if v.limit == 0 {
		v.limit = defaultFindings
	}
	if _, v.total, err = heads(ctx, cfg.Journal, s.shards); err != nil {
		return nil, err
	}
	v.report = Report{Shards: s.shards, Findings: []Finding{}, Unchecked: []string{}}
	if s.importing != s.imported {
		v.find(Finding{What: "the import of archive " + s.importing + " is not complete"})
	}
	for i := range s.shards {
		if err := v.shard(ctx, i); err != nil {
			return nil, fmt.Errorf("archive: verify shard %d: %w", i, err)
		}
	}
	return &v.report, nil
}

// verifier checks one shard after the other. It is used by one goroutine.
type verifier struct {
	cfg         VerifyConfig
	limit       int
	report      Report
	done, total uint64
}

func (v *verifier) find(f Finding) {
	if len(v.report.Findings) >= v.limit {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

func (v *verifier) shard(ctx context.Context, number int) error {
	head, err := v.cfg.Journal.Head(ctx, uint32(number))
	if err != nil {
		return err
	}
	w := &walk{verifier: v, shard: number, head: head, entities: map[journal.Entity]*known{}, pending: newPending(-1 << 62)}
	if err := w.behind(head.Last); err != nil {
		return err
	}
	if err := w.log(ctx); err != nil {
		return err
	}
	if !w.damaged {
		if err := w.derived(ctx); err != nil {
			return err
		}
	}
	v.report.Events += w.chain.last.NextOffset() - 1
	v.report.Entities += uint64(len(w.entities))
	v.report.Timers += uint64(len(w.pending.timers))
	if w.damaged {
		v.report.Unchecked = append(v.report.Unchecked, fmt.Sprintf("shard %d: pages, snapshots and timers, since its log is damaged", number))
	}
	return nil
}

// corrupt tells damage from trouble that may pass.
func corrupt(err error) bool { return errors.Is(err, journal.ErrCorrupt) }
