package launch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Node is one Cassandra node. Its methods may be called by one goroutine at a
// time; those of different nodes at once.
type Node struct {
	cluster *Cluster
	layout  layout
	index   int
	process *process
}

// Address is where the node takes CQL, host and port.
func (n *Node) Address() string { return net.JoinHostPort(n.layout.IP, strconv.Itoa(n.layout.Port)) }

// Log is the file that the node logs to. It is kept over restarts.
func (n *Node) Log() string { return filepath.Join(n.layout.Dir, "system.log") }

// Pid is the node's process; 0 when it does not run.
func (n *Node) Pid() int {
	if n.process == nil || !n.process.running() {
		return 0
	}
	return n.process.process.Pid
}

// Kill ends the node at once (SIGKILL), as a crash would.
func (n *Node) Kill() {
	if n.process != nil {
		n.process.kill()
	}
}

// stopPatience is how long a node may take to end in good order.
const stopPatience = 20 * time.Second

// Stop ends the node in good order, and at once when that takes too long.
func (n *Node) Stop() {
	if n.Pid() == 0 {
		return
	}
	n.process.asked.Store(true)
	if n.process.process.Signal(syscall.SIGTERM) != nil {
		n.Kill()
		return
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-n.process.ended:
	case <-patience.C:
		n.Kill()
	}
}

// Pause stops the node's process in mid-air (SIGSTOP): it holds its
// connections and answers nothing.
func (n *Node) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets a paused node go on.
func (n *Node) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	if n.Pid() == 0 {
		return fmt.Errorf("launch: node %s does not run", n.Address())
	}
	return n.process.process.Signal(s)
}

// Restart starts a node that was stopped or killed, with the data it had, and
// returns when it takes CQL and all running nodes see each other.
func (n *Node) Restart(ctx context.Context) error {
	if n.Pid() != 0 {
		return fmt.Errorf("launch: node %s runs already", n.Address())
	}
	return n.start(ctx)
}

// start runs the node and waits until it takes CQL.
func (n *Node) start(ctx context.Context) error {
	if err := n.portIsFree(); err != nil {
		return err
	}
	ringDelay := 3000 // less, and a node that joins finds no seed
	if len(n.cluster.Nodes) == 1 {
		ringDelay = 100
	}
	command := exec.Command(n.cluster.java, n.layout.arguments(n.cluster.jars, ringDelay)...) //nolint:noctx // the node outlives the call that starts it
	out, err := os.OpenFile(filepath.Join(n.layout.Dir, "out.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	defer func() { _ = out.Close() }() // the process has its own handle
	command.Stdout, command.Stderr = out, out
	command.Dir = n.layout.Dir
	seen := n.cluster.marks()
	if n.process, err = run(command); err != nil {
		return fmt.Errorf("launch: run %s: %w", n.cluster.java, err)
	}
	if err := n.ready(ctx, seen); err != nil {
		n.Kill()
		return err
	}
	n.cluster.cfg.Logger.Info("Cassandra takes CQL", "address", n.Address(), "pid", n.Pid(), "log", n.Log())
	return nil
}

// portIsFree tells early what the node would say late. It does not ask for an answer: who is there may be slow.
func (n *Node) portIsFree() error {
	l, err := net.Listen("tcp", n.Address())
	if err != nil {
		return fmt.Errorf("launch: a node cannot take CQL on %s: stop what is there, or choose another port (Config.Port; -port of the node command): %w", n.Address(), err)
	}
	return l.Close()
}

// between two looks at a node that is starting
const between = 50 * time.Millisecond

// ready waits until the node takes CQL and sees the nodes that run, and they it.
func (n *Node) ready(ctx context.Context, seen marks) error {
	if err := n.await(ctx, "it does not take CQL", n.probe); err != nil {
		return err
	}
	return n.await(ctx, "the nodes do not see each other", func(context.Context) error { return seen.all(n) })
}

// await looks until look finds nothing to complain of.
func (n *Node) await(ctx context.Context, what string, look func(context.Context) error) error {
	tick := time.NewTicker(between)
	defer tick.Stop()
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-n.process.ended:
			return fmt.Errorf("launch: node %s ended while it started: %w:\n%s", n.Address(), cmp.Or(n.process.err, errEnded), n.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("launch: node %s: %s (%w): %w:\n%s", n.Address(), what, err, context.Cause(ctx), n.lastWords())
		case <-tick.C:
		}
	}
}

// Died tells why the node has ended by itself, with its last words; nil while it
// runs, and after Kill and Stop.
func (n *Node) Died() error {
	if n.process == nil || n.process.running() || n.process.asked.Load() {
		return nil
	}
	return fmt.Errorf("launch: node %s ended by itself: %w:\n%s", n.Address(), cmp.Or(n.process.err, errEnded), n.lastWords())
}

// lastWords is the end of what the node said.
func (n *Node) lastWords() []byte {
	const most = 1500
	log, _ := os.ReadFile(n.Log())
	out, _ := os.ReadFile(filepath.Join(n.layout.Dir, "out.log"))
	return append(tail(out, most), tail(log, most)...)
}

// marks tells how long each node's log was before something that all should notice.
type marks map[*Node]int64

func (c *Cluster) marks() marks {
	m := marks{}
	for _, n := range c.Nodes {
		if info, err := os.Stat(n.Log()); err == nil {
			m[n] = info.Size()
		}
	}
	return m
}

var errEnded = errors.New("it went without an error")

var errUnseen = errors.New("a node has not noticed another one yet")

// all tells whether every other running node noticed n since the marks, and n them.
func (m marks) all(n *Node) error {
	for _, other := range n.cluster.Nodes {
		if other == n || other.Pid() == 0 {
			continue
		}
		if !m.saw(n, other) || !m.saw(other, n) {
			return errUnseen
		}
	}
	return nil
}

// saw tells whether a node's log says since the mark that another is up.
func (m marks) saw(n, other *Node) bool {
	log, err := os.ReadFile(n.Log())
	if err != nil || int64(len(log)) < m[n] {
		return false
	}
	up := fmt.Sprintf("/%s:%d is now UP", other.layout.IP, other.layout.StoragePort)
	return bytes.Contains(log[m[n]:], []byte(up))
}
