package cassandra

import (
	"errors"
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
}
