package gossip_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

// newLossy loses a part of all packets and pieces.
func newLossy(part float64) gossip.Link {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 1))
	return func(string, string) (time.Duration, bool) {
		mu.Lock()
		defer mu.Unlock()
		return time.Millisecond, r.Float64() >= part
	}
}

func key(b byte) []byte { return []byte(strings.Repeat(string(rune(b)), 32)) }

func ring(t *testing.T, primary []byte, others ...[]byte) *gossip.Keys {
	t.Helper()
	k, err := gossip.NewKeys(primary, others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestForeignNodesAreRefusedByBothSides(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change        func(*gossip.Config, *gossip.Keys)
		newcomerReads string
		memberReads   string
	}{
		"another cluster": {
			func(c *gossip.Config, _ *gossip.Keys) { c.Identity.Cluster = "castle" },
			`it belongs to the cluster "harbour", this node to "castle"`, `it belongs to the cluster "castle", this node to "harbour"`,
		},
		"another history": {
			func(c *gossip.Config, _ *gossip.Keys) { c.Identity.History = "h2" },
			`its journal has the history "h1", this node's "h2"`, `its journal has the history "h2", this node's "h1"`,
		},
		"other shards": {
			func(c *gossip.Config, _ *gossip.Keys) { c.Identity.Shards = 128 },
			"it has 64 shards, this node 128", "it has 128 shards, this node 64",
		},
		"another key": {
			func(c *gossip.Config, other *gossip.Keys) { c.Keys = other },
			"no gossip key in common", "no gossip key in common",
		},
		"no key": {
			func(c *gossip.Config, _ *gossip.Keys) { c.Keys = nil },
			"the peer encrypts gossip and this node has no key", "this node encrypts gossip and the peer does not",
		},
		"a key where members have none": {
			func(c *gossip.Config, _ *gossip.Keys) {},
			"this node encrypts gossip and the peer does not", "the peer encrypts gossip and this node has no key",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) {
				network := gossip.NewNetwork(nil)
				config := configOf(network, 1)
				if name != "a key where members have none" {
					config.Keys = ring(t, key('a'))
				}
				member := start(t, config)
				config = configOf(network, 2)
				config.Keys = ring(t, key('a'))
				c.change(&config, ring(t, key('x')))
				newcomer := start(t, config)
				_, err := newcomer.Join(context.Background(), []string{member.Address()})
				if !errors.Is(err, gossip.ErrRefused) || !strings.Contains(err.Error(), c.newcomerReads) {
					t.Errorf("the newcomer reads: %v", err)
				}
				time.Sleep(time.Minute)
				for _, p := range []*process{member, newcomer} {
					if m := p.Membership(); len(m.Members) != 1 || len(m.Lost) > 0 {
						t.Errorf("%s knows %+v", p.self.Node, m)
					}
				}
				if !strings.Contains(member.log.String(), c.memberReads) && !strings.Contains(strings.ReplaceAll(member.log.String(), `\"`, `"`), c.memberReads) {
					t.Errorf("the member's log misses %q:\n%s", c.memberReads, member.log)
				}
				if lines := strings.Count(newcomer.log.String(), "\n"); lines == 0 || lines > 10 {
					t.Errorf("the newcomer logged %d lines:\n%s", lines, newcomer.log)
				}
			})
		})
	}
}

// TestKeysRotateWithoutALoss goes through a rotation while all members watch each other.
func TestKeysRotateWithoutALoss(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		var all []*process
		var rings []*gossip.Keys
		for i := range 3 {
			c := configOf(network, i+1)
			c.Keys = ring(t, key('a'))
			rings = append(rings, c.Keys)
			all = append(all, start(t, c))
			if _, err := all[i].Join(context.Background(), []string{all[0].Address()}); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []func(*gossip.Keys) error{
			func(k *gossip.Keys) error { return k.Install(key('b')) },
			func(k *gossip.Keys) error { return k.Use(key('b')) },
			func(k *gossip.Keys) error { return k.Remove(key('a')) },
		} {
			for _, k := range rings {
				if err := step(k); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second)
				for _, p := range all {
					if m := p.Membership(); len(m.Members) != 3 || len(m.Lost) > 0 {
						t.Fatalf("%s knows %+v\n%s", p.self.Node, m, p.log)
					}
				}
			}
		}
		late := configOf(network, 4)
		late.Keys = ring(t, key('a'))
		if _, err := start(t, late).Join(context.Background(), []string{all[0].Address()}); !errors.Is(err, gossip.ErrRefused) {
			t.Errorf("the old key still opens the door: %v", err)
		}
	})
}

