package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Where there are others, a request that is given up goes to one of them.
func TestOnlyANodeOfATestThatIsAloneAnswersLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		late bool
	}{{Config{Brief: true}, true}, {Config{}, false}, {Config{Brief: true, Nodes: 3}, false}} {
		cfg, err := c.cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := (layout{Config: cfg, Dir: dir}).write(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "conf", "cassandra.yaml"))
		if err != nil || strings.Contains(string(text), "\nwrite_request_timeout: 30000ms\n") != c.late {
			t.Errorf("%d nodes, brief %v: %v:\n%s", cfg.Nodes, cfg.Brief, err, text)
		}
	}
}

func TestPortsOfNodesAreNotThoseOfConnections(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(1, 20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if port < lowestPort || port >= highestPort || seen[port] {
			t.Errorf("ports %v", ports)
		}
		seen[port] = true
	}
}
