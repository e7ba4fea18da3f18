package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// ImportConfig says what is imported and where to. Zero fields mean the defaults named here.
type ImportConfig struct {
	// Journal must be empty, or hold what an interrupted import of the same archive left.
	// Nobody else may write to it meanwhile. Required.
	Journal journal.Journal
	// Dir is the directory of a complete archive. Required.
	Dir string
	// SameHistory keeps the archive's history, for a move after which the source is never
	// used again. Without it the journal gets a history of its own.
	SameHistory bool
	// Parallel is how many shards are imported at a time; 16 by default.
	Parallel int
	// Progress hears how far it is.
	Progress Progress
}

const defaultParallel = 16

// Import fills a journal from an archive: logs, pages, timer index and settled facts. All is durable when
// it returns nil. After any error it may be called again.
func Import(ctx context.Context, cfg ImportConfig) (Summary, error) {
	if cfg.Parallel < 0 {
		return Summary{}, fmt.Errorf("archive: ImportConfig.Parallel is %d: it must not be negative", cfg.Parallel)
	}
	m, err := readManifest(cfg.Dir)
	if err != nil {
		return Summary{}, err
	}
	var sum Summary
	for _, f := range m.Files {
		sum.add(f)
	}
	im := &importer{cfg: cfg, manifest: m, total: sum.Records}
	if err := im.checkRecords(); err != nil {
		return Summary{}, err
	}
	history, err := im.begin(ctx)
	if err != nil {
		return Summary{}, err
	}
	if err := im.shards(ctx); err != nil {
		return Summary{}, err
	}
	if err := im.finish(ctx); err != nil {
		return Summary{}, err
	}
	sum.Archive, sum.History, sum.Resumed = m.Archive, history, im.resumed
	return sum, nil
}

// importer fills one journal.
type importer struct {
	cfg      ImportConfig
	manifest *manifest

	total         uint64     // records
	mu            sync.Mutex // guards the rest, and calls of Progress
	done, resumed uint64     // records
}

// checkRecords refuses records that the journal cannot take, before anything is stored.
func (im *importer) checkRecords() error {
	limited, ok := im.cfg.Journal.(journal.Limited)
	if !ok {
		return nil
	}
	for i, f := range im.manifest.Files {
		if f.LargestRecord > limited.MaxRecord() {
			return fmt.Errorf("%w: shard %d has a record of %d bytes, the journal takes at most %d: raise its limit", ErrMismatch, i, f.LargestRecord, limited.MaxRecord())
		}
	}
	return nil
}

// begin marks the journal, or finds the mark of the same archive, and settles what the logs stand on. It
// returns the journal's history.
func (im *importer) begin(ctx context.Context) (string, error) {
	if err := im.checkTarget(ctx); err != nil {
		return "", err
	}
	if err := im.settle(ctx, journal.ImportingFact, im.manifest.Archive); err != nil {
		return "", err
	}
	if err := im.settle(ctx, shardsFact, strconv.Itoa(im.manifest.Shards)); err != nil {
		return "", err
	}
	want := im.manifest.History
	if !im.cfg.SameHistory {
		var fresh [8]byte
		_, _ = rand.Read(fresh[:]) // never fails
		want = hex.EncodeToString(fresh[:])
	}
	history, err := im.cfg.Journal.Settle(ctx, historyFact, want)
	switch {
	case err != nil:
		return "", fmt.Errorf("archive: settle the history: %w", err)
	case im.cfg.SameHistory && history != want:
		return "", fmt.Errorf("%w: the import began with a new history: go on without the same history", ErrMismatch)
	case !im.cfg.SameHistory && history == im.manifest.History:
		return "", fmt.Errorf("%w: the import began with the same history: go on with the same history", ErrMismatch)
	}
	return history, nil
}

// checkTarget refuses a journal that is neither empty nor marked by this archive.
func (im *importer) checkTarget(ctx context.Context) error {
	s, err := readService(func(visit func(name, value string) error) error { return im.cfg.Journal.Settled(ctx, "", visit) })
	if err != nil {
		return fmt.Errorf("archive: read the settled facts: %w", err)
	}
	switch {
	case s.imported == im.manifest.Archive:
		return fmt.Errorf("%w: the journal holds this archive", ErrComplete)
	case s.importing == im.manifest.Archive:
		return nil
	case s.importing != s.imported:
		return fmt.Errorf("%w: the journal is marked by the import of archive %s, this is %s", ErrMismatch, s.importing, im.manifest.Archive)
	case s.history != "" || s.shards != 0 || len(s.facts) > 0:
		return fmt.Errorf("%w: a service has used it (history %s): name a journal that does not exist yet", ErrNotEmpty, s.history)
	}
	_, records, err := heads(ctx, im.cfg.Journal, im.manifest.Shards)
	if err == nil && records > 0 {
		err = fmt.Errorf("%w: its logs hold %d records: name a journal that does not exist yet", ErrNotEmpty, records)
	}
	return err
}

// settle settles a fact that nobody may have settled otherwise.
func (im *importer) settle(ctx context.Context, name, value string) error {
	stored, err := im.cfg.Journal.Settle(ctx, name, value)
	if err != nil {
		return fmt.Errorf("archive: settle %q: %w", name, err)
	}
	if stored != value {
		return fmt.Errorf("%w: %q is settled as %q, the archive says %q: has somebody else used the journal?", ErrMismatch, name, stored, value)
	}
	return nil
}

