package launch

import (
	"os"
	"path/filepath"
	"testing"
)

// Two turns stand for two processes.
func TestTestsOfTwoProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	path := filepath.Join(cache, "tests.lock")
	var ours turn
	free := func() bool {
		t.Helper()
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }() // unlocks it
		return lock(file)
	}
	t.Run("two tests of one process", func(t *testing.T) {
		ours.take(t, cache)
		t.Run("one ends", func(t *testing.T) { ours.take(t, cache) })
		if free() {
			t.Error("another process has its turn while a test is left")
		}
	})
	// Another process has its turn, now that all tests of ours have ended, and ends. A process that another test is just
	// starting may hold the lock a moment longer than we do.
	theirs, err := await(t, path)
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	go func() {
		<-began
		_ = theirs.Close()
	}()
	close(began)
	ours.take(t, cache)
	if ours.file == nil {
		t.Error("the wait ended without a turn")
	}
}
