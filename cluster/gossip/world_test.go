package gossip_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); { // a probe of memberlist's outlives Close by a moment
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// bubble runs a test on fake time. In the end it lets memberlist's probes run out:
// time stands still as soon as the test is over.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(5 * time.Second) })
		test(t)
	})
}

// process is one node of a test.
type process struct {
	*gossip.Gossip
	self cluster.Member
	log  *logBuffer
}

// configOf is node number i on a network, in a cluster of 64 shards.
func configOf(network *gossip.Network, i int) gossip.Config {
	node := fmt.Sprintf("n%d", i)
	return gossip.Config{
		Identity: cluster.Identity{Cluster: "harbour", History: "h1", Shards: 64},
		Self: cluster.Member{
			Node: node, Incarnation: cluster.NewIncarnation(node), Peer: fmt.Sprintf("10.0.0.%d:7947", i),
			Version: "1.0.0", Weight: 100, StartedMillis: time.Now().UnixMilli(), Ready: true,
		},
		Bind:    fmt.Sprintf("10.0.0.%d:7946", i),
		Network: network,
	}
}

func start(t *testing.T, c gossip.Config) *process {
	t.Helper()
	lines := &logBuffer{}
	c.Logger = slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
	g, err := gossip.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Gossip: g, self: c.Self, log: lines}
	t.Cleanup(p.close)
	return p
}

func (p *process) close() { _ = p.Close() }

// startAll starts nodes 1 to count; each has the first two as seeds.
func startAll(t *testing.T, network *gossip.Network, count int) []*process {
	t.Helper()
	all := make([]*process, count)
	for i := range all {
		all[i] = start(t, configOf(network, i+1))
		if _, err := all[i].Join(context.Background(), []string{all[0].Address(), all[min(i, 1)].Address()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all {
		p.await(t, "all are members", func(m cluster.Membership) bool { return len(m.Members) == count })
	}
	return all
}

// await waits for a membership; a minute of fake time must be enough.
func (p *process) await(t *testing.T, what string, holds func(cluster.Membership) bool) {
	t.Helper()
	p.awaitFor(t, time.Minute, what, holds)
}

func (p *process) awaitFor(t *testing.T, most time.Duration, what string, holds func(cluster.Membership) bool) {
	t.Helper()
	limit := time.After(most)
	for !holds(p.Membership()) {
		select {
		case <-p.Changed():
		case <-limit:
			t.Fatalf("%s waits for: %s; it knows %+v\n%s", p.self.Node, what, p.Membership(), p.log)
		}
	}
}

func has(members []cluster.Member, incarnation string) bool {
	for _, m := range members {
		if m.Incarnation == incarnation {
			return true
		}
	}
	return false
}

// isolate cuts one address off from others, both ways, or joins it to them again.
func isolate(network *gossip.Network, one string, others []*process) {
	for _, o := range others {
		network.Cut(one, o.Address())
		network.Cut(o.Address(), one)
	}
}

func mend(network *gossip.Network, one string, others []*process) {
	for _, o := range others {
		network.Mend(one, o.Address())
		network.Mend(o.Address(), one)
	}
}

// logBuffer keeps log lines.
type logBuffer struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}
