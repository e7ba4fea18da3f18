package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/skerryhq/skerry/cmd/internal/door"
	"github.com/skerryhq/skerry/journal/cassandra"
)

// Settings says where the service keeps its data and where it listens. Each one is a flag.
type Settings struct {
	Data        string
	Journal     string
	HTTP        string
	Admin       string
	Shards      int
	AcceptClock bool
	// BeyondLoopback lets HTTP and Admin be addresses that other machines reach.
	BeyondLoopback bool
	LogLevel       slog.Level
	// Drain bounds how long a stop waits for what is under way.
	Drain time.Duration
}

func (s *Settings) register(fs *flag.FlagSet) {
	fs.StringVar(&s.Data, "data", "payments-data", "the folder of the journal; made if it is not there")
	fs.StringVar(&s.Journal, "journal", "", "a journal in Cassandra instead of one in -data: cassandra://HOST:PORT,.../KEYSPACE; user and password file are SKERRY_CASSANDRA_USER and SKERRY_CASSANDRA_PASSWORD_FILE in the environment")
	fs.StringVar(&s.HTTP, "http", "127.0.0.1:8070", "where charges are taken; without a host, such as :8070, it is this machine only; port 0 picks one and prints it")
	fs.StringVar(&s.Admin, "admin", "127.0.0.1:8071", "where operators are answered; without a host, such as :8071, it is this machine only; port 0 picks one and prints it")
	fs.IntVar(&s.Shards, "shards", 0, "how many logs the data are spread over, fixed by the first start; 0 means as many as there are, 64 in a new folder")
	fs.BoolVar(&s.AcceptClock, "accept-clock", false, "start although the clock is more than a day away from the data")
	fs.BoolVar(&s.BeyondLoopback, "listen-beyond-loopback", false, "let -http and -admin be reached from other machines; nobody is asked who they are")
	fs.TextVar(&s.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	fs.DurationVar(&s.Drain, "drain", 10*time.Second, "how long a stop waits for what is under way")
}

// parse reads the command line; help goes to out.
func parse(args []string, out io.Writer) (s Settings, err error) {
	fs := flag.NewFlagSet("payments", flag.ContinueOnError)
	s.register(fs)
	fs.SetOutput(io.Discard)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, "usage: payments [settings]   serves until it is stopped\n\n")
		fs.SetOutput(out)
		fs.PrintDefaults()
		return s, err
	case err != nil:
		return s, usageError{err}
	case fs.NArg() > 0:
		return s, usageError{fmt.Errorf("what is %q? This takes settings only", fs.Arg(0))}
	}
	if err := s.check(); err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// maxShards keeps a slip of the finger from making a million logs.
const maxShards = 4096

// check refuses what cannot be meant.
func (s Settings) check() error {
	switch {
	case s.Data == "":
		return errors.New("-data is empty: name a folder")
	case s.Shards < 0 || s.Shards > maxShards:
		return fmt.Errorf("-shards is %d: use 1 to %d, or 0 for the default", s.Shards, maxShards)
	case s.Drain <= 0:
		return fmt.Errorf("-drain is %v: use a time such as 10s", s.Drain)
	}
	if s.Journal != "" {
		if _, err := cassandra.ParseURL(s.Journal, os.Getenv); err != nil {
			return fmt.Errorf("-journal: %w", err)
		}
	}
	if err := door.Check(s.HTTP, s.BeyondLoopback); err != nil {
		return fmt.Errorf("-http is %q: %w", s.HTTP, err)
	}
	if err := door.Check(s.Admin, s.BeyondLoopback); err != nil {
		return fmt.Errorf("-admin is %q: %w", s.Admin, err)
	}
	return nil
}