// finish settles the facts, and at last that the import is complete.
func (im *importer) finish(ctx context.Context) error {
	for _, f := range im.manifest.Facts {
		if err := im.settle(ctx, f.Name, f.Value); err != nil {
			return err
		}
	}
	return im.settle(ctx, journal.ImportedFact, im.manifest.Archive)
}

// shards imports all shards, a few at a time, and returns when none is under way.
func (im *importer) shards(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parallel := im.cfg.Parallel
	if parallel == 0 {
		parallel = defaultParallel
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(parallel, im.manifest.Shards) {
		workers.Go(func() {
			for shard := range next {
				if err := im.shard(ctx, shard); err != nil {
					cancel(fmt.Errorf("archive: import shard %d: %w", shard, err))
				}
			}
		})
	}
	for shard := 0; shard < im.manifest.Shards && ctx.Err() == nil; shard++ {
		next <- shard
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// shard imports what the journal does not have of one shard.
func (im *importer) shard(ctx context.Context, shard int) error {
	r, err := openFile(filepath.Join(im.cfg.Dir, fileName(shard)))
	if err != nil {
		return err
	}
	defer func() { _ = r.close() }() // only read
	id := identity{im.manifest.Archive, im.manifest.History, im.manifest.Shards, shard}
	if r.identity != id {
		return fmt.Errorf("%w: %s is of archive %s, shard %d; want archive %s, shard %d", ErrDamaged, r.file.Name(), r.Archive, r.Shard, id.Archive, shard)
	}
	head, err := im.cfg.Journal.Head(ctx, uint32(shard))
	if err != nil {
		return err
	}
	if err := im.fill(ctx, shard, head.Last, r); err != nil {
		return err
	}
	return im.checkEnd(ctx, shard, r)
}

// fill appends the records behind last.
func (im *importer) fill(ctx context.Context, shard int, last journal.Header, r *reader) error {
	b := newBatch(uint32(shard), newPending(im.manifest.Files[shard].TimersFromHour))
	for {
		rec, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && r.chain.last.Number < last.Number:
			return fmt.Errorf("%w: the journal's log has %d records, the archive's %d", ErrMismatch, last.Number, r.chain.last.Number)
		case errors.Is(err, io.EOF):
			return im.store(ctx, b)
		case err != nil:
			return err
		case rec.Number < last.Number:
			err = im.skip(b, rec)
		case rec.Number == last.Number && rec.Batch != last.Batch:
			err = fmt.Errorf("%w: record %d of the journal is not the archive's", ErrMismatch, rec.Number)
		case rec.Number == last.Number:
			err = im.skip(b, rec)
		default:
			err = b.add(rec)
		}
		if err == nil && b.full() {
			err = im.store(ctx, b)
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

func (im *importer) skip(b *batch, rec journal.Record) error {
	im.count(1, 1)
	return b.skip(rec)
}

func (im *importer) count(done, resumed uint64) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.done += done
	im.resumed += resumed
	im.cfg.Progress.tell(im.done, im.total)
}

// store writes what is derived first: nobody may serve from this journal yet, and so each record's header is
// right about the pages from the moment on that it is stored. Who goes on after this was cut off writes
// the same again.
func (im *importer) store(ctx context.Context, b *batch) error {
	if len(b.derived.Pages) > 0 || len(b.derived.Arms) > 0 || len(b.derived.Disarms) > 0 {
		err := again(ctx, func() error { return im.cfg.Journal.Derive(ctx, b.derived) })
		if err != nil {
			return fmt.Errorf("write pages and timers: %w", err)
		}
	}
	for _, rec := range b.records {
		if err := im.append(ctx, b.derived.Shard, rec); err != nil {
			return err
		}
		im.count(1, 0)
	}
	b.clear()
	return nil
}

// append appends the record until its slot is taken, by it.
func (im *importer) append(ctx context.Context, shard uint32, rec journal.Record) error {
	return again(ctx, func() error {
		slot, err := im.cfg.Journal.Append(ctx, shard, rec)
		if err == nil && slot.Holder.Batch != rec.Batch {
			err = fmt.Errorf("%w: slot %d holds another record, of %q: somebody else writes to the journal", ErrMismatch, rec.Number, slot.Holder.Writer)
		}
		return err
	})
}

const (
	attempts     = 8
	firstBackoff = 50 * time.Millisecond
)

// again repeats a write whose outcome is unknown.
func again(ctx context.Context, do func() error) error {
	for attempt := 0; ; attempt++ {
		err := do()
		final := errors.Is(err, journal.ErrRefused) || errors.Is(err, journal.ErrInvalid) || errors.Is(err, journal.ErrClosed) ||
			errors.Is(err, journal.ErrCorrupt) || errors.Is(err, ErrMismatch)
		if err == nil || final || attempt == attempts || !sleep(ctx, firstBackoff<<attempt) {
			return err
		}
	}
}

// sleep reports whether the time passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// checkEnd holds what was read against the manifest and tells the journal how far its pages reach.
func (im *importer) checkEnd(ctx context.Context, shard int, r *reader) error {
	f, last := im.manifest.Files[shard], r.chain.last
	if last.Number != f.Records || last.NextOffset()-1 != f.Events || last.TimersFromHour != f.TimersFromHour || hex.EncodeToString(r.digest[:]) != f.SHA256 {
		return fmt.Errorf("%w: %s is not the file that the manifest names", ErrDamaged, r.file.Name())
	}
	d := journal.Derived{Shard: uint32(shard), UpTo: last.Number}
	return again(ctx, func() error { return im.cfg.Journal.Derive(ctx, d) })
}
