package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// stored makes a journal with some tables and a log, and returns its files: as
// a crash leaves them, and as Close does; with what was acknowledged.
func stored(t *testing.T) (crashed, closed *vfs.MemFS, want promised) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	j := opened(t, Config{Dir: dir, FS: fs, MemTableBytes: minMemTableBytes})
	l := newLoad(j, 3)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	l.run(ctx, &group)
	<-l.ended
	l.small(t, 0, 20) // one batch each, so that the newest log is not fresh and its last batch is small
	want = l.promised()
	cancel()
	group.Wait()
	crashed = fs.CrashClone(vfs.CrashCloneCfg{})
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return crashed, fs.CrashClone(vfs.CrashCloneCfg{}), want
}

// small appends n small records behind the load.
func (l *load) small(t *testing.T, shard, n int) {
	t.Helper()
	c := journaltest.Chain{Last: *l.acked[shard].Load(), Writer: l.acked[shard].Load().Writer}
	for range n {
		rec := c.Next(1)
		if ours, err := c.Append(t.Context(), l.j, uint32(shard), rec); err != nil || !ours {
			t.Fatalf("append: ours %v, %v", ours, err)
		}
		l.acked[shard].Store(&rec.Header)
	}
}

// files returns the contents of a directory.
func files(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		file, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if all[name], err = io.ReadAll(file); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// written returns a new file system with the files.
func written(t *testing.T, files map[string][]byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		file, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		// A copy: under the race detector this file system changes what it was given.
		if _, err := file.Write(bytes.Clone(content)); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

// outcome opens what is left and tells what became of it: nil if all is there,
// ErrCorrupt if the journal says so, anything else is a silent loss.
func outcome(t *testing.T, files map[string][]byte, want promised) error {
	t.Helper()
	j, err := Open(Config{Dir: dir, FS: written(t, files), MemTableBytes: minMemTableBytes})
	if err != nil {
		return err
	}
	err = want.check(t.Context(), j)
	_ = j.Close() // of a damaged journal
	return err
}

// damage changes one file at random and says how.
func damage(random *rand.Rand, files map[string][]byte) (name, what string) {
	var names []string
	for name, content := range files {
		if len(content) > 0 && name != "LOCK" {
			names = append(names, name)
		}
	}
	name = names[random.IntN(len(names))]
	content := append([]byte{}, files[name]...)
	at := random.IntN(len(content))
	switch random.IntN(4) {
	case 0:
		files[name], what = content[:at], fmt.Sprintf("cut at %d of %d", at, len(content))
	case 1:
		delete(files, name)
		what = "removed"
	default:
		content[at] ^= 1 << random.IntN(8)
		files[name], what = content, fmt.Sprintf("bit flipped at %d of %d", at, len(content))
	}
	return name, what
}

// unchanged fails unless the files are still what they were: a test that
// damages them by itself proves nothing.
func unchanged(t *testing.T, now, before map[string][]byte) {
	t.Helper()
	if !maps.EqualFunc(now, before, bytes.Equal) {
		t.Error("the test itself changed the files that it damages copies of")
	}
}

func clone(files map[string][]byte) map[string][]byte {
	c := map[string][]byte{}
	for name, content := range files {
		c[name] = bytes.Clone(content)
	}
	return c
}

func TestDamageToAClosedJournalIsNeverASilentLoss(t *testing.T) {
	t.Parallel()
	_, fs, want := stored(t)
	original := files(t, fs)
	defer unchanged(t, original, clone(original))
	if err := outcome(t, maps.Clone(original), want); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	refused, damages := 0, rounds(250)
	for seed := range uint64(damages) {
		damaged := maps.Clone(original)
		name, what := damage(rand.New(rand.NewPCG(seed, 7)), damaged)
		err := outcome(t, damaged, want)
		switch {
		case errors.Is(err, journal.ErrCorrupt):
			refused++
		case err != nil:
			t.Errorf("%s %s: %v", name, what, err)
		}
	}
	if refused < damages/5 {
		t.Errorf("only %d of %d damages were refused: the test proves nothing", refused, damages)
	}
}

// TestDamageToACrashedLogIsNeverASilentLoss flips bits of the newest log that a
// crash left. Only the last batch may go, which nothing tells from a torn one.
func TestDamageToACrashedLogIsNeverASilentLoss(t *testing.T) {
	t.Parallel()
	original, want, name, last := crashedInALog(t)
	defer unchanged(t, original, clone(original))
	if err := outcome(t, maps.Clone(original), want); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	for seed := range uint64(rounds(150)) {
		random := rand.New(rand.NewPCG(seed, 8))
		content := append([]byte{}, original[name]...)
		at := random.IntN(last)
		content[at] ^= 1 << random.IntN(8)
		damaged := maps.Clone(original)
		damaged[name] = content
		if err := outcome(t, damaged, want); !errors.Is(err, journal.ErrCorrupt) {
			t.Errorf("bit flipped at %d of %d (last batch at %d): %v, want ErrCorrupt", at, len(content), last, err)
		}
	}
}

// crashedInALog returns what a crash left, and where the last batch of its newest log begins. Now and then the log was begun
// just before, and has too little to damage: then there is another crash.
func crashedInALog(t *testing.T) (original map[string][]byte, want promised, name string, last int) {
	t.Helper()
	for range 10 {
		var fs vfs.FS
		fs, _, want = stored(t)
		original = files(t, fs)
		var number uint64
		name, number = newestOf(original)
		if last = lastBatch(walFile{data: original[name], number: uint32(number)}); last >= 100 {
			return original, want, name, last
		}
	}
	t.Fatalf("the newest log %s has its last batch at %d: too little to damage", name, last)
	return nil, promised{}, "", 0
}

// newestOf returns the newest log among files.
func newestOf(files map[string][]byte) (name string, number uint64) {
	return newestLog(slices.Collect(maps.Keys(files)))
}

// lastBatch returns where the last readable batch begins.
func lastBatch(log walFile) int {
	last := 0
	for at := 0; ; {
		_, end, ok := log.batchAt(at)
		if !ok {
			return last
		}
		last, at = at, end
	}
}

func TestATornEndIsRepairedWithALineInTheLog(t *testing.T) {
	t.Parallel()
	fs, _, want := stored(t)
	original := files(t, fs)
	name, number := newestOf(original)
	last := lastBatch(walFile{data: original[name], number: uint32(number)})
	torn := maps.Clone(original)
	torn[name] = append(append([]byte{}, original[name][:last+40]...), make([]byte, 5000)...)
	var said strings.Builder
	j, err := Open(Config{Dir: dir, FS: written(t, torn), Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	if !strings.Contains(said.String(), "unclean end") {
		t.Errorf("the log says nothing of the torn end: %s", &said)
	}
	missing := 0
	for shard, acked := range want.acked {
		if end := j.end(uint32(shard)); end < acked.Number {
			missing += int(acked.Number - end)
		}
	}
	if missing > len(want.acked) {
		t.Errorf("%d records are missing; the last batch held fewer", missing)
	}
}

func TestACleanEndIsNotTakenForACrash(t *testing.T) {
	t.Parallel()
	for _, records := range []int{0, 1, 50, 700} { // the last of more than one block
		var said strings.Builder
		cfg := Config{Dir: dir, FS: vfs.NewMem(), Logger: slog.New(slog.NewTextHandler(&said, nil))}
		for life := range 3 {
			j := opened(t, cfg)
			c := journaltest.Chain{Writer: "a", Last: lastOf(t, j, 1)}
			for range records {
				if ours, err := c.Append(t.Context(), j, 1, c.Next(1)); err != nil || !ours {
					t.Fatalf("life %d: append: ours %v, %v", life, ours, err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if said.Len() > 0 {
			t.Errorf("%d records in each life: the log says %s", records, &said)
		}
	}
}

func TestMissingMarksAreToldOf(t *testing.T) {
	t.Parallel()
	_, fs, want := stored(t)
	if err := fs.Remove(fs.PathJoin(dir, marksName)); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	j := opened(t, Config{Dir: dir, FS: fs, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if !strings.Contains(said.String(), marksName) {
		t.Errorf("the log says nothing of the missing marks: %s", &said)
	}
	if err := want.check(t.Context(), j); err != nil {
		t.Error(err)
	}
}

func lastOf(t *testing.T, j *Journal, shard uint32) journal.Header {
	t.Helper()
	head, err := j.Head(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	return head.Last
}
