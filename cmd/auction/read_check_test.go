package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// compareFiles compares journal and read model as a process has left them, dead or alive: the
// tables must be the fold of exactly the events that they say they have seen, all of which are in the journal. It
// works on a copy, so that the next process finds what the last one left. It returns how
// many events the tables have not seen yet.
func compareFiles(t *testing.T, data string, open func(dir string) (journal.Journal, error)) (behind uint64) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "copy")
	must(os.CopyFS(dir, os.DirFS(data)))
	defer func() { must(os.RemoveAll(dir)) }()
	j, err := open(dir)
	must(err)
	defer func() { must(j.Close()) }()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "catalogue.db"), Steps: catalogue.Steps()})
	must(err)
	defer func() { must(db.Close()) }()
	lots := catalogue.New(db.Write(), db.Read(), "")
	defer func() { must(lots.Close()) }()

	at := position(t, db)
	is, err := cataloguetest.Fold(t.Context(), patientReader{j}.Read, killShards, &at)
	must(err)
	for _, o := range at.Offsets {
		if head := is.Offsets[o.Shard]; o.Offset > head {
			t.Errorf("the tables have seen offset %d of shard %d, the log ends at %d", o.Offset, o.Shard, head)
		}
	}
	for shard, head := range is.Offsets {
		behind += head - at.Offset(shard)
	}
	problems, err := is.Compare(t.Context(), lots)
	must(err)
	for _, p := range problems {
		t.Errorf("at %v: %s", at, p)
	}
	return behind
}

// patientReader reads a log again while the database is too busy to answer.
type patientReader struct{ from journal.Log }

func (r patientReader) Read(ctx context.Context, shard uint32, next uint64, maxBytes int) ([]journal.Record, error) {
	for end := time.Now().Add(patience); ; <-time.After(100 * time.Millisecond) {
		records, err := r.from.Read(ctx, shard, next, maxBytes)
		if err == nil || errors.Is(err, journal.ErrCorrupt) || time.Now().After(end) {
			return records, err
		}
	}
}

func position(t *testing.T, db tables) journal.Token {
	t.Helper()
	tx, err := db.Read().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	at, err := readside.ReadPosition(t.Context(), tx, catalogue.Name)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
