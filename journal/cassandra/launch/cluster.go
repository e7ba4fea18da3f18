package launch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cluster is one or several Cassandra nodes.
type Cluster struct {
	Nodes []*Node
	// CA is the file with the certificate that clients trust; empty without TLS.
	CA string

	cfg Config
	dir string
	// forget removes dir at the end; nil if it is kept.
	forget *remover
	java   string
	jars   string
}

// Start launches a cluster and returns when all its nodes take CQL and see each
// other. What was started is stopped again when it fails.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg}
	if c.java, err = java17(ctx); err != nil {
		return nil, err
	}
	if c.jars, err = jars(ctx, cfg); err != nil {
		return nil, err
	}
	if err := c.layOut(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	for _, n := range c.Nodes {
		if err := n.start(ctx); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	return c, nil
}

// layOut writes the configuration of all nodes.
func (c *Cluster) layOut() error {
	if err := c.makeDir(); err != nil {
		return err
	}
	var key string
	if c.cfg.TLS {
		var err error
		if key, c.CA, err = certify(c.dir); err != nil {
			return err
		}
	}
	ports, err := freePorts(c.cfg.Nodes, 2)
	if err != nil {
		return err
	}
	if c.cfg.Port == 0 {
		c.cfg.Port = ports[1]
	}
	var seeds []string
	for i := range c.cfg.Nodes {
		seeds = append(seeds, net.JoinHostPort(address(i), strconv.Itoa(ports[0])))
	}
	for i := range c.cfg.Nodes {
		n := &Node{cluster: c, index: i, layout: layout{
			Config: c.cfg, Dir: filepath.Join(c.dir, "node"+strconv.Itoa(i+1)), IP: address(i), StoragePort: ports[0],
			Seeds: strings.Join(seeds, ","), DataCenter: of(c.cfg.DataCenters, i), Rack: of(c.cfg.Racks, i),
			Key: key, CA: c.CA,
		}}
		if err := n.layout.write(); err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
	}
	return nil
}

func (c *Cluster) makeDir() (err error) {
	if c.cfg.Dir == "" {
		c.dir, c.forget, err = makeForgotten()
	} else if c.dir, err = filepath.Abs(c.cfg.Dir); err == nil {
		err = os.MkdirAll(c.dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	return nil
}

// Hosts returns where the nodes take CQL.
func (c *Cluster) Hosts() []string {
	var hosts []string
	for _, n := range c.Nodes {
		hosts = append(hosts, n.Address())
	}
	return hosts
}

// Stop ends all nodes: in good order if their data is kept, else at once, and
// the temporary directory is removed.
func (c *Cluster) Stop() error {
	for _, n := range c.Nodes {
		if c.cfg.Dir != "" {
			n.Stop()
		} else {
			n.Kill()
		}
	}
	if c.forget == nil {
		return nil
	}
	defer func() { c.forget = nil }() // Stop may be called again
	return c.forget.now()
}

// Wait returns nil when ctx ends, or an error when a node ends by itself before.
func (c *Cluster) Wait(ctx context.Context) error {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		if err := c.Died(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Died tells of all nodes that have ended by themselves; see Node.Died.
func (c *Cluster) Died() error {
	var died []error
	for _, n := range c.Nodes {
		died = append(died, n.Died())
	}
	return errors.Join(died...)
}

// address is the loopback address of node i.
func address(i int) string { return "127.0.0." + strconv.Itoa(i+1) }

// Ports of nodes lie below those that systems give to connections, and to who asks for any: a node takes its ports
// seconds after they were found free, and again after it was down.
const (
	lowestPort  = 15000
	highestPort = 32000
)

// freePorts finds ports that are free on the addresses of all nodes. Another
// process may take one before a node does; the node then says so and ends.
func freePorts(nodes, count int) ([]int, error) {
	var ports []int
	for range 100 * count {
		port := lowestPort + rand.IntN(highestPort-lowestPort) //nolint:gosec // no secret
		free, err := isFree(port, nodes)
		if err != nil {
			return nil, err
		}
		if free && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
		if len(ports) == count {
			return ports, nil
		}
	}
	return nil, errors.New("launch: no port is free on all loopback addresses")
}

// isFree tells whether a port is free on the addresses of all nodes. That the first one cannot be had at all is an error.
func isFree(port, nodes int) (bool, error) {
	for i := range nodes {
		l, err := net.Listen("tcp", net.JoinHostPort(address(i), strconv.Itoa(port)))
		if err != nil && (i > 0 || errors.Is(err, syscall.EADDRINUSE)) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("launch: %w", err)
		}
		_ = l.Close() // it was never used
	}
	return true, nil
}
