package cassandra

import (
	"errors"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

// One node each. That of the data centre that writes is all that its agreement has.
func TestTwoDataCentresWithOneThatWrites(t *testing.T) {
	cluster := launch.ForTest(t, launch.Config{Nodes: 2, DataCenters: []string{"north", "south"}, SyncCommits: true, HeapMiB: 384})
	cfg := Config{
		Hosts: cluster.Hosts(), Keyspace: newKeyspace(), Development: true, DataCenter: "north", BucketBytes: 20000,
		Replication: "{'class': 'NetworkTopologyStrategy', 'north': 1, 'south': 1}",
	}
	either := cfg
	either.DataCenter = ""
	wantOneCentre(t, either)
	j := opened(t, cfg)
	for name, centre := range map[string]string{"the other data centre": "south", "all data centres": ""} {
		other := cfg
		other.DataCenter = centre
		if _, err := Open(within(t), other); !errors.Is(err, ErrSettings) {
			t.Errorf("a node that writes in %s: %v", name, err)
		}
	}
	north, south := cluster.Nodes[0], cluster.Nodes[1]
	mayDieAndFreeze(t, north, j)
	south.Kill()
	contest(t, j, 4, 2, 20, j) // agreement needs no other data centre
	opened(t, cfg)             // nor does a start that is not the first
}

// wantOneCentre starts a node for each data centre at once in an empty keyspace, several times.
func wantOneCentre(t *testing.T, cfg Config) {
	t.Helper()
	for range 5 {
		cfg.Keyspace = newKeyspace()
		full, err := cfg.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		if err := prepare(within(t), full); err != nil {
			t.Fatal(err)
		}
		var errs [2]error
		var starts sync.WaitGroup
		for i, centre := range []string{"north", "south"} {
			cfg := cfg
			cfg.DataCenter = centre
			starts.Go(func() {
				j, err := Open(within(t), cfg)
				if err == nil {
					_ = j.Close()
				}
				errs[i] = err
			})
		}
		starts.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[:]...), ErrSettings) {
			t.Errorf("north: %v; south: %v; want one of them let in", errs[0], errs[1])
		}
		drop(t, cfg)
	}
}
