package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/cmd/internal/door"
)

// ClusterSettings say which cluster the process belongs to and how. Without any of -gossip, -peer, -join and -nodes it is a
// single node, which listens for no other.
type ClusterSettings struct {
	// Name is the node's: it outlives a restart.
	Name string
	// Cluster is the name that all nodes share.
	Cluster string
	// Gossip and Peer are where other nodes find this one and where they send commands to.
	Gossip, Peer string
	// Join is where other nodes' gossip may be found, with commas between.
	Join string
	// Advertise is the IP address at which other nodes reach this one, if it is not the one that is listened on.
	Advertise string
	Weight    int
	Gateway   bool
	// Rows tells of which shards the node writes the rows of the read model.
	Rows string
	// Nodes is how many nodes run in this process.
	Nodes int
	// Cert, Key and CA are files by which nodes know each other; Keys holds those of gossip.
	Cert, Key, CA, Keys string
}

const (
	defaultCluster = "auction"
	// maxNodes bounds those of one process: they are for a look, not for load.
	maxNodes = 9
	// portStep is from one node's ports to the next one's, where several run in a process.
	portStep = 10
)

func (s *ClusterSettings) register(fs *flag.FlagSet) {
	fs.StringVar(&s.Name, "name", "", "the node's name in its cluster; no two nodes have the same; empty means the machine's name")
	fs.StringVar(&s.Cluster, "cluster", defaultCluster, "the name that all nodes of the cluster share; others are refused")
	fs.StringVar(&s.Gossip, "gossip", "", "where other nodes find this one; 127.0.0.1:7946 if only -peer or -join is given; port 0 picks one and prints it")
	fs.StringVar(&s.Peer, "peer", "", "where other nodes send commands to; 127.0.0.1:7947 if only -gossip or -join is given; port 0 picks one and prints it")
	fs.StringVar(&s.Join, "join", "", "where the gossip of other nodes is: HOST:PORT,...; a node without it begins a cluster")
	fs.StringVar(&s.Advertise, "advertise", "", "the IP address at which other nodes reach this one; needed where -gossip or -peer is every address of the machine")
	fs.IntVar(&s.Weight, "weight", 1, "this node's share of the work, relative to other nodes'")
	fs.BoolVar(&s.Gateway, "gateway", false, "run no entities: take requests and pass them on")
	fs.StringVar(&s.Rows, "rows", rowsOfOwn, "which rows of the read model this node writes: own, those of the work that it has; all, for instance on a -gateway while the others say none; or none")
	fs.IntVar(&s.Nodes, "nodes", 1, "how many nodes to run in this process, for a look; the next ones listen 10 ports above -http and -admin")
	fs.StringVar(&s.Cert, "peer-cert", "", "this node's certificate, a PEM file that may be replaced while the node runs; goes with -peer-key and -peer-ca")
	fs.StringVar(&s.Key, "peer-key", "", "the key of -peer-cert, a PEM file")
	fs.StringVar(&s.CA, "peer-ca", "", "who signs the certificates of this cluster's nodes, and of nothing else, a PEM file")
	fs.StringVar(&s.Keys, "gossip-keys", "", "the file of the keys that encrypt gossip; it may be replaced while the node runs")
}

// isMember tells that the process is one of a cluster's.
func (s ClusterSettings) isMember() bool { return s.Gossip != "" || s.Peer != "" || s.Join != "" }

// withDefaults fills in where a member listens and what it is called.
func (s ClusterSettings) withDefaults() ClusterSettings {
	s.Gossip, s.Peer = door.WithHost(cmp.Or(s.Gossip, "127.0.0.1:7946")), door.WithHost(cmp.Or(s.Peer, "127.0.0.1:7947"))
	if s.Name == "" {
		s.Name, _ = os.Hostname() // checked with the name
	}
	return s
}

// member is what the process is in a cluster; nil if it is in none, or is a whole one.
func (s ClusterSettings) member(beyondLoopback bool) *Member {
	if !s.isMember() {
		return nil
	}
	s = s.withDefaults()
	m := &Member{
		Cluster: s.Cluster, Name: s.Name, Gossip: s.Gossip, Peer: s.Peer, Advertise: s.Advertise, Seeds: s.seeds(),
		Weight: s.Weight, Gateway: s.Gateway, Rows: s.Rows, KeyFile: s.Keys, Plain: beyondLoopback,
	}
	if s.hasCertificate() {
		m.TLS = &transport.TLS{CertFile: s.Cert, KeyFile: s.Key, CAFile: s.CA}
	}
	return m
}

// check refuses what cannot be meant, with the settings that they go with.
func (s ClusterSettings) check(with Settings) error {
	switch {
	case s.Nodes < 1 || s.Nodes > maxNodes:
		return fmt.Errorf("-nodes is %d: use 1 to %d", s.Nodes, maxNodes)
	case s.Cluster == "":
		return errors.New("-cluster is empty: give the name that all nodes share")
	case s.Nodes > 1 && (s.isMember() || s.meansMember()):
		return errors.New("-nodes runs a whole cluster in this process: leave out -name, -gossip, -peer, -join and what else is for one node of several")
	case s.Nodes > 1:
		return s.checkPorts(with)
	case !s.isMember() && s.meansMember():
		return errors.New("-name, -cluster, -advertise, -weight, -gateway, -rows, -peer-cert and -gossip-keys are for one node of several: give -gossip and -peer, and -join on all but the first")
	case !s.isMember():
		return nil
	}
	return errors.Join(s.withDefaults().checkMember(with), checkShared(with))
}

