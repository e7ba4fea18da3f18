package launch

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphaned is set in the environment of a child process that leaves a folder and a child of its own behind.
const orphaned = "SKERRY_TEST_ORPHANED"

// A killed process can clean up nothing itself.
func TestAKilledProcessLeavesNothingBehind(t *testing.T) {
	if os.Getenv(orphaned) != "" {
		leaveBehind(t)
		return
	}
	t.Parallel()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAKilledProcessLeavesNothingBehind$")
	child.Env = append(os.Environ(), orphaned+"=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var pid int
	lines := bufio.NewScanner(out)
	for pid == 0 && lines.Scan() {
		_, _ = fmt.Sscanf(lines.Text(), "left %s %d", &dir, &pid) // or it is another line
	}
	if pid == 0 {
		t.Fatalf("the child says nothing: %v", lines.Err())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	gone(t, dir, func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
	gone(t, "the process", func() bool { return dead(pid) })
}

// leaveBehind starts what a cluster does, without Java.
func leaveBehind(t *testing.T) {
	dir, _, err := makeForgotten()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("kept by nobody"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := run(exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("left %s %d\n", dir, p.process.Pid)
	<-p.ended // until we are killed
}

// dead tells whether no process has the id; who was killed and is not yet waited for is dead, too.
func dead(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func gone(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(between) {
		if time.Now().After(end) {
			t.Fatalf("%s outlives the process that made it", what)
		}
	}
}

func TestAFolderIsRemovedOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, forget, err := makeForgotten()
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{dir: dir, forget: forget}
	for range 2 {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the folder is still there: %v", err)
		}
	}
}
