package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// turn lets the tests of one process at a time use nodes: several packages are tested at
// once, and nodes that starve answer late. It is held while any test of this process
// uses a node. The system takes it back when the process ends, however it ends.
type turn struct {
	mu    sync.Mutex
	users int
	file  *os.File // locked; nil if we go on without
}

// tests is the turn of this process. It is one for all, as the machine is.
var tests turn

// turnPatience bounds the wait for others, where half of what is left of the time of all tests is not more. Then
// both go on: slow, and more than a small machine may bear.
const turnPatience = 4 * time.Minute

// patience is how long a test waits for others.
func patience(t testing.TB) time.Duration {
	limited, ok := t.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return turnPatience // a benchmark
	}
	end, ok := limited.Deadline()
	if !ok {
		return turnPatience
	}
	return max(turnPatience, time.Until(end)/2)
}

// take waits for the turn and keeps it to the test's end. A lock that cannot be had is no reason to fail.
func (u *turn) take(t testing.TB, cache string) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users == 0 {
		file, err := await(t, filepath.Join(cache, "tests.lock"))
		if err != nil {
			t.Logf("the tests of other processes may use Cassandra at the same time: %v", err)
		}
		u.file = file
	}
	u.users++
	t.Cleanup(u.leave)
}

func (u *turn) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.users--; u.users == 0 && u.file != nil {
		_ = u.file.Close() // which unlocks it
		u.file = nil
	}
}

// await opens the file and waits until it is locked.
func await(t testing.TB, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	began, most := time.Now(), patience(t)
	waited := false
	for ; !lock(file); waited = true {
		if !waited {
			fmt.Fprintf(os.Stderr, "WAITING: the tests of another process use Cassandra (%s)\n", path)
		}
		if time.Since(began) > most || t.Context().Err() != nil {
			_ = file.Close()
			return nil, fmt.Errorf("%s was locked for %s", path, time.Since(began).Round(time.Second))
		}
		time.Sleep(between)
	}
	if waited {
		t.Logf("waited %s for the tests of other processes", time.Since(began).Round(time.Second))
	}
	return file, nil
}
