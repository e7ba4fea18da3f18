package entity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"os"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// Config says how a [Host] runs. Journal and Types are required; a zero field
// means the default that its comment gives.
type Config struct {
	Journal journal.Journal
	Types   []Definition

	// Node names this process in claims and to operators; 64 bytes at most.
	// Default: the host's name and a random part. Two processes never share one.
	Node string
	// Shards is fixed by the first start on a journal. Default 64.
	Shards int
	// Logger default: slog.Default().
	Logger *slog.Logger
	// Clock default: the wall clock at start plus monotonic time since.
	Clock func() time.Time
	// AcceptClock lets a host start although the journal's newest record is more than a
	// day away from the clock.
	AcceptClock bool
	// UnknownEvents says what Start does when the journal lists events that Types cannot
	// read. Default: refuse to start.
	UnknownEvents UnknownEvents

	// IdleAfter is how long an entity stays live without a command. Default 2 min.
	IdleAfter time.Duration
	// MaxLive and MaxLiveBytes bound the live entities of the node and (roughly) their
	// states. Default 100,000 and 256 MiB. Those longest without a command go first.
	MaxLive      int
	MaxLiveBytes int
	// MaxCommandBytes limits one command's payload. Default 1 MiB.
	MaxCommandBytes int
	// MaxRecordBytes limits what one append carries, so also what one command may
	// store. Default 2 MiB, or half of what the journal takes if that is less; it cannot be more than that half.
	MaxRecordBytes int
	// MaxPending bounds the unanswered commands of one shard, MaxPendingBytes their payloads on
	// the node. Default 8,192 and 256 MiB. Beyond, callers get ErrBusy.
	MaxPending      int
	MaxPendingBytes int
	// MaxAppends bounds the appends under way on the node. Default 0: found while running, by how fast commands are answered.
	MaxAppends int
	// SnapshotBytes is what an entity stores at least between two snapshots of it, so also about what its recovery
	// reads beside one. Default 64 KiB. A snapshot waits, besides, until that exceeds its own size, and 1 s.
	SnapshotBytes int
	// SlowAfter is how long a command may take before it is logged with the time it spent in each phase. Default 1 s.
	SlowAfter time.Duration
}

// filled returns the config with defaults, or an error that names the wrong field.
func (c Config) filled() (Config, error) {
	if c.Journal == nil {
		return c, fmt.Errorf("entity: Config.Journal is missing")
	}
	if len(c.Types) == 0 {
		return c, fmt.Errorf("entity: Config.Types is empty: a host needs at least one entity.Define")
	}
	seen := map[string]bool{}
	for _, t := range c.Types {
		if seen[t.Name()] {
			return c, fmt.Errorf("entity: Config.Types has two types named %q", t.Name())
		}
		seen[t.Name()] = true
	}
	if c.Node == "" {
		c.Node = newNodeName()
	}
	if len(c.Node) > 64 {
		return c, fmt.Errorf("entity: Config.Node has %d bytes; at most 64 are allowed", len(c.Node))
	}
	if c.Shards < 0 || c.Shards > maxShards {
		return c, fmt.Errorf("entity: Config.Shards is %d; it must be 1 to %d", c.Shards, maxShards)
	}
	if c.UnknownEvents > WarnOfUnknownEvents {
		return c, fmt.Errorf("entity: Config.UnknownEvents is %d; it must be RefuseUnknownEvents or WarnOfUnknownEvents", c.UnknownEvents)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = monotonic()
	}
	return c.limited()
}

// limited fills in the limits and checks them.
func (c Config) limited() (Config, error) {
	for _, f := range []struct {
		name     string
		field    *int
		standard int
	}{
		{"MaxLive", &c.MaxLive, 100_000},
		{"MaxLiveBytes", &c.MaxLiveBytes, 256 << 20},
		{"MaxCommandBytes", &c.MaxCommandBytes, 1 << 20},
		{"MaxRecordBytes", &c.MaxRecordBytes, min(2<<20, recordLimit(c.Journal)/2)},
		{"MaxPending", &c.MaxPending, 8192},
		{"MaxPendingBytes", &c.MaxPendingBytes, 256 << 20},
		{"MaxAppends", &c.MaxAppends, 0},
		{"SnapshotBytes", &c.SnapshotBytes, 64 << 10},
	} {
		if *f.field < 0 {
			return c, fmt.Errorf("entity: Config.%s is %d; it cannot be negative", f.name, *f.field)
		}
		if *f.field == 0 {
			*f.field = f.standard
		}
	}
	if half := recordLimit(c.Journal) / 2; c.MaxRecordBytes > half {
		return c, fmt.Errorf("entity: Config.MaxRecordBytes is %d; the journal takes records of %d bytes, and at most half of that (%d) is allowed", c.MaxRecordBytes, 2*half, half)
	}
	if c.IdleAfter < 0 || c.SlowAfter < 0 {
		return c, fmt.Errorf("entity: Config.IdleAfter and Config.SlowAfter cannot be negative")
	}
	if c.IdleAfter == 0 {
		c.IdleAfter = 2 * time.Minute
	}
	if c.SlowAfter == 0 {
		c.SlowAfter = time.Second
	}
	return c, nil
}

// recordLimit is what the journal takes, if it has a limit.
func recordLimit(j journal.Journal) int {
	if l, ok := j.(journal.Limited); ok {
		return l.MaxRecord()
	}
	return math.MaxInt
}

const (
	defaultShards = 64
	maxShards     = 4096
)

// newNodeName returns a name that no other process has.
func newNodeName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%.40s-%s", host, hex.EncodeToString(b[:]))
}

// monotonic is the wall clock at start plus monotonic time since: it does not
// jump when somebody sets the clock.
func monotonic() func() time.Time {
	start := time.Now()
	wall := start.Round(0)
	return func() time.Time { return wall.Add(time.Since(start)) }
}
