package gossip

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/cluster"
)

// Config says how [Start] runs. Identity and Self are required; a zero field means
// the default that its comment gives.
type Config struct {
	// Identity is what nodes must have in common.
	Identity cluster.Identity
	// Self is what the process says of itself at first.
	Self cluster.Member

	// Bind is where to listen, for packets and for streams, as IP address and port. Port 0
	// takes a free one: see [Gossip.Address]. Default 127.0.0.1:0.
	Bind string
	// Advertise is where others reach this process, as IP address and port. Default: where it
	// listens; required if that is every interface.
	Advertise string
	// Keys encrypt all traffic. Default: those in KeyFile.
	Keys *Keys
	// KeyFile names the file of the keys (see [ReadKeyFile]). It may be replaced while nodes run: it is read each second, and one that cannot
	// be read changes nothing but is told of in the log. Default: none; then Bind must be on loopback, or Plain be said.
	KeyFile string
	// Plain allows to bind beyond loopback without keys, where the network itself encrypts and
	// authenticates: whoever reaches the port can pretend to be nodes.
	Plain bool
	// Logger default: slog.Default().
	Logger *slog.Logger
	// Network replaces the sockets, for tests.
	Network *Network

	// ProbeInterval is how often the process asks another one whether it is there; ProbeTimeout,
	// how long the answer may take until others are asked to try. SuspicionFactor times
	// the interval is how long a suspect may defend itself (longer beyond 10 nodes, with the
	// logarithm; up to twice as long while no other node shares the suspicion).
	// Default 400 ms, 200 ms and 3; what that costs and brings is in the package's documentation.
	ProbeInterval   time.Duration
	ProbeTimeout    time.Duration
	SuspicionFactor int
	// SpreadInterval is how often news is sent on. Default 100 ms.
	SpreadInterval time.Duration
	// SyncInterval is how often the process compares all it knows with one other; it grows
	// beyond 32 nodes. Default 30 s.
	SyncInterval time.Duration
	// RejoinInterval is how often seeds and lost members that are not there are tried, give or take
	// half of it; a process without peers tries more often. Default 5 s.
	RejoinInterval time.Duration
	// StreamTimeout bounds each exchange over a stream. Default 2 s.
	StreamTimeout time.Duration
	// MaxMembers bounds the processes that are taken note of. Default 1,000.
	MaxMembers int

	// wire are the versions that the process speaks; tests of old and new releases change them.
	wire versions
}

// filled returns the config with defaults, or an error that names the wrong field.
func (c Config) filled() (Config, error) {
	if err := c.Identity.Check(); err != nil {
		return c, fmt.Errorf("gossip: Config.Identity: %w", err)
	}
	if err := c.Self.Check(); err != nil {
		return c, fmt.Errorf("gossip: Config.Self: %w", err)
	}
	if c.Bind == "" {
		c.Bind = "127.0.0.1:0"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, f := range []struct {
		name     string
		field    *time.Duration
		standard time.Duration
	}{
		{"ProbeInterval", &c.ProbeInterval, 400 * time.Millisecond},
		{"ProbeTimeout", &c.ProbeTimeout, 200 * time.Millisecond},
		{"SpreadInterval", &c.SpreadInterval, 100 * time.Millisecond},
		{"SyncInterval", &c.SyncInterval, 30 * time.Second},
		{"RejoinInterval", &c.RejoinInterval, 5 * time.Second},
		{"StreamTimeout", &c.StreamTimeout, 2 * time.Second},
	} {
		if *f.field == 0 {
			*f.field = f.standard
		}
		if *f.field < time.Millisecond {
			return c, fmt.Errorf("gossip: Config.%s is %v; it must be 1 ms at least", f.name, *f.field)
		}
	}
	return c.counted()
}

// counted fills in the counts and checks what depends on more than one field.
func (c Config) counted() (Config, error) {
	if c.SuspicionFactor == 0 {
		c.SuspicionFactor = 3
	}
	if c.wire == (versions{}) {
		c.wire = spoken
	}
	if c.MaxMembers == 0 {
		c.MaxMembers = 1000
	}
	switch {
	case c.SuspicionFactor < 1:
		return c, fmt.Errorf("gossip: Config.SuspicionFactor is %d; it must be 1 at least", c.SuspicionFactor)
	case c.MaxMembers < 1:
		return c, fmt.Errorf("gossip: Config.MaxMembers is %d; it must be 1 at least", c.MaxMembers)
	case c.ProbeTimeout >= c.ProbeInterval:
		return c, fmt.Errorf("gossip: Config.ProbeTimeout is %v; it must be below ProbeInterval, %v", c.ProbeTimeout, c.ProbeInterval)
	}
	bind, err := parseAddress("Bind", c.Bind)
	if err != nil {
		return c, err
	}
	if err := c.checkExposure(bind.IP); err != nil {
		return c, err
	}
	if c.Advertise == "" {
		if bind.IP.IsUnspecified() {
			return c, fmt.Errorf("gossip: Config.Advertise is missing: others cannot reach %s; give the address that they can", c.Bind)
		}
		return c, nil
	}
	advertise, err := parseAddress("Advertise", c.Advertise)
	if err == nil && (advertise.IP.IsUnspecified() || advertise.Port == 0) {
		err = fmt.Errorf("gossip: Config.Advertise is %s; others need an address and a port that they can reach", c.Advertise)
	}
	return c, err
}

// checkExposure refuses to listen for the world without keys.
func (c Config) checkExposure(bind net.IP) error {
	switch {
	case c.Keys != nil && c.KeyFile != "":
		return fmt.Errorf("gossip: Config.Keys and Config.KeyFile (%s) are both given: leave one of them out", c.KeyFile)
	case c.Keys != nil || c.KeyFile != "" || c.Plain || c.Network != nil || bind.IsLoopback():
		return nil
	}
	return fmt.Errorf("gossip: Config.Bind is %s, beyond loopback, and whoever reaches it could pretend to be a node: give Config.KeyFile, or Config.Plain where the network is trusted", c.Bind)
}

// parseAddress takes IP addresses only: a name may mean another machine tomorrow.
func parseAddress(field, address string) (*net.TCPAddr, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("gossip: Config.%s is %q; it must be an IP address and a port: %w", field, address, err)
	}
	ip := net.ParseIP(host)
	port, err := strconv.ParseUint(portText, 10, 16)
	if ip == nil || err != nil {
		return nil, fmt.Errorf("gossip: Config.%s is %q; it must be an IP address and a port, such as 127.0.0.1:7946", field, address)
	}
	return &net.TCPAddr{IP: ip, Port: int(port)}, nil
}
