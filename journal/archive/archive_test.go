package archive

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

func TestAnArchiveCarriesAJournalIntoAnother(t *testing.T) {
	t.Parallel()
	from := newSample(t, 1, 3, 40)
	dir := exported(t, from)
	for name, open := range map[string]func() (journal.Journal, error){
		"memory": func() (journal.Journal, error) { return journal.NewMemory(), nil },
		"pebble": func() (journal.Journal, error) {
			return pebble.Open(pebble.Config{Dir: filepath.Join(t.TempDir(), "journal"), MinFree: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if err := imported(t.Context(), to, dir); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, to, from)
			for i := range from.shards {
				if head, err := to.Head(t.Context(), uint32(i)); err != nil || head.Flushed != head.Last.Number {
					t.Errorf("shard %d: %+v, %v: want all flushed", i, head, err)
				}
			}
			if err := imported(t.Context(), to, dir); !errors.Is(err, ErrComplete) {
				t.Errorf("once more: %v", err)
			}
			wantEqual(t, from2(t, to), from) // and on from there
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// from2 is what an archive of j gives.
func from2(t *testing.T, j journal.Journal) journal.Journal {
	t.Helper()
	to := journal.NewMemory()
	if err := imported(t.Context(), to, exported(t, j)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestTheHistoryIsKeptOnRequestOnly(t *testing.T) {
	t.Parallel()
	from, to := newSample(t, 2, 1, 10), journal.NewMemory()
	dir := exported(t, from)
	sum, err := Import(t.Context(), ImportConfig{Journal: to, Dir: dir, SameHistory: true})
	if err != nil || sum.History != "h2" || factsOf(t, to)["history"] != "h2" {
		t.Fatalf("%+v, %v", sum, err)
	}
	// One that was begun in one way is not ended in the other.
	for _, same := range []bool{true, false} {
		j := &endsAfter{Journal: journal.NewMemory()}
		j.left.Store(8)
		if _, err := Import(t.Context(), ImportConfig{Journal: j, Dir: dir, SameHistory: same}); err == nil {
			t.Fatal("it did not end")
		}
		j.left.Store(1000)
		if _, err := Import(t.Context(), ImportConfig{Journal: j, Dir: dir, SameHistory: !same}); !errors.Is(err, ErrMismatch) {
			t.Errorf("same history %v, then %v: %v", same, !same, err)
		}
	}
}

func TestOnlyAnEmptyJournalIsFilled(t *testing.T) {
	t.Parallel()
	dir, other := exported(t, newSample(t, 3, 2, 6)), exported(t, newSample(t, 4, 2, 6))
	used := newSample(t, 5, 2, 1)
	if err := imported(t.Context(), used, dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a service's: %v", err)
	}
	logs := journal.NewMemory()
	if _, err := logs.Append(t.Context(), 1, journal.NewRecord(journal.Header{Number: 1, Epoch: 1, Claim: true, FirstOffset: 1}, nil)); err != nil {
		t.Fatal(err)
	}
	if err := imported(t.Context(), logs, dir); !errors.Is(err, ErrNotEmpty) || len(factsOf(t, logs)) > 0 {
		t.Errorf("into logs without facts: %v, %v", err, factsOf(t, logs))
	}
	begun := &endsAfter{Journal: journal.NewMemory()}
	begun.left.Store(12)
	if err := imported(t.Context(), begun, dir); err == nil {
		t.Fatal("it did not end")
	}
	if archive, err := journal.Importing(t.Context(), begun.Journal); archive == "" || err != nil {
		t.Errorf("marked by %q, %v", archive, err)
	}
	if err := imported(t.Context(), begun.Journal, other); !errors.Is(err, ErrMismatch) {
		t.Errorf("another archive: %v", err)
	}
	if _, err := Export(t.Context(), ExportConfig{Journal: begun.Journal, Dir: t.TempDir()}); !errors.Is(err, ErrMismatch) {
		t.Errorf("export of half a journal: %v", err)
	}
	if r, err := Verify(t.Context(), VerifyConfig{Journal: begun.Journal}); err != nil || len(r.Findings) != 1 {
		t.Errorf("verify of half a journal: %+v, %v", r, err)
	}
	if _, err := Export(t.Context(), ExportConfig{Journal: journal.NewMemory(), Dir: t.TempDir()}); !errors.Is(err, ErrNoService) {
		t.Errorf("export of nothing: %v", err)
	}
}

// endsAfter is a journal whose process ends after some writes.
type endsAfter struct {
	journal.Journal
	left atomic.Int64
}

var errEnded = errors.Join(errors.New("the process ends here"), journal.ErrClosed)

func (j *endsAfter) write() error {
	if j.left.Add(-1) < 0 {
		return errEnded
	}
	return nil
}

func (j *endsAfter) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	if err := j.write(); err != nil {
		return journal.Slot{}, err
	}
	return j.Journal.Append(ctx, shard, rec)
}

func (j *endsAfter) Derive(ctx context.Context, d journal.Derived) error {
	if err := j.write(); err != nil {
		return err
	}
	return j.Journal.Derive(ctx, d)
}

func (j *endsAfter) Settle(ctx context.Context, name, value string) (string, error) {
	if err := j.write(); err != nil {
		return "", err
	}
	return j.Journal.Settle(ctx, name, value)
}

func TestAnImportThatEndsAnywhereGoesOn(t *testing.T) {
	t.Parallel()
	from := newSample(t, 6, 2, 12)
	dir := exported(t, from)
	for writes := int64(0); ; writes++ {
		j := &endsAfter{Journal: journal.NewMemory()}
		j.left.Store(writes)
		err := imported(t.Context(), j, dir)
		if err == nil {
			if writes < 24 {
				t.Fatalf("%d writes were enough", writes)
			}
			return
		}
		if !errors.Is(err, errEnded) {
			t.Fatal(err)
		}
		if archive, err := journal.Importing(t.Context(), j.Journal); err != nil || archive == "" && writes > 0 {
			t.Fatalf("after %d writes it is not marked (%v)", writes, err)
		}
		if writes > 3 {
			wantWhole(t, j.Journal, writes)
		}
		if err := imported(t.Context(), j.Journal, dir); err != nil {
			t.Fatalf("after %d writes: %v", writes, err)
		}
		wantEqual(t, j.Journal, from)
	}
}

// wantWhole holds half a journal against itself: its headers are right about the pages at every moment. Pages and
// timer index may be ahead of the log, and the index then lacks what a record to come disarms.
func wantWhole(t *testing.T, j journal.Journal, writes int64) {
	t.Helper()
	r, err := Verify(t.Context(), VerifyConfig{Journal: j})
	if err != nil || len(r.Findings) == 0 {
		t.Fatalf("after %d writes: %+v, %v", writes, r, err)
	}
	for _, f := range r.Findings {
		allowed := func(what string) bool { return strings.Contains(f.What, what) }
		if !allowed("is not complete") && !allowed("; the log ends with entry") && !allowed("is not in the index") {
			t.Fatalf("after %d writes: %v", writes, f)
		}
	}
}

// losesAnswers is a journal of whose appends every other answer is lost, before or after it is stored.
type losesAnswers struct {
	journal.Journal
	appends atomic.Int64
}

func (j *losesAnswers) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	switch j.appends.Add(1) % 4 {
	case 1:
		return journal.Slot{}, errors.New("no answer")
	case 3:
		_, err := j.Journal.Append(ctx, shard, rec)
		return journal.Slot{}, errors.Join(err, errors.New("no answer"))
	}
	return j.Journal.Append(ctx, shard, rec)
}

func TestAnImportOutlivesLostAnswers(t *testing.T) {
	t.Parallel()
	from := newSample(t, 7, 1, 6)
	to := &losesAnswers{Journal: journal.NewMemory()}
	if err := imported(t.Context(), to, exported(t, from)); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, to, from)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// everyByte is 1, or more where time is short.
func everyByte() int {
	if testing.Short() {
		return 11
	}
	return 1
}

// A process that ends while it exports leaves a file of any length.
func TestAnExportThatEndsAnywhereGoesOn(t *testing.T) {
	t.Parallel()
	from := newSample(t, 8, 2, 5)
	dir := exported(t, from)
	manifest, files := filepath.Join(dir, manifestName), []string{filepath.Join(dir, fileName(0)), filepath.Join(dir, fileName(1))}
	wantManifest, want := read(t, manifest), [][]byte{read(t, files[0]), read(t, files[1])}
	for length := 0; length <= len(want[1]); length += everyByte() {
		if err := os.Remove(manifest); err != nil {
			t.Fatal(err)
		}
		write(t, files[1], want[1][:length])
		if _, err := Export(t.Context(), ExportConfig{Journal: from, Dir: dir}); err != nil {
			t.Fatalf("behind %d bytes: %v", length, err)
		}
		if !bytes.Equal(read(t, manifest), wantManifest) || !bytes.Equal(read(t, files[0]), want[0]) || !bytes.Equal(read(t, files[1]), want[1]) {
			t.Fatalf("behind %d bytes: another archive", length)
		}
	}
}

func TestAnExportGoesOnBehindAJournalThatHasGrown(t *testing.T) {
	t.Parallel()
	from := newSample(t, 9, 1, 8)
	dir := exported(t, from)
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil {
		t.Fatal(err)
	}
	head, err := from.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	claim := journal.Header{Number: 9, Epoch: head.Last.Epoch + 1, Claim: true, FirstOffset: head.Last.NextOffset(), Batch: journal.NewBatch()}
	if _, err := from.Append(t.Context(), 0, journal.NewRecord(claim, nil)); err != nil {
		t.Fatal(err)
	}
	sum, err := Export(t.Context(), ExportConfig{Journal: from, Dir: dir})
	if err != nil || sum.Records != 9 || sum.Resumed != 8 {
		t.Fatalf("%+v, %v", sum, err)
	}
	to := journal.NewMemory()
	if err := imported(t.Context(), to, dir); err != nil || !sameLogs(t, from, to, 1) {
		t.Fatalf("imported: %v", err)
	}
}

func TestAnExportDoesNotMixJournals(t *testing.T) {
	t.Parallel()
	from := newSample(t, 10, 1, 8)
	dir := exported(t, from)
	if _, err := Export(t.Context(), ExportConfig{Journal: from, Dir: dir}); !errors.Is(err, ErrComplete) {
		t.Errorf("into a complete archive: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil {
		t.Fatal(err)
	}
	// The same history, as a copied directory has it, but other records (batch ids are random).
	for name, other := range map[string]*sample{"history": newSample(t, 11, 1, 8), "record": newSample(t, 10, 1, 8)} {
		if _, err := Export(t.Context(), ExportConfig{Journal: other, Dir: dir}); !errors.Is(err, ErrMismatch) {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

// Each byte of an archive is cut off with all behind it, then flipped in several ways.
func TestADamagedArchiveIsRefused(t *testing.T) {
	t.Parallel()
	from := newSample(t, 12, 1, 5)
	dir := exported(t, from)
	for _, name := range []string{fileName(0), manifestName} {
		path := filepath.Join(dir, name)
		whole := read(t, path)
		refused := 0
		try := func(b []byte, what string, at int) {
			write(t, path, b)
			to := journal.NewMemory()
			err := imported(t.Context(), to, dir)
			archive, importing := journal.Importing(t.Context(), to)
			switch {
			case importing != nil:
				t.Fatal(importing)
			case err != nil:
				refused++
				if facts := factsOf(t, to); archive == "" && len(facts) > 0 {
					t.Fatalf("%s, byte %d %s: %v, and the journal can be used: %v", name, at, what, err, facts)
				}
			case !sameLogs(t, from, to, 1) || factsOf(t, to)["group/account"] != "rule":
				t.Fatalf("%s, byte %d %s: imported something else", name, at, what)
			}
		}
		tries := 1
		for at := 0; at < len(whole); at += everyByte() {
			tries += 4
			try(whole[:at], "cut", at)
			for _, bits := range []byte{0x01, 0x20, 0x80} {
				b := bytes.Clone(whole)
				b[at] ^= bits
				try(b, "flipped", at)
			}
		}
		try(append(bytes.Clone(whole), whole...), "twice", len(whole))
		t.Logf("%s: %d of %d changes refused", name, refused, tries)
		if name == fileName(0) && refused != tries {
			t.Errorf("%s: %d changes were not noticed", name, tries-refused)
		}
		write(t, path, whole)
	}
}

func TestFilesOfAnotherArchiveAreRefused(t *testing.T) {
	t.Parallel()
	from := newSample(t, 13, 2, 5)
	dir, other := exported(t, from), exported(t, from)
	write(t, filepath.Join(dir, fileName(1)), read(t, filepath.Join(other, fileName(1))))
	if err := imported(t.Context(), journal.NewMemory(), dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("a shard of another archive: %v", err)
	}
}

// small is a journal that takes small records only.
type small struct{ *journal.Memory }

func (small) MaxRecord() int { return 100 }

func TestATargetOfSmallRecordsIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	to := small{journal.NewMemory()}
	if err := imported(t.Context(), to, exported(t, newSample(t, 14, 1, 9))); !errors.Is(err, ErrMismatch) || len(factsOf(t, to)) > 0 {
		t.Errorf("%v, %v", err, factsOf(t, to))
	}
}

func TestEntriesAreReadAsTheGeneratedCodeWritesThem(t *testing.T) {
	t.Parallel()
	b, err := proto.Marshal(&logv1.Entry{
		Type: "t", Id: "i", Entry: 7, Version: 9, CommandHash: 5, Command: "c", TimeNs: 3, Principal: "p",
		Key:    &logv1.Key{Kind: &logv1.Key_Timer{Timer: &logv1.TimerKey{Name: "close", Armed: 4}}},
		Answer: &logv1.Entry_Reply{Reply: []byte("r")},
		Events: []*logv1.Event{{Type: "a"}, {Type: "b"}}, Cancels: []string{"x", "y"},
		Arms: []*logv1.Arm{{Name: "m", DueNs: -5}, {Name: "n", DueNs: 6, Payload: []byte{1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseEntry(b)
	name, armed, ok := e.fired()
	if err != nil || e.of != (journal.Entity{Type: "t", ID: "i"}) || e.number != 7 || e.version != 9 || e.events != 2 || name != "close" || armed != 4 || !ok {
		t.Errorf("%+v, %v; fired %q %d %v", e, err, name, armed, ok)
	}
	if len(e.arms) != 2 || e.arms[0] != (arm{"m", -5}) || e.arms[1] != (arm{"n", 6}) || len(e.cancels) != 2 || e.cancels[1] != "y" {
		t.Errorf("arms %v, cancels %v", e.arms, e.cancels)
	}
	for cut := range b[:len(b)-1] {
		if _, err := parseEntry(b[:cut]); err != nil && !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestStatCountsWhatTheLogsHold(t *testing.T) {
	t.Parallel()
	from := newSample(t, 15, 2, 11)
	stats, err := Stat(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	report := wantClean(t, from)
	size := 0
	for _, log := range bodies(t, from, 2) {
		for _, body := range log {
			size += len(body)
		}
	}
	total := stats.Total
	if len(stats.Shards) != 2 || total.Records != 22 || total.Events != report.Events || total.Entities != report.Entities || total.Bytes != uint64(size) ||
		total.Epoch != 3 || total.AverageRecord != uint64(size/22) || total.FlushLag != 3 {
		t.Errorf("%+v; verify says %+v, and there are %d bytes", stats, report, size)
	}
}
