package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Config says how a node listens and speaks. Node, Cluster and Shards are required; a zero field means the default that
// its comment gives.
type Config struct {
	// Node names this process: other after each start, at most [MaxName] bytes.
	Node string
	// Cluster, History and Shards must be the same on both sides of a connection: the cluster's name, the journal's
	// history and how many shards it has.
	Cluster string
	History string
	Shards  int

	// Listen is where to listen. Default 127.0.0.1:0. Beyond loopback it needs TLS, or Plain.
	Listen string
	// Advertise is the address that peers are told. Default: where the node listens; a port of 0 is replaced by the real one.
	Advertise string
	// TLS makes both sides prove that they belong to the cluster. Default: none, for loopback only.
	TLS *TLS
	// Plain allows to listen beyond loopback without TLS, where the network itself encrypts and
	// authenticates: whoever reaches the port can send commands on behalf of anyone.
	Plain bool
	// Route tells how to reach a process to which an envelope is to be forwarded, or which made a connection that broke, to look
	// whether it is still there. Default: nothing is forwarded, and who made connections is not looked at. It must return at once.
	Route func(node string) (Peer, bool)
	// Logger default: slog.Default().
	Logger *slog.Logger

	// Dial makes connections, Listener takes them. Default: TCP. Tests give others.
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	Listener net.Listener

	// MaxMessageBytes limits one envelope or answer; one over it fails alone. Default 4 MiB.
	MaxMessageBytes int
	// MaxCalls and MaxCallBytes bound the unanswered envelopes to one peer, and those from one
	// peer. Default 8,192 and 64 MiB. Beyond, senders are answered busy at once.
	MaxCalls     int
	MaxCallBytes int
	// MaxStreams bounds the streams to one peer, and those from one peer. Default 64.
	MaxStreams int
	// MaxPeers bounds the peers spoken to, MaxConns the connections that peers made. Default 1,024 each.
	MaxPeers int
	MaxConns int
	// MaxHellos bounds the connections that have not said who they are; one more ends the oldest of them. Default 256.
	MaxHellos int

	// DialTimeout bounds making a connection, with TLS and hello. Default 2 s.
	DialTimeout time.Duration
	// HelloTimeout bounds how long a new connection may take to say who it is. Default 3 s.
	HelloTimeout time.Duration
	// Gone is told of a process that has ended: nothing listens at its address, or another process does. It hears of each
	// attempt to reach it that ends so, also of the one by which the transport itself looks again after a connection broke. It must return at once.
	// Default: nobody is told.
	Gone func(Peer)
	// Silent is told of a process of which nothing was heard for SilentAfter, again for as long as that lasts, and of one that
	// cannot be reached: it may have died, be slow or be cut off. It must return at once. Default: nobody is told.
	Silent func(Peer)

	// PingEvery is how often something is sent at least. Default 400 ms.
	PingEvery time.Duration
	// SilentAfter is how long nothing may arrive until Silent is told, DeadAfter until the connection is given
	// up. Time for which this process stood still does not count. Default 1 s (2.5 × PingEvery if that is more) and 3 s.
	SilentAfter time.Duration
	DeadAfter   time.Duration
	// FrameTimeout bounds sending and receiving one frame. Default 15 s.
	FrameTimeout time.Duration
	// IdleAfter is how long a connection is kept on which nothing is asked. Default 1 min.
	IdleAfter time.Duration
	// MinBackoff and MaxBackoff bound the pause after a connection failed; it doubles, with jitter. Sending meanwhile
	// fails at once. Default 25 ms and 1 s.
	MinBackoff time.Duration
	MaxBackoff time.Duration

	// versions are those that the node speaks; tests of old and new releases change them.
	versions versions
}

