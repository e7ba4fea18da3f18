package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// member is one node of a measured cluster.
type member struct {
	*cluster.Node
	// seed is where its gossip is reached.
	seed string
}

// memberConfig says how a member runs.
type memberConfig struct {
	Name    string
	Gateway bool
	Seeds   []string
	journal journal.Journal
}

// join starts a node of the measured cluster on loopback, with the product's own defaults.
func (s Setup) join(ctx context.Context, c memberConfig) (*member, error) {
	m := &member{}
	n, err := cluster.Start(ctx, cluster.Config{
		Cluster: "bench", Name: c.Name, Gateway: c.Gateway, Seeds: c.Seeds, Logger: s.Logger,
		Host: entity.Config{
			Journal: c.journal, Types: []entity.Definition{ledgers}, Shards: s.Shards, MaxAppends: s.Appends, SlowAfter: slowAfter,
		},
		Gossip: func(id cluster.Identity, self cluster.Member) (cluster.Gossip, error) {
			g, err := gossip.Start(gossip.Config{Identity: id, Self: self, Logger: s.Logger})
			if err != nil {
				return nil, err // not a typed nil
			}
			m.seed = g.Address()
			return g, nil
		},
		Transport: func(cfg transport.Config) (transport.Transport, error) {
			return transport.Listen(cfg)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start node %s: %w", c.Name, err)
	}
	m.Node = n
	return m, nil
}

// owns lists the shards that the node serves, in order.
func (m *member) owns(ctx context.Context) (owned []int, err error) {
	shards, err := m.Host().Shards(ctx)
	for _, s := range shards {
		if s.Phase == "serving" {
			owned = append(owned, int(s.Shard))
		}
	}
	return owned, err
}

// leave ends the node; it gives its shards away first.
func (m *member) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	return m.Stop(ctx)
}

// MemberProcess is what a process is told that [Fault] starts as a node.
type MemberProcess struct {
	Name  string   `json:"name"`
	Seeds []string `json:"seeds"`
	// URL and Dir name the journal of the run.
	URL     string     `json:"url"`
	Dir     string     `json:"dir"`
	Shards  int        `json:"shards"`
	Appends int        `json:"appends"`
	Log     slog.Level `json:"log"`
}

// saysOwns begins the lines that a member's process prints, one after each change of what it serves.
const saysOwns = "owns "

// ownsPause is how often a member looks at what it serves.
const ownsPause = 50 * time.Millisecond

// RunMember is a node of a measured cluster, until ctx ends: then it gives its shards away and leaves. It ends
// at once and without a word when lifeline does: then the process that started it is gone.
func RunMember(ctx context.Context, p MemberProcess, lifeline io.Reader, out, log io.Writer) (err error) {
	orphaned, orphan := context.WithCancel(context.WithoutCancel(ctx))
	go func() { // it ends with the process: nothing else ends the lifeline
		_, _ = io.Copy(io.Discard, lifeline)
		orphan()
	}()
	handler := slog.NewTextHandler(log, &slog.HandlerOptions{Level: p.Log})
	s := Setup{Journal: Cassandra, URL: p.URL, Shards: p.Shards, Appends: p.Appends, Logger: slog.New(handler).With("node", p.Name)}
	j, err := s.open(ctx, p.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	m, err := s.join(ctx, memberConfig{Name: p.Name, Seeds: p.Seeds, journal: j})
	if err != nil {
		return err
	}
	stopped := make(chan error, 1)
	go func() {
		select {
		case <-ctx.Done():
			stopped <- m.leave()
		case <-orphaned.Done():
			stopped <- errors.New("the process that started this node has ended")
		}
	}()
	return m.tell(ctx, out, stopped)
}

// tell prints what the node serves until it has stopped.
func (m *member) tell(ctx context.Context, out io.Writer, stopped <-chan error) error {
	tick := time.NewTicker(ownsPause)
	defer tick.Stop()
	for said := "none yet"; ; {
		if owned, err := m.owns(context.WithoutCancel(ctx)); err == nil { // else the host is stopping
			if now := listOf(owned); now != said {
				said = now
				_, _ = io.WriteString(out, saysOwns+now+"\n")
			}
		}
		select {
		case err := <-stopped:
			return err
		case <-tick.C:
		}
	}
}

func listOf(numbers []int) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, ",")
}
