package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/skerryhq/skerry/journal"
)

// ExportConfig says what is exported and where to.
type ExportConfig struct {
	// Journal is read only. If a service appends to it meanwhile, each shard is
	// cut somewhere, as a backup of a running service is. Required.
	Journal journal.Journal
	// Dir is made when missing. One that an interrupted export left is continued. Required.
	Dir string
	// Progress hears how far it is.
	Progress Progress
}

// Export writes an archive. It is complete and durable when Export returns nil. ErrComplete tells that the
// directory holds a complete archive already, ErrMismatch that what it holds is of another journal.
func Export(ctx context.Context, cfg ExportConfig) (Summary, error) {
	s, err := serviceOf(ctx, cfg.Journal)
	if err != nil {
		return Summary{}, err
	}
	if s.importing != s.imported {
		return Summary{}, fmt.Errorf("%w: it is still being imported: complete the import first", ErrMismatch)
	}
	x := &exporter{cfg: cfg, service: s}
	if err := x.prepare(); err != nil {
		return Summary{}, err
	}
	if _, x.total, err = heads(ctx, cfg.Journal, s.shards); err != nil {
		return Summary{}, err
	}
	return x.run(ctx)
}

// exporter writes one shard after the other. It is used by one goroutine.
type exporter struct {
	cfg ExportConfig
	service
	archive     string
	done, total uint64 // records
	resumed     uint64
}

// prepare looks at the directory and takes up the archive that was begun there.
func (x *exporter) prepare() error {
	if err := os.MkdirAll(x.cfg.Dir, 0o755); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(x.cfg.Dir, manifestName))
	if err == nil {
		return fmt.Errorf("%w: %s holds a complete archive: name another directory", ErrComplete, x.cfg.Dir)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for i := range x.shards {
		begun, err := x.begun(i)
		if err != nil {
			return err
		}
		if begun == nil {
			continue
		}
		x.archive = begun.Archive
		if err := begun.close(); err != nil {
			return err
		}
	}
	if x.archive == "" {
		var id [8]byte
		_, _ = rand.Read(id[:]) // never fails
		x.archive = hex.EncodeToString(id[:])
	}
	return nil
}

// begun opens what there is of a shard's file; nil if there is nothing whole.
func (x *exporter) begun(shard int) (*reader, error) {
	path := filepath.Join(x.cfg.Dir, fileName(shard))
	r, err := openFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case errors.Is(err, ErrDamaged) && tiny(path):
		return nil, nil // the header itself was cut: there is nothing to keep
	case err != nil:
		return nil, err
	}
	id := x.identity(shard)
	if id.Archive == "" {
		id.Archive = r.Archive
	}
	if r.identity != id {
		_ = r.close() // only read
		return nil, fmt.Errorf("%w: %s was begun from another journal (history %s, shard %d of %d): name another directory", ErrMismatch, path, r.History, r.Shard, r.Shards)
	}
	return r, nil
}

// tiny tells that a file has no room for a header and a record.
func tiny(path string) bool {
	const header = 256
	info, err := os.Stat(path)
	return err == nil && info.Size() < header
}

func (x *exporter) identity(shard int) identity {
	return identity{Archive: x.archive, History: x.history, Shards: x.shards, Shard: shard}
}

func (x *exporter) run(ctx context.Context) (sum Summary, err error) {
	m := &manifest{Format: manifestFormat, Archive: x.archive, History: x.history, Shards: x.shards}
	sum = Summary{Archive: x.archive, History: x.history}
	for i := range x.shards {
		file, err := x.shard(ctx, i)
		if err != nil {
			return sum, fmt.Errorf("archive: export shard %d: %w", i, err)
		}
		m.Files = append(m.Files, file)
		sum.add(file)
	}
	// The facts come last: a type of event is listed before its first event is stored.
	s, err := serviceOf(ctx, x.cfg.Journal)
	if err != nil {
		return sum, err
	}
	m.Facts, sum.Resumed = s.facts, x.resumed
	return sum, m.write(x.cfg.Dir)
}

// shard writes one shard's file, or what is missing of it.
func (x *exporter) shard(ctx context.Context, shard int) (fileEntry, error) {
	r, err := x.begun(shard)
	if err != nil {
		return fileEntry{}, err
	}
	var w *writer
	if r == nil {
		w, err = createFile(filepath.Join(x.cfg.Dir, fileName(shard)), x.identity(shard))
	} else {
		w, err = x.resume(ctx, shard, r)
	}
	if err != nil {
		return fileEntry{}, err
	}
	if err := x.copy(ctx, shard, w); err != nil {
		w.abandon()
		return fileEntry{}, err
	}
	digest, err := w.end()
	last := w.chain.last
	return fileEntry{
		Name: fileName(shard), Bytes: w.size, Records: last.Number, Events: last.NextOffset() - 1,
		LargestRecord: w.largest, TimersFromHour: last.TimersFromHour, SHA256: hex.EncodeToString(digest[:]),
	}, err
}

// resume reads what was written and cuts off what is not whole: a footer too, since the log may
// have grown. The journal must hold the last record that is kept.
func (x *exporter) resume(ctx context.Context, shard int, r *reader) (*writer, error) {
	for {
		_, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, ErrDamaged) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = r.close() // only read
			return nil, err
		}
		x.done++
		x.resumed++
		x.cfg.Progress.tell(x.done, x.total)
	}
	if last := r.chain.last; last.Number > 0 {
		slot, err := x.cfg.Journal.Tail(ctx, uint32(shard), last.Number)
		if err == nil && slot.Holder.Batch != last.Batch {
			err = fmt.Errorf("%w: record %d in the journal is not the one in %s: name another directory", ErrMismatch, last.Number, r.file.Name())
		}
		if err != nil {
			_ = r.close() // only read
			return nil, err
		}
	}
	return continueFile(r)
}

// copy adds what the log has behind the last record written.
func (x *exporter) copy(ctx context.Context, shard int, w *writer) error {
	for {
		records, err := x.cfg.Journal.Read(ctx, uint32(shard), w.chain.last.Number+1, readBytes)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		for _, rec := range records {
			// The journal may not have looked at it; a damaged record must not get a checksum of ours.
			parsed, err := journal.ParseRecord(rec.Body)
			if err != nil {
				return err
			}
			if err := w.add(parsed); err != nil {
				return err
			}
			x.done++
			x.cfg.Progress.tell(x.done, x.total)
		}
	}
}
