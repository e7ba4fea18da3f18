package docs_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
)

// sourceOf is all the Go code below some folders, without tests.
func sourceOf(t *testing.T, dirs ...string) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

var span = regexp.MustCompile("`([^`]+)`")

// What the operators' page says that logs and commands say, they say.
func TestClusterPageQuotesWhatTheProgramsSay(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	source, checked := sourceOf(t, "../cluster", "../cmd/skerry", "../entity"), 0
	for _, heading := range []string{"## Who is refused", "## Looking", "## What each failure looks like"} {
		_, section, found := strings.Cut(string(page), heading+"\n")
		if !found {
			t.Fatalf("cluster.md has no %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for line := range strings.Lines(section) {
			if !strings.HasPrefix(line, "|") {
				continue
			}
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				if strings.HasPrefix(m[1], "skerry ") || strings.HasPrefix(m[1], "-") {
					continue
				}
				checked++
				if !strings.Contains(source, m[1]) {
					t.Errorf("%s quotes %q, which nothing says", heading, m[1])
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d quotes were found", checked)
	}
}

// The commands of the page make files that nodes take.
func TestCertificatesAndKeysOfThePageAreTaken(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here: the commands of cluster.md are not tried")
	}
	dir := t.TempDir()
	for _, b := range blocksOf(t, "cluster.md") {
		if b.name != "certificates" {
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", b.text)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	files := transport.TLS{CertFile: filepath.Join(dir, "node.crt"), KeyFile: filepath.Join(dir, "node.key"), CAFile: filepath.Join(dir, "ca.crt")}
	start := func(node string) *transport.Endpoint {
		n, err := transport.Listen(transport.Config{Node: node, Cluster: "auction", Shards: 64, TLS: &files, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		return n
	}
	if err := transport.Check(t.Context(), start("n1"), start("n2").Self()); err != nil {
		t.Errorf("two nodes with these certificates: %v", err)
	}
	if k, err := gossip.ReadKeyFile(filepath.Join(dir, "gossip.keys")); err != nil || len(k.List()) != 1 {
		t.Errorf("the keys: %v", err)
	}
}
