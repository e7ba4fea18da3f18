package cassandra

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// Config says where a journal lies and how it is used. Zero fields mean the
// defaults named here.
type Config struct {
	// Hosts are some of the cluster's nodes, each HOST or HOST:PORT; the rest is found
	// through them. The port of the first is used for all that are found. Required.
	Hosts []string
	// Keyspace holds the journal: lower-case letters, digits and underscores. Required.
	Keyspace string
	// DataCenter is the one data centre that writes, where there are several. Empty:
	// agreement spans all replicas, wherever they are.
	DataCenter string
	// Username and Password log in, if given.
	Username string
	Password Secret
	// TLS encrypts connections, if given. Host names are verified unless it says otherwise.
	TLS *tls.Config
	// Development allows what loses data or availability in production: it creates
	// keyspace and tables, and accepts a replication factor below 3.
	Development bool
	// CreateSchema creates the tables, and the keyspace with Replication, if they
	// are missing. Several processes may do so at once.
	CreateSchema bool
	// Replication is the replication of a keyspace that Open creates, in CQL; by
	// default a factor of 3, or of 1 with Development, in every data centre.
	Replication string
	// Timeout bounds the wait for the database's answer to one request; 1 s by default. What an
	// append that got no answer has done is unknown.
	Timeout time.Duration
	// MaxRecordBytes limits a record's body; larger ones are refused. 4 MiB by
	// default. Cassandra's max_mutation_size must be twice that.
	MaxRecordBytes int
	// BucketBytes is the size at which a partition of a log is closed; 32 MiB by
	// default. Owners of a shard may differ in it.
	BucketBytes int64
	// DerivedInFlight bounds the derived writes that are under way at once; 16 by default.
	DerivedInFlight int
	// Connections to each Cassandra node; 2 by default.
	Connections int
	// Logger hears of doubtful settings and of trouble; silent by default.
	Logger *slog.Logger
}

// Secret is a text that prints as asterisks, in logs as well.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	defaultTimeout         = time.Second
	defaultMaxRecordBytes  = 4 << 20
	defaultBucketBytes     = 32 << 20
	defaultDerivedInFlight = 16
	defaultConnections     = 2
	defaultPort            = 9042
)

// keyspaceName is what Cassandra allows without quotes; it also keeps the name out of trouble in CQL.
var keyspaceName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// withDefaults returns the config with defaults filled in, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	switch {
	case len(c.Hosts) == 0:
		return c, fmt.Errorf("journal/cassandra: Config.Hosts is empty: name at least one node")
	case !keyspaceName.MatchString(c.Keyspace):
		return c, fmt.Errorf("journal/cassandra: Config.Keyspace is %q: up to 48 lower-case letters, digits and underscores are possible, a letter first", c.Keyspace)
	case c.Password != "" && c.Username == "":
		return c, fmt.Errorf("journal/cassandra: Config.Password is given without Config.Username")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	c.MaxRecordBytes = orDefault(c.MaxRecordBytes, defaultMaxRecordBytes)
	c.BucketBytes = orDefault(c.BucketBytes, defaultBucketBytes)
	c.DerivedInFlight = orDefault(c.DerivedInFlight, defaultDerivedInFlight)
	c.Connections = orDefault(c.Connections, defaultConnections)
	if _, err := c.port(); err != nil {
		return c, err
	}
	c.CreateSchema = c.CreateSchema || c.Development
	for name, value := range map[string]int64{
		"Timeout": int64(c.Timeout), "MaxRecordBytes": int64(c.MaxRecordBytes), "BucketBytes": c.BucketBytes,
		"DerivedInFlight": int64(c.DerivedInFlight), "Connections": int64(c.Connections),
	} {
		if value < 0 {
			return c, fmt.Errorf("journal/cassandra: Config.%s is %d: it must not be negative", name, value)
		}
	}
	return c, nil
}

func orDefault[N int | int64 | time.Duration](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}

// quorum is the level of all reads and of all commits.
func (c Config) quorum() gocql.Consistency {
	if c.DataCenter != "" {
		return gocql.LocalQuorum
	}
	return gocql.Quorum
}

// serial is the level at which appends are agreed on.
func (c Config) serial() gocql.SerialConsistency {
	if c.DataCenter != "" {
		return gocql.LocalSerial
	}
	return gocql.Serial
}

// port is that of the first host.
func (c Config) port() (int, error) {
	if !strings.Contains(c.Hosts[0], ":") {
		return defaultPort, nil
	}
	_, text, err := net.SplitHostPort(c.Hosts[0])
	if err != nil {
		return 0, fmt.Errorf("journal/cassandra: Config.Hosts: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("journal/cassandra: Config.Hosts: %q has no port that is a number", c.Hosts[0])
	}
	return int(port), nil
}