// meansMember tells that something was said that only a member can mean.
func (s ClusterSettings) meansMember() bool {
	return s.Name != "" || s.Cluster != defaultCluster || s.Advertise != "" || s.Weight != 1 || s.Gateway || s.Rows != rowsOfOwn || s.hasCertificate() || s.Keys != ""
}

func (s ClusterSettings) hasCertificate() bool { return s.Cert != "" || s.Key != "" || s.CA != "" }

// checkMember looks at what a member says of itself.
func (s ClusterSettings) checkMember(with Settings) error {
	if err := (cluster.Member{Node: s.Name, Incarnation: cluster.NewIncarnation(s.Name), Weight: s.Weight}).Check(); err != nil {
		return fmt.Errorf("-name or -weight: %w", err)
	}
	switch {
	case s.Rows != rowsOfOwn && s.Rows != rowsOfAll && s.Rows != rowsOfNone:
		return fmt.Errorf("-rows is %q: use own, all or none", s.Rows)
	case s.Weight == 0:
		return errors.New("-weight is 0: say -gateway if the node is to run no entities")
	case s.hasCertificate() && (s.Cert == "" || s.Key == "" || s.CA == ""):
		return errors.New("-peer-cert, -peer-key and -peer-ca go together: give all three")
	}
	return errors.Join(s.checkReach(with), s.checkSeeds())
}

// checkReach looks at where a member listens. With certificates, or keys, whoever comes is asked who they are.
func (s ClusterSettings) checkReach(with Settings) error {
	if err := with.checkAddress(s.Gossip); err != nil && (s.Keys == "" || !hasPort(s.Gossip)) {
		return fmt.Errorf("-gossip is %q: %w; or give -gossip-keys", s.Gossip, err)
	}
	if err := with.checkAddress(s.Peer); err != nil && (!s.hasCertificate() || !hasPort(s.Peer)) {
		return fmt.Errorf("-peer is %q: %w; or give -peer-cert, -peer-key and -peer-ca", s.Peer, err)
	}
	host, port, _ := net.SplitHostPort(s.Gossip)
	switch {
	case net.ParseIP(host) == nil:
		return fmt.Errorf("-gossip is %q: give an IP address and a port, such as 127.0.0.1:7946", s.Gossip)
	case s.Advertise == "":
		return s.checkFound()
	case net.ParseIP(s.Advertise) == nil || net.ParseIP(s.Advertise).IsUnspecified():
		return fmt.Errorf("-advertise is %q: give the IP address at which other nodes reach this one, without a port", s.Advertise)
	case port == "0":
		return fmt.Errorf("-gossip is %q: give it a port, since -advertise tells other nodes of it", s.Gossip)
	}
	return nil
}

// checkFound refuses to listen on every address when nothing says which of them others can reach.
func (s ClusterSettings) checkFound() error {
	for name, address := range map[string]string{"-gossip": s.Gossip, "-peer": s.Peer} {
		host, _, _ := net.SplitHostPort(address)
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("%s is %q, every address of this machine: say with -advertise at which one other nodes reach it", name, address)
		}
	}
	return nil
}

func hasPort(address string) bool {
	_, _, err := net.SplitHostPort(address)
	return err == nil
}

func (s ClusterSettings) checkSeeds() error {
	for _, seed := range s.seeds() {
		if !hasPort(seed) {
			return fmt.Errorf("-join has %q: write HOST:PORT, as the other node's -gossip says", seed)
		}
	}
	return nil
}

// seeds are where other nodes may be found.
func (s ClusterSettings) seeds() []string {
	return strings.FieldsFunc(s.Join, func(r rune) bool { return r == ',' || r == ' ' })
}

// checkShared refuses stores that belong to one process where several are to have them.
func checkShared(with Settings) error {
	if with.Journal == "" {
		return errors.New("-journal is empty, and the journal in -data belongs to one process: give all nodes the same -journal cassandra://..., or run -nodes 3 in one process")
	}
	if !isPostgres(with.Read) {
		return errors.New("-read is a file, which belongs to one process, and the rows of each lot are written by the node that has it: give all nodes the same -read postgres://..., or run -nodes 3 in one process")
	}
	return nil
}

// checkPorts makes sure that there are enough for all nodes of the process.
func (s ClusterSettings) checkPorts(with Settings) error {
	for name, address := range map[string]string{"-http": with.HTTP, "-admin": with.Admin} {
		if _, err := portOf(address, s.Nodes-1); err != nil {
			return fmt.Errorf("%s is %q: %w", name, address, err)
		}
	}
	return nil
}

// portOf is the address of one node of several in a process: the first has the one that was asked for.
func portOf(address string, node int) (string, error) {
	host, text, err := net.SplitHostPort(door.WithHost(address))
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is no port: use a number", text)
	case port == 0:
		return net.JoinHostPort(host, "0"), nil
	case int(port)+portStep*node > 65535:
		return "", fmt.Errorf("node %d would listen beyond port 65535: use a lower one, or 0", node+1)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)+portStep*node)), nil
}

// isPostgres tells a read model in PostgreSQL from a file.
func isPostgres(read string) bool {
	return strings.HasPrefix(read, "postgres://") || strings.HasPrefix(read, "postgresql://")
}
