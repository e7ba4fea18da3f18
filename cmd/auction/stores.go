package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
	"github.com/skerryhq/skerry/readside/postgres"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// stores are what is kept: the journal and the tables. Several nodes of one process share them.
type stores struct {
	journal journal.Journal
	tables  tables
}

// tables are where the read model is: a file, or a database that several processes share.
type tables interface {
	Write() *sql.DB
	Read() *sql.DB
	Close() error
}

// errReadModel is wrapped when the file of the read model cannot be used.
var errReadModel = errors.New("the read model")

func openStores(ctx context.Context, cfg Config) (*stores, error) {
	j, err := openJournal(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t, err := openTables(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return &stores{j, t}, nil
}

// openJournal opens the journal that the config names. Users and passwords come from the environment: a URL ends in logs.
func openJournal(ctx context.Context, cfg Config) (journal.Journal, error) {
	if cfg.Journal == "" {
		return pebble.Open(pebble.Config{Dir: cfg.Dir, Logger: cfg.Logger})
	}
	remote, err := cassandra.ParseURL(cfg.Journal, os.Getenv)
	if err != nil {
		return nil, err
	}
	remote.Logger = cfg.Logger
	return cassandra.Open(ctx, remote)
}

// openTables opens the read model that the config names.
func openTables(ctx context.Context, cfg Config) (tables, error) {
	if isPostgres(cfg.Read) {
		return postgres.Open(ctx, postgres.Config{URL: cfg.Read, Name: "auction", Steps: catalogue.Steps()})
	}
	t, err := openFile(ctx, cfg)
	if err != nil {
		err = fmt.Errorf("%w: %w", errReadModel, err)
	}
	return t, err
}

func openFile(ctx context.Context, cfg Config) (tables, error) {
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	path := cmp.Or(cfg.Read, filepath.Join(cfg.Dir, "catalogue.db"))
	return sqlite.Open(ctx, sqlite.Config{Path: path, Steps: catalogue.Steps()})
}

func (s *stores) close() error { return errors.Join(s.journal.Close(), s.tables.Close()) }
