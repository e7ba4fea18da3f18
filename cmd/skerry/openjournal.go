package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
)

// place is where a verb finds its journal.
type place struct {
	where    string
	terminal terminal
	// mayBeNew lets a journal be made where there is none.
	mayBeNew bool
}

func placeFlag(flags *flag.FlagSet, t terminal) *place {
	p := &place{terminal: t}
	flags.StringVar(&p.where, "journal", "", "`WHERE` the journal lies: the directory of an embedded one, or cassandra://HOST:PORT,…/KEYSPACE")
	return p
}

// with opens the journal for one piece of work and closes it.
func (p *place) with(ctx context.Context, do func(journal.Journal) error) error {
	if p.where == "" {
		return fmt.Errorf("%w: say where the journal lies with -journal", errUsage)
	}
	j, err := p.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(j), j.Close())
}

func (p *place) open(ctx context.Context) (journal.Journal, error) {
	if isCassandra(p.where) {
		return p.openCassandra(ctx)
	}
	if made, err := filepath.Glob(filepath.Join(p.where, "MANIFEST-*")); err == nil && len(made) == 0 && !p.mayBeNew {
		return nil, fmt.Errorf("%s holds no journal: name the directory that the service was given", p.where)
	}
	j, err := openJournal(ctx, p.where, p.terminal)
	if errors.Is(err, journal.ErrLocked) {
		return nil, fmt.Errorf("%w\nAn embedded journal belongs to one process: stop the service, or work on a copy of a snapshot of the file system", err)
	}
	return j, err
}

// openCassandra makes no keyspace for a verb that only looks, though the URL may be the one that a service makes it by.
func (p *place) openCassandra(ctx context.Context) (journal.Journal, error) {
	cfg, err := cassandra.ParseURL(p.where, p.terminal.getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if !p.mayBeNew && (cfg.Development || cfg.CreateSchema) {
		look := cfg
		look.Development, look.CreateSchema = false, false
		j, err := cassandra.Open(ctx, look)
		switch {
		case err == nil:
			err = j.Close()
		case errors.Is(err, cassandra.ErrUnsafe):
			err = nil // what development allows
		case errors.Is(err, cassandra.ErrSchema):
			err = fmt.Errorf("%s holds no journal: name the keyspace that the service was given: %w", cfg.Keyspace, err)
		}
		if err != nil {
			return nil, remedy(err)
		}
	}
	return openJournal(ctx, p.where, p.terminal)
}

// remedy adds to what a journal in Cassandra says how this program's user mends it.
func remedy(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, cassandra.ErrSchema):
		return fmt.Errorf("%w (create=1 in the URL)", err)
	case errors.Is(err, cassandra.ErrUnsafe):
		return fmt.Errorf("%w (for development: dev=1 in the URL)", err)
	case strings.Contains(text, "Provided username") || strings.Contains(text, "authentic"):
		return fmt.Errorf("%w\nThe login is %s, with the password in the file that %s names, or in %s", err,
			cassandra.UserVariable, cassandra.PasswordFileVariable, cassandra.PasswordVariable)
	}
	return err
}

// openJournal opens the journal at a directory or URL. Its warnings go to the terminal.
func openJournal(ctx context.Context, where string, t terminal) (journal.Journal, error) {
	log := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if !isCassandra(where) {
		j, err := pebble.Open(pebble.Config{Dir: where, Logger: log})
		if err != nil {
			return nil, err // not a typed nil
		}
		return j, nil
	}
	cfg, err := cassandra.ParseURL(where, t.getenv)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	cfg.Logger = log
	j, err := cassandra.Open(ctx, cfg)
	if err != nil {
		return nil, remedy(err)
	}
	return j, nil
}
