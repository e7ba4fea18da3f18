package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

const clusterShards = 16

// The scripts operate three nodes of one process. SKERRY_ADDR is n1's admin listener, ALL is that of all. Beside the script
// command "atrest", which waits until each shard is where it belongs, there are "until" and "seen".
func TestClusterScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cluster",
		Setup: func(env *testscript.Env) error {
			nodes := startCluster(t, "n1", "n2", "n3")
			var all []string
			for _, n := range nodes {
				all = append(all, n.addr)
			}
			env.Setenv("SKERRY_ADDR", all[0])
			env.Setenv("ALL", strings.Join(all, ","))
			return awaitRest(t.Context(), all[0])
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"json": checkJSON, "until": untilSkerry, "seen": seenBySkerry,
			"atrest": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Check(awaitRest(t.Context(), ts.Getenv("SKERRY_ADDR")))
			},
		},
	})
}

type clusterNode struct {
	*cluster.Node
	addr string // of its admin listener
}

func startCluster(t *testing.T, names ...string) (nodes []*clusterNode) {
	t.Helper()
	memory := journal.NewMemory()
	var seeds []string
	for _, name := range names {
		n, err := cluster.Start(t.Context(), cluster.Config{
			Name: name, Seeds: seeds, Logger: slog.New(slog.DiscardHandler), Version: "1.2.3",
			Host: entity.Config{Journal: memory, Types: []entity.Definition{accounts}, Shards: clusterShards},
			Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
				g, err := gossip.Start(gossip.Config{Identity: id, Self: self})
				if err == nil {
					seeds = append(seeds, g.Address())
				}
				return g, err
			},
			Transport: func(cfg transport.Config) (transport.Transport, error) { return transport.Listen(cfg) },
		})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, &clusterNode{n, serveAdmin(t, n)})
	}
	return nodes
}

// serveAdmin gives a node an admin listener; both end with the test.
func serveAdmin(t *testing.T, n *cluster.Node) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.Server(admin.New(admin.Entities(n), admin.Cluster(n)), slog.New(slog.DiscardHandler))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
		_ = server.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

// awaitRest waits until each shard is where it belongs, as one node knows it.
func awaitRest(ctx context.Context, addr string) error {
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		p, err := (&admin.Client{Addr: addr}).Placement(ctx)
		away := count(p, func(x *adminv1.PlacedShard) bool { return !atRest(x) })
		switch {
		case err == nil && away == 0:
			return nil
		case time.Now().After(end):
			return errors.Join(fmt.Errorf("after %v, %d shards are not at rest", patience, away), err)
		}
	}
}