func TestKeyRingRefusesWhatWouldLockItself(t *testing.T) {
	t.Parallel()
	k := ring(t, key('a'), key('b'), key('c'))
	if err := k.Use(key('z')); !errors.Is(err, gossip.ErrNoKey) {
		t.Errorf("use of a key that is not installed: %v", err)
	}
	if err := k.Remove(key('z')); !errors.Is(err, gossip.ErrNoKey) {
		t.Errorf("removal of a key that is not installed: %v", err)
	}
	if err := k.Remove(key('a')); err == nil {
		t.Error("the primary key was removed")
	}
	first := k.List()
	if err := k.Remove(key('b')); err != nil {
		t.Fatal(err)
	}
	if got := k.List(); len(got) != 2 || got[0] != first[0] || got[1] != first[2] {
		t.Errorf("keys %v after one of %v was removed", got, first)
	}
	if err := k.Install([]byte("short")); err == nil {
		t.Error("a key of 5 bytes was installed")
	}
	if _, err := gossip.NewKeys(nil); err == nil {
		t.Error("a ring without a key")
	}
	for b := range byte(6) {
		if err := k.Install(key('m' + b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Install(key('y')); err == nil {
		t.Error("a ninth key was installed")
	}
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for field, change := range map[string]func(*gossip.Config){
		"Config.Identity":        func(c *gossip.Config) { c.Identity.Shards = 0 },
		"the cluster's name":     func(c *gossip.Config) { c.Identity.Cluster = long },
		"the history id":         func(c *gossip.Config) { c.Identity.History = long },
		"the node's name":        func(c *gossip.Config) { c.Self.Node = long },
		"the incarnation":        func(c *gossip.Config) { c.Self.Incarnation = "" },
		"the peer address":       func(c *gossip.Config) { c.Self.Peer = long },
		"the version":            func(c *gossip.Config) { c.Self.Version = long },
		"the weight":             func(c *gossip.Config) { c.Self.Weight = -1 },
		"Config.Bind":            func(c *gossip.Config) { c.Bind = "localhost:0" },
		"Config.Advertise":       func(c *gossip.Config) { c.Bind = "0.0.0.0:0" },
		"beyond loopback":        func(c *gossip.Config) { c.Bind, c.Network = "0.0.0.0:0", nil },
		"Config.KeyFile (some":   func(c *gossip.Config) { c.KeyFile, c.Keys = "some", ring(t, key('a')) },
		"nowhere.keys":           func(c *gossip.Config) { c.KeyFile = "nowhere.keys" },
		"Config.ProbeTimeout":    func(c *gossip.Config) { c.ProbeTimeout = time.Second },
		"Config.SpreadInterval":  func(c *gossip.Config) { c.SpreadInterval = -1 },
		"Config.SuspicionFactor": func(c *gossip.Config) { c.SuspicionFactor = -1 },
		"Config.MaxMembers":      func(c *gossip.Config) { c.MaxMembers = -1 },
	} {
		c := configOf(gossip.NewNetwork(nil), 1)
		change(&c)
		g, err := gossip.Start(c)
		if err == nil {
			_ = g.Close()
		}
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("wrong %s: %v", field, err)
		}
	}
}

// TestLongestAllowedDescriptionFits: what the limits of each field allow is within the 512 bytes.
func TestLongestAllowedDescriptionFits(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		c := configOf(gossip.NewNetwork(nil), 1)
		text := strings.Repeat("x", 512)
		c.Identity = cluster.Identity{Cluster: text[:cluster.MaxNodeBytes], History: text[:cluster.MaxHistoryBytes], Shards: cluster.MaxShards}
		c.Self = cluster.Member{
			Node: text[:cluster.MaxNodeBytes], Incarnation: cluster.NewIncarnation(text[:cluster.MaxNodeBytes]),
			Peer: text[:cluster.MaxPeerBytes], API: text[:cluster.MaxPeerBytes], Version: text[:cluster.MaxVersionBytes], Weight: cluster.MaxWeight,
			StartedMillis: 1 << 62, Ready: true, Draining: true, Leaving: true, JournalLost: true,
		}
		p := start(t, c)
		if m := p.Membership().Members; len(m) != 1 || m[0] != c.Self {
			t.Errorf("it knows %+v, said %+v", m, c.Self)
		}
	})
}

func TestMembersBeyondTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		c := configOf(network, 1)
		c.MaxMembers = 2
		first := start(t, c)
		for i := 2; i <= 3; i++ {
			_, err := start(t, configOf(network, i)).Join(context.Background(), []string{first.Address()})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		if m := first.Membership().Members; len(m) != 2 {
			t.Errorf("%d members; 2 are allowed", len(m))
		}
		if !strings.Contains(first.log.String(), "2 processes at most") {
			t.Errorf("no line says why:\n%s", first.log)
		}
	})
}
