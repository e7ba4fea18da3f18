package gossip_test

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

func writeKeys(t *testing.T, file string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The nodes go from one key to another by their files while news travels: none is lost, and nobody is missed.
func TestKeyFilesRotateUnderTrafficWithoutALoss(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		former, next := gossip.NewKey(), gossip.NewKey()
		var all []*process
		var files []string
		for i := range 3 {
			c := configOf(network, i+1)
			c.KeyFile = filepath.Join(t.TempDir(), "gossip.keys")
			writeKeys(t, c.KeyFile, "# of the harbour", "", former)
			files = append(files, c.KeyFile)
			all = append(all, start(t, c))
			if _, err := all[i].Join(context.Background(), []string{all[0].Address()}); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range all {
			p.await(t, "all three", func(m cluster.Membership) bool { return len(m.Members) == 3 })
		}
		weight := 100
		for step, lines := range [][]string{{former, next}, {next, former}, {"half a key"}, {next}} {
			for _, file := range files {
				writeKeys(t, file, lines...)
				for _, p := range all { // between any two steps each says something new, which all hear
					weight++
					news := p.self
					news.Weight = weight
					if err := p.Announce(news); err != nil {
						t.Fatal(err)
					}
					for _, other := range all {
						other.await(t, "the news", func(m cluster.Membership) bool { return slices.Contains(m.Members, news) })
						if m := other.Membership(); len(m.Members) != 3 || len(m.Lost) > 0 {
							t.Fatalf("step %d: %s knows %+v", step, other.self.Node, m)
						}
					}
				}
				time.Sleep(3 * time.Second)
			}
		}
		for _, p := range all {
			log := p.log.String()
			if n := strings.Count(log, "new keys are in use"); n != 3 || !strings.Contains(log, "line 1 of") || strings.Contains(log, "no gossip key") {
				t.Errorf("%s tells %d times of new keys:\n%s", p.self.Node, n, log)
			}
			if strings.Contains(log, former) || strings.Contains(log, next) || strings.Contains(log, "half a key") {
				t.Errorf("the log of %s holds a key", p.self.Node)
			}
		}
		late := configOf(network, 4)
		late.KeyFile = filepath.Join(t.TempDir(), "gossip.keys")
		writeKeys(t, late.KeyFile, former)
		if _, err := start(t, late).Join(context.Background(), []string{all[0].Address()}); !errors.Is(err, gossip.ErrRefused) {
			t.Errorf("the former key still opens the door: %v", err)
		}
	})
}

func TestKeyFileSaysWhatIsWrongAndNoKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gossip.keys")
	for want, lines := range map[string][]string{
		"holds 0":   {"# none"},
		"holds 9":   slices.Repeat([]string{gossip.NewKey()}, 9),
		"line 3 of": {"# short", gossip.NewKey(), base64.StdEncoding.EncodeToString([]byte("secret"))},
		"line 1 of": {"secret!"},
		"bytes; at": {strings.Repeat("# long\n", 20_000)},
	} {
		writeKeys(t, file, lines...)
		_, err := gossip.ReadKeyFile(file)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want it to say %q and the file", err, want)
		}
	}
	writeKeys(t, file, gossip.NewKey(), "", gossip.NewKey())
	if k, err := gossip.ReadKeyFile(file); err != nil || len(k.List()) != 2 {
		t.Errorf("two keys: %v, %v", k, err)
	}
}
