package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/skerryhq/skerry/cmd/internal/door"
	"github.com/skerryhq/skerry/journal/cassandra"
)

// Settings says where the service keeps its data and where it listens. Each one may be a flag,
// an environment variable (AUCTION_DATA for -data), or a line of a file (data = …). The flag
// wins over the variable, the variable over the file, the file over the default.
type Settings struct {
	Data    string
	Journal string
	Read    string
	HTTP    string
	Admin   string
	Shards  int
	// AcceptClock starts the service although its clock is more than a day off the newest record.
	AcceptClock bool
	// BeyondLoopback lets HTTP, Admin, Gossip and Peer be addresses that other machines reach.
	BeyondLoopback bool
	LogLevel       slog.Level
	// Drain bounds how long a stop waits for what is under way.
	Drain time.Duration
	ClusterSettings
	Payments Payments
}

func (s *Settings) register(fs *flag.FlagSet) {
	fs.StringVar(&s.Data, "data", "auction-data", "the folder of the journal and of the read model; made if it is not there")
	fs.StringVar(&s.Journal, "journal", "", "a journal in Cassandra instead of one in -data: cassandra://HOST:PORT,.../KEYSPACE, with ?dev=1 behind it for development; user and password file are SKERRY_CASSANDRA_USER and SKERRY_CASSANDRA_PASSWORD_FILE in the environment")
	fs.StringVar(&s.Read, "read", "", "the file of the read model, made anew from the journal if it is not there; empty means catalogue.db in the folder of -data; or a database for several processes: postgres://USER@HOST:PORT/DATABASE")
	fs.StringVar(&s.HTTP, "http", "127.0.0.1:8080", "where the public API listens; without a host, such as :8080, it is this machine only; port 0 picks one and prints it")
	fs.StringVar(&s.Admin, "admin", "127.0.0.1:8081", "where operators are answered; without a host, such as :8081, it is this machine only; port 0 picks one and prints it")
	fs.IntVar(&s.Shards, "shards", 0, "how many logs the data are spread over, fixed by the first start; 0 means as many as there are, 64 in a new folder")
	fs.BoolVar(&s.AcceptClock, "accept-clock", false, "start although the clock is more than a day away from the data")
	fs.BoolVar(&s.BeyondLoopback, "listen-beyond-loopback", false, "let -http, -admin, -gossip and -peer be reached from other machines; on -http and -admin nobody is asked who they are, nor on -gossip without -gossip-keys and on -peer without -peer-cert")
	fs.TextVar(&s.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	fs.DurationVar(&s.Drain, "drain", 10*time.Second, "how long a stop waits for what is under way, and for other nodes to take over")
	s.ClusterSettings.register(fs)
	s.Payments.register(fs)
}

// check refuses what cannot be meant.
func (s Settings) check() error {
	if s.Data == "" {
		return errors.New("-data is empty: name a folder")
	}
	if err := s.checkJournal(); err != nil {
		return fmt.Errorf("-journal: %w", err)
	}
	if s.Shards < 0 || s.Shards > maxShards {
		return fmt.Errorf("-shards is %d: use 1 to %d, or 0 for the default", s.Shards, maxShards)
	}
	if s.Drain <= 0 {
		return fmt.Errorf("-drain is %v: use a time such as 10s", s.Drain)
	}
	if err := s.checkAddress(s.HTTP); err != nil {
		return fmt.Errorf("-http is %q: %w", s.HTTP, err)
	}
	if err := s.checkAddress(s.Admin); err != nil {
		return fmt.Errorf("-admin is %q: %w", s.Admin, err)
	}
	return errors.Join(s.ClusterSettings.check(s), s.Payments.check())
}

// checkJournal looks at the form of the URL, before anything is opened.
func (s Settings) checkJournal() error {
	if s.Journal == "" {
		return nil
	}
	_, err := cassandra.ParseURL(s.Journal, os.Getenv)
	return err
}

// maxShards keeps a slip of the finger from making a million logs.
const maxShards = 4096

func (s Settings) checkAddress(addr string) error { return door.Check(addr, s.BeyondLoopback) }

// printTable shows each setting in all its forms.
func printTable(fs *flag.FlagSet, w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "flag\tenvironment\tdefault\tmeaning")
	fs.VisitAll(func(f *flag.Flag) {
		fmt.Fprintf(table, "-%s\t%s\t%s\t%s\n", f.Name, envName(f.Name), f.DefValue, f.Usage)
	})
	_ = table.Flush()
	fmt.Fprintln(w, "\nA flag wins over the environment, the environment over the file of -config\n(lines such as http = 127.0.0.1:8080), the file over the default.")
}
