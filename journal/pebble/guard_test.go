package pebble

import (
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guarded returns a guard over an empty file system, past the opening, and how
// often it has told of a failure.
func guarded(t *testing.T) (*guard, *vfs.MemFS, *int) {
	t.Helper()
	fs, failures := vfs.NewMem(), new(int)
	g := newGuard(fs, &room{fs: fs, need: -1}, func() { *failures++ })
	g.opening.Store(false)
	close(g.closed) // no pauses
	return g, fs, failures
}

func create(t *testing.T, fs vfs.FS, name, content string) vfs.File {
	t.Helper()
	file, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return file
}

func content(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	file, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	all, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestAFrozenGuardLetsNothingReachTheDisk(t *testing.T) {
	t.Parallel()
	g, fs, failures := guarded(t)
	log, table, manifest := create(t, g, "1.log", "log"), create(t, g, "2.sst", "table"), create(t, g, "MANIFEST-3", "manifest")
	g.fail(errDisk)
	g.fail(errFrozen)
	if !errors.Is(g.failure(), errDisk) || *failures != 1 {
		t.Fatalf("failure %v, told %d times, want the first, once", g.failure(), *failures)
	}
	if n, err := log.Write([]byte(" more")); n != 5 || err != nil {
		t.Errorf("write of a log: %d, %v; Pebble must not learn of it", n, err)
	}
	if err := log.Sync(); err != nil {
		t.Errorf("sync of a log: %v; Pebble must not learn of it", err)
	}
	for name, file := range map[string]vfs.File{"table": table, "manifest": manifest} {
		if _, err := file.Write([]byte(" more")); !errors.Is(err, errFrozen) {
			t.Errorf("write of a %s: %v, want errFrozen", name, err)
		}
	}
	for what, err := range map[string]error{
		"remove": g.Remove("1.log"), "remove all": g.RemoveAll("2.sst"), "rename": g.Rename("2.sst", "4.sst"), "link": g.Link("2.sst", "5.sst"), "mkdir": g.MkdirAll("d", 0o755),
	} {
		if !errors.Is(err, errFrozen) {
			t.Errorf("%s: %v, want errFrozen", what, err)
		}
	}
	if file, err := g.Create("6.log", vfs.WriteCategoryUnspecified); err != nil || file == nil {
		t.Errorf("create of a log: %v; Pebble must not learn of it", err)
	}
	for name, want := range map[string]string{"1.log": "log", "2.sst": "table", "MANIFEST-3": "manifest"} {
		if got := content(t, fs, name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if names, err := fs.List("/"); err != nil || len(names) != 3 {
		t.Errorf("files %q, %v, want the three", names, err)
	}
}
