package pebble

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// smallFS is a disk of limited size. What is removed does not come back.
type smallFS struct {
	vfs.FS
	used, size *atomic.Int64
}

func newSmallFS(size int64) smallFS {
	fs := smallFS{FS: vfs.NewMem(), used: new(atomic.Int64), size: new(atomic.Int64)}
	fs.size.Store(size)
	return fs
}

func (fs smallFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	size := fs.size.Load()
	return vfs.DiskUsage{AvailBytes: uint64(max(0, size-fs.used.Load())), TotalBytes: uint64(size)}, nil
}

func (fs smallFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := fs.FS.Create(name, category)
	return smallFile{file, fs}, err
}

func (fs smallFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := fs.FS.ReuseForWrite(from, to, category)
	return smallFile{file, fs}, err
}

type smallFile struct {
	vfs.File
	fs smallFS
}

func (f smallFile) Write(p []byte) (int, error) {
	if f.fs.used.Add(int64(len(p))) > f.fs.size.Load() {
		f.fs.used.Add(-int64(len(p)))
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// fill appends until the journal takes no more, and returns its last word.
func fill(t *testing.T, j *Journal, c *journaltest.Chain) (journal.Record, error) {
	t.Helper()
	for range 100_000 {
		rec := c.Next(10)
		if _, err := j.Append(t.Context(), 1, rec); err != nil {
			return rec, err
		}
		c.Last = rec.Header
	}
	t.Fatal("the disk does not get full")
	return journal.Record{}, nil
}

func TestAFullDiskRefusesWritesAndLetsReadsGoOn(t *testing.T) {
	t.Parallel()
	fs := newSmallFS(1 << 20)
	j := opened(t, Config{Dir: dir, FS: fs, MinFree: 256 << 10, MemTableBytes: minMemTableBytes})
	c := journaltest.Chain{Writer: "a"}
	rec, err := fill(t, j, &c)
	if !errors.Is(err, journal.ErrFull) || !errors.Is(err, journal.ErrRefused) {
		t.Fatalf("append without room: %v, want ErrFull and ErrRefused", err)
	}
	of := journal.Entity{Type: "lot", ID: "1"}
	if err := j.Derive(t.Context(), journal.Derived{Shard: 1, UpTo: 1}); !errors.Is(err, journal.ErrFull) {
		t.Errorf("derive without room: %v, want ErrFull", err)
	}
	if err := j.SaveSnapshot(t.Context(), journal.Snapshot{Of: of, Entry: 1}); !errors.Is(err, journal.ErrFull) {
		t.Errorf("snapshot without room: %v, want ErrFull", err)
	}
	if all, err := journaltest.ReadAll(t.Context(), j, 1); err != nil || uint64(len(all)) != c.Last.Number {
		t.Errorf("%d records, %v, want %d", len(all), err, c.Last.Number)
	}
	fs.size.Store(8 << 20)
	if ours, err := c.Append(t.Context(), j, 1, rec); err != nil || !ours {
		t.Fatalf("append after room came back: ours %v, %v", ours, err)
	}
}

// TestARunOutOfSpaceIsSurvived has so little reserve that the disk ends in the
// middle of a batch: that one is unknown, later ones are refused, reads go on.
func TestARunOutOfSpaceIsSurvived(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{300 << 10, 700 << 10, 1100 << 10, 1500 << 10} {
		fs := newSmallFS(size)
		j := opened(t, Config{Dir: dir, FS: fs, MinFree: -1, MemTableBytes: minMemTableBytes})
		c := journaltest.Chain{Writer: "a"}
		rec, err := fill(t, j, &c)
		fs.used.Store(fs.size.Load()) // no room at all, until the end of the test
		if _, refused := j.Append(t.Context(), 2, journal.NewRecord(journal.Header{Number: 1, Batch: journal.NewBatch()}, nil)); !errors.Is(refused, journal.ErrFull) {
			t.Errorf("append of another record: %v, want ErrFull (the first failure was: %v)", refused, err)
		}
		if all, err := journaltest.ReadAll(t.Context(), j, 1); err != nil || uint64(len(all)) != c.Last.Number {
			t.Errorf("size %d: %d records, %v, want %d", size, len(all), err, c.Last.Number)
		}
		fs.size.Add(8 << 20)
		if ours, err := c.Append(t.Context(), j, 1, rec); err != nil || !ours {
			t.Fatalf("size %d: append after room came back: ours %v, %v", size, ours, err)
		}
		if all, err := journaltest.ReadAll(t.Context(), j, 1); err != nil || uint64(len(all)) != c.Last.Number {
			t.Errorf("size %d: %d records, %v, want %d", size, len(all), err, c.Last.Number)
		}
	}
}
