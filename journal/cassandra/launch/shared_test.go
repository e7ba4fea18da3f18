package launch

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tests of this package stand for all that use nodes: a child process runs one of them.
func TestWhatCannotBeTestedIsSkippedLoudlyUnlessItMust(t *testing.T) {
	t.Parallel()
	home, bin, cache := t.TempDir(), t.TempDir(), t.TempDir()
	script(t, filepath.Join(home, "bin", "java"), `echo 'openjdk version "17.0.1"' >&2`)
	script(t, filepath.Join(bin, "mvn"), `echo 'Network is unreachable'; exit 1`)
	offline := []string{"JAVA_HOME=" + home, "PATH=" + bin, "XDG_CACHE_HOME=" + cache, "HOME=" + cache}
	for _, c := range []struct {
		name    string
		set     []string
		says    string
		refused bool // when it must
	}{
		{"no Java", []string{"JAVA_HOME=" + bin}, "needs Java 17 and Maven", true},
		{"no network", offline, "Network is unreachable", true},
		{"left out", []string{"SKERRY_SKIP=cassandra"}, "SKERRY_SKIP leaves it out", false},
	} {
		wantSkipped(t, c.name, c.says, true, append(c.set, "SKERRY_REQUIRE="))
		wantSkipped(t, c.name+", and it must", c.says, !c.refused, append(c.set, "SKERRY_REQUIRE=chromium,cassandra"))
	}
	wantSkipped(t, "-short", "-short leaves it out", true, []string{"SKERRY_REQUIRE=cassandra"}, "-test.short")
}

func TestLongProofsAreForThoseWhoAskForThem(t *testing.T) {
	for set, skipped := range map[string]bool{"": true, "1": false} {
		t.Setenv("SKERRY_LONG", set)
		t.Run("set to "+set, func(t *testing.T) {
			defer func() {
				if t.Skipped() != skipped {
					t.Errorf("skipped: %v, want %v", t.Skipped(), skipped)
				}
			}()
			Long(t)
		})
	}
}

func script(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// wantSkipped runs a test that needs a node and compares what came of it.
func wantSkipped(t *testing.T, name, says string, skipped bool, set []string, flags ...string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.v", "-test.run=^TestAFailedStartTellsTheNodesWords$"}, flags...)...)
	child.Env = append(append(os.Environ(), "SKERRY_SKIP="), set...)
	out, err := child.CombinedOutput()
	text := string(out)
	if skipped != strings.Contains(text, "--- SKIP") || skipped != (err == nil) || !strings.Contains(text, says) ||
		skipped != strings.Contains(text, "NOT TESTED on Cassandra") {
		t.Errorf("%s: %v\n%s", name, err, text)
	}
}