// withDefaults returns the config with defaults filled in, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Route == nil {
		c.Route = func(string) (Peer, bool) { return Peer{}, false }
	}
	if c.Gone == nil {
		c.Gone = func(Peer) {}
	}
	if c.Silent == nil {
		c.Silent = func(Peer) {}
	}
	if c.versions == (versions{}) {
		c.versions = spoken
	}
	c.MaxMessageBytes = orDefault(c.MaxMessageBytes, 4<<20)
	c.MaxCalls = orDefault(c.MaxCalls, 8192)
	c.MaxCallBytes = orDefault(c.MaxCallBytes, max(64<<20, 2*c.MaxMessageBytes))
	c.MaxStreams = orDefault(c.MaxStreams, 64)
	c.MaxPeers = orDefault(c.MaxPeers, 1024)
	c.MaxConns = orDefault(c.MaxConns, 1024)
	c.MaxHellos = orDefault(c.MaxHellos, 256)
	c.DialTimeout = orDefault(c.DialTimeout, 2*time.Second)
	c.HelloTimeout = orDefault(c.HelloTimeout, 3*time.Second)
	c.PingEvery = orDefault(c.PingEvery, 400*time.Millisecond)
	c.SilentAfter = orDefault(c.SilentAfter, max(time.Second, c.PingEvery*5/2))
	c.DeadAfter = orDefault(c.DeadAfter, 3*time.Second)
	c.FrameTimeout = orDefault(c.FrameTimeout, 15*time.Second)
	c.IdleAfter = orDefault(c.IdleAfter, time.Minute)
	c.MinBackoff = orDefault(c.MinBackoff, 25*time.Millisecond)
	c.MaxBackoff = orDefault(c.MaxBackoff, max(time.Second, c.MinBackoff))
	return c, errors.Join(c.checkNames(), c.checkLimits())
}

func (c *Config) checkNames() error {
	var wrong []error
	fail := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("transport: "+format, args...))
	}
	for _, f := range []struct{ name, value string }{
		{"Node", c.Node}, {"Cluster", c.Cluster}, {"History", c.History}, {"Advertise", c.Advertise},
	} {
		if len(f.value) > MaxName {
			fail("Config.%s has %d bytes; at most %d are allowed", f.name, len(f.value), MaxName)
		}
	}
	if c.Node == "" {
		fail("Config.Node is empty: give the process a name that no other has")
	}
	if c.Cluster == "" {
		fail("Config.Cluster is empty: give the name that all nodes of the cluster share")
	}
	if c.Shards < 1 {
		fail("Config.Shards is %d: give the journal's count", c.Shards)
	}
	return errors.Join(wrong...)
}

// minMessageBytes leaves room for what is not the user's.
const minMessageBytes = 64 << 10

func (c *Config) checkLimits() error {
	var wrong []error
	fail := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("transport: "+format, args...))
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxCalls", c.MaxCalls},
		{"MaxStreams", c.MaxStreams},
		{"MaxPeers", c.MaxPeers},
		{"MaxConns", c.MaxConns},
		{"MaxHellos", c.MaxHellos},
	} {
		if f.value < 1 {
			fail("Config.%s is %d: it must be positive", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"DialTimeout", c.DialTimeout},
		{"HelloTimeout", c.HelloTimeout},
		{"PingEvery", c.PingEvery},
		{"SilentAfter", c.SilentAfter},
		{"FrameTimeout", c.FrameTimeout},
		{"IdleAfter", c.IdleAfter},
		{"MinBackoff", c.MinBackoff},
	} {
		if f.value <= 0 {
			fail("Config.%s is %v: it must be positive", f.name, f.value)
		}
	}
	if c.MaxMessageBytes < minMessageBytes || c.MaxMessageBytes > maxMessageBytes {
		fail("Config.MaxMessageBytes is %d: it must be %d to %d", c.MaxMessageBytes, minMessageBytes, maxMessageBytes)
	}
	if c.MaxCallBytes < c.MaxMessageBytes {
		fail("Config.MaxCallBytes is %d: it must be at least MaxMessageBytes, %d", c.MaxCallBytes, c.MaxMessageBytes)
	}
	if c.DeadAfter < 2*c.PingEvery {
		fail("Config.DeadAfter is %v: it must be at least twice PingEvery, %v", c.DeadAfter, c.PingEvery)
	}
	if c.MaxBackoff < c.MinBackoff {
		fail("Config.MaxBackoff is %v: it must be at least MinBackoff, %v", c.MaxBackoff, c.MinBackoff)
	}
	return errors.Join(wrong...)
}

func orDefault[N int | time.Duration](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}
