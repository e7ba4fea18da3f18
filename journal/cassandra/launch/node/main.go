// Command node runs Cassandra nodes on loopback addresses until it is told to
// stop: one on the port that CQL tools expect, or as many as -nodes says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	cfg := launch.Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	var centres string
	flag.IntVar(&cfg.Nodes, "nodes", 1, "how many nodes")
	flag.IntVar(&cfg.Port, "port", 9042, "the CQL port of all nodes")
	flag.StringVar(&cfg.Dir, "dir", "", "where data is kept; without it all is forgotten at the end")
	flag.IntVar(&cfg.HeapMiB, "heap", 1024, "Java heap of each node, in MiB")
	flag.StringVar(&cfg.PaxosVariant, "paxos", "v2", "v1 or v2")
	flag.StringVar(&centres, "dc", "", "data centres of the nodes, separated by commas")
	flag.BoolVar(&cfg.Password, "password", false, "ask for a password (cassandra, cassandra)")
	flag.BoolVar(&cfg.TLS, "tls", false, "encrypt the connections of clients")
	flag.Parse()
	if centres != "" {
		cfg.DataCenters = strings.Split(centres, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cluster, err := launch.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Println("journal: " + journalURL(cfg, cluster))
	if cluster.CA != "" {
		fmt.Println("certificate to trust:", cluster.CA)
	}
	return errors.Join(cluster.Wait(ctx), cluster.Stop())
}

// journalURL is what a service is given. Three nodes are enough for a journal as in production, with three replicas.
func journalURL(cfg launch.Config, cluster *launch.Cluster) string {
	url := "cassandra://" + strings.Join(cluster.Hosts(), ",") + "/skerry"
	if cfg.Nodes < 3 {
		return url + "?dev=1"
	}
	return url + "?create=1"
}
