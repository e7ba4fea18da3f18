package launch

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Version is the release of Apache Cassandra that is launched.
const Version = "5.0.6"

// Config says what to launch. Zero fields mean the defaults named here.
type Config struct {
	// Nodes is how many nodes the cluster has; 1 by default, at most MaxNodes. Node i
	// listens on the loopback address 127.0.0.(i+1).
	Nodes int
	// Dir holds configuration, data and logs of the nodes. By default a new
	// temporary directory, which Stop removes.
	Dir string
	// Cache is where Cassandra's jars are kept between runs; a folder of the
	// user's cache directory by default.
	Cache string
	// Port is the CQL port of all nodes; a free one by default.
	Port int
	// HeapMiB is each node's Java heap; 512 by default. A node that runs out of it ends.
	HeapMiB int
	// Brief starts nodes that are not meant to run for long: with half of the CPU, as Java then optimises
	// less, and never gets as fast as otherwise. One that is alone answers late rather than not at all: there is
	// no other one to ask.
	Brief bool
	// DataCenters and Racks name those of each node, the last one also of
	// those behind it; dc1 and rack1 by default.
	DataCenters, Racks []string
	// Password makes the nodes ask for one: User and Password are the first login.
	Password bool
	// TLS encrypts the connections of clients. Cluster.CA is what they trust.
	TLS bool
	// PaxosVariant is v1 or v2; v2 by default.
	PaxosVariant string
	// SyncCommits makes each write durable before it is answered, as kill tests of a
	// single node need. By default the commit log is synced every 10 s, which is
	// Cassandra's own default.
	SyncCommits bool
	// Logger hears of nodes that start and end; silent by default.
	Logger *slog.Logger
}

// What a node that asks for a password accepts first.
const (
	User     = "cassandra"
	Password = "cassandra"
)

// MaxNodes limits a cluster on one machine.
const MaxNodes = 9

// minHeapMiB is the least heap with which a node starts.
const minHeapMiB = 256

// MemtableMiB is the share of the heap that a node gathers writes in.
func (c Config) MemtableMiB() int { return c.HeapMiB / 4 }

func (c Config) withDefaults() (Config, error) {
	if c.Nodes == 0 {
		c.Nodes = 1
	}
	if c.Nodes < 0 || c.Nodes > MaxNodes {
		return c, fmt.Errorf("launch: Config.Nodes is %d: 1 to %d are possible", c.Nodes, MaxNodes)
	}
	if c.HeapMiB == 0 {
		c.HeapMiB = 512
	}
	if c.HeapMiB < minHeapMiB {
		return c, fmt.Errorf("launch: Config.HeapMiB is %d: a node needs %d", c.HeapMiB, minHeapMiB)
	}
	if c.PaxosVariant == "" {
		c.PaxosVariant = "v2"
	}
	if len(c.DataCenters) == 0 {
		c.DataCenters = []string{"dc1"}
	}
	if len(c.Racks) == 0 {
		c.Racks = []string{"rack1"}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Cache != "" {
		return c, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return c, fmt.Errorf("launch: no cache directory for Cassandra's jars: name one in Config.Cache: %w", err)
	}
	c.Cache = filepath.Join(cache, "skerry")
	return c, nil
}

// of returns the name for node i: the last one serves also those behind it.
func of(names []string, i int) string { return names[min(i, len(names)-1)] }
