package gossip

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster"
)

// In a rolling update releases that share a version see each other. Without one they refuse each other, and both logs say so.
func TestReleasesThatShareAVersionAreOneCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		one, other versions
		refused    string
	}{
		"an older one":       {versions{2, 3}, versions{1, 2}, ""},
		"a much older one":   {versions{2, 3}, versions{1, 1}, "wire versions"},
		"a much younger one": {versions{2, 3}, versions{4, 5}, "wire versions"},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := NewNetwork(nil)
			one, oneSays := startSpeaking(t, network, "n1", "10.0.0.1:7946", test.one)
			other, otherSays := startSpeaking(t, network, "n2", "10.0.0.2:7946", test.other)
			_, err := other.Join(t.Context(), []string{one.Address()})
			time.Sleep(5 * time.Second)
			members := len(one.Membership().Members)
			switch {
			case test.refused == "" && (err != nil || members != 2):
				t.Errorf("%s: %d members, %v", name, members, err)
			case test.refused != "" && (!errors.Is(err, ErrRefused) || members != 1):
				t.Errorf("%s: %d members, %v, want refused", name, members, err)
			}
			for _, log := range []*bytes.Buffer{oneSays, otherSays} {
				if !strings.Contains(log.String(), test.refused) {
					t.Errorf("%s: a log does not say %q:\n%s", name, test.refused, log)
				}
			}
			_, _ = one.Close(), other.Close()
			time.Sleep(5 * time.Second) // memberlist's probes run out
		})
	}
}

func startSpeaking(t *testing.T, network *Network, node, bind string, wire versions) (*Gossip, *bytes.Buffer) {
	t.Helper()
	says := &bytes.Buffer{}
	g, err := Start(Config{
		Identity: cluster.Identity{Cluster: "harbour", History: "h1", Shards: 64},
		Self:     cluster.Member{Node: node, Incarnation: cluster.NewIncarnation(node), Weight: 1, Ready: true},
		Bind:     bind, Network: network, Logger: slog.New(slog.NewTextHandler(says, nil)), wire: wire,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g, says
}
