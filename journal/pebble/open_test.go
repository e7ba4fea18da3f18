package pebble

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

func TestAJournalInUseIsRefused(t *testing.T) {
	t.Parallel()
	place := t.TempDir()
	first := opened(t, Config{Dir: place})
	if _, err := Open(Config{Dir: place}); !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), place) {
		t.Fatalf("second open: %v, want ErrLocked that names %s", err, place)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	opened(t, Config{Dir: place})
}

func TestAJournalOfANewerReleaseIsRefused(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := opened(t, Config{Dir: dir, FS: fs})
	w := &write{lane: &j.common, ops: []op{{metaKey(formatName), []byte("2")}}}
	j.mu.Lock()
	if err := j.submit(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir, FS: fs}); !errors.Is(err, journal.ErrFormat) {
		t.Fatalf("open: %v, want ErrFormat", err)
	}
}

func TestABadConfigIsNamed(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"Config.Dir":            {},
		"Config.MaxRecordBytes": {Dir: dir, MaxRecordBytes: -1},
		"Config.CacheBytes":     {Dir: dir, CacheBytes: -1},
		"Config.MemTableBytes":  {Dir: dir, MemTableBytes: 1},
	} {
		cfg.FS = vfs.NewMem()
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that names %s", err, want)
		}
	}
}

func TestALargeRecordIsRefusedUnlessItsSlotIsTaken(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem(), MaxRecordBytes: 1000})
	large := func(number uint64) journal.Record {
		return journal.NewRecord(journal.Header{Number: number, Batch: journal.NewBatch()}, [][]byte{make([]byte, 1000)})
	}
	if _, err := j.Append(t.Context(), 1, large(1)); !errors.Is(err, journal.ErrRefused) || !strings.Contains(err.Error(), "MaxRecordBytes") {
		t.Fatalf("append: %v, want ErrRefused that names the limit", err)
	}
	c := journaltest.Chain{Writer: "a"}
	if ours, err := c.Append(t.Context(), j, 1, c.Next(1)); err != nil || !ours {
		t.Fatalf("a small one behind it: ours %v, %v", ours, err)
	}
	if slot, err := j.Append(t.Context(), 1, large(1)); err != nil || slot.Holder != c.Last {
		t.Fatalf("append to a taken slot: %+v, %v, want its holder", slot, err)
	}
}

// TestAFreshJournalTakesManyMegabytes writes far more than Pebble's first small
// memtables hold, with the defaults that decide how many of them may wait.
func TestAFreshJournalTakesManyMegabytes(t *testing.T) {
	t.Parallel()
	j := opened(t, Config{Dir: dir, FS: vfs.NewMem()})
	c := journaltest.Chain{Writer: "a"}
	for range 16 {
		rec := c.Next(0)
		rec = journal.NewRecord(rec.Header, [][]byte{make([]byte, 1<<20)})
		if ours, err := c.Append(t.Context(), j, 1, rec); err != nil || !ours {
			t.Fatalf("append of record %d: ours %v, %v", rec.Number, ours, err)
		}
	}
	if last := lastOf(t, j, 1); last != c.Last || last.Number != 16 {
		t.Errorf("the log ends with %+v, want %+v", last, c.Last)
	}
}

func genName() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 'a', 0xfe, 0xff}), 1, 5), func(b []byte) string { return string(b) })
}

func genTimer(t *rapid.T, which string) journal.Timer {
	return journal.Timer{
		Of:    journal.Entity{Type: genName().Draw(t, which+" type"), ID: genName().Draw(t, which+" id")},
		Name:  genName().Draw(t, which+" name"),
		Armed: rapid.Uint64().Draw(t, which+" armed"),
		Due:   rapid.Int64().Draw(t, which+" due"),
	}
}

func TestTimerKeysReadBackAndKeepTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := genTimer(t, "a"), genTimer(t, "b")
		if got, err := parseTimerKey(timerKey(7, a)); err != nil || got != a {
			t.Fatalf("key of %+v reads %+v, %v", a, got, err)
		}
		if got := bytes.Compare(timerKey(7, a), timerKey(7, b)); got != a.Compare(b) {
			t.Fatalf("keys of %+v and %+v compare %d, the timers %d", a, b, got, a.Compare(b))
		}
	})
}

func TestAnEntitysKeysAreItsOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := journal.Entity{Type: genName().Draw(t, "type"), ID: genName().Draw(t, "id")}
		b := journal.Entity{Type: genName().Draw(t, "other type"), ID: genName().Draw(t, "other id")}
		if a != b && bytes.HasPrefix(pageKey(b, 1, 1), entityKey(a)) {
			t.Fatalf("the page of %+v lies under %+v", b, a)
		}
		for _, key := range [][]byte{pageKey(a, 1<<64-1, 1), snapshotKey(a, 9)} {
			if got := key[:splitKey(key)]; !bytes.Equal(got, entityKey(a)) {
				t.Fatalf("prefix %x of %x, want %x", got, key, entityKey(a))
			}
		}
	})
}

func FuzzSplitKey(f *testing.F) {
	f.Add([]byte("e\x00\x01"))
	f.Add(pageKey(journal.Entity{Type: "lot", ID: "42"}, 1, 1))
	f.Fuzz(func(t *testing.T, key []byte) {
		n := splitKey(key)
		if n < 0 || n > len(key) {
			t.Fatalf("prefix of %d bytes in a key of %d", n, len(key))
		}
		if again := splitKey(key[:n]); again != n {
			t.Fatalf("prefix of %d bytes has a prefix of %d", n, again)
		}
	})
}

func FuzzCheckLog(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(make([]byte, 70_000), uint32(1))
	f.Fuzz(func(_ *testing.T, data []byte, number uint32) {
		_, _ = walFile{data: data, number: number}.check() // garbage is an error or a torn end, never a panic
	})
}
