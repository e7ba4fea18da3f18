package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// SQLite is the store of read models that can be measured: one file, synced at each commit.
const SQLite = "sqlite"

// ReadSide says which read model is measured, over which journal.
type ReadSide struct {
	Setup
	// Store is SQLite.
	Store string
	// Entities is how many the events are of; each has one row.
	Entities int
}

func (r ReadSide) check() error {
	switch {
	case r.Store != SQLite:
		return fmt.Errorf("read side %q is not known: use %s", r.Store, SQLite)
	case r.Entities < 1 || r.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", r.Entities, maxEntities)
	}
	return r.Setup.check()
}

// scratch makes a folder for one run, whatever the journal: the read model needs one.
func (r ReadSide) scratch() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp(r.Dir, folderPrefix)
	if err != nil {
		return "", nil, fmt.Errorf("make a folder for the read model: %w", err)
	}
	return dir, func() error { return errors.Join(r.drop(dir), os.RemoveAll(dir)) }, nil
}

// model is the read model that is measured: a row per entity, changed by every event.
type model struct{ *sqlite.DB }

const schema = `CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, events INTEGER NOT NULL, version INTEGER NOT NULL)`

var upsert = readside.Prepare(`INSERT INTO rows (id, events, version) VALUES ($1, 1, $2)
	ON CONFLICT (id) DO UPDATE SET events = events + 1, version = excluded.version`)

const versionOf = `SELECT version FROM rows WHERE id = $1`

func openModel(ctx context.Context, dir string) (model, error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "rows.db")})
	if err != nil {
		return model{}, fmt.Errorf("open the read model: %w", err)
	}
	if _, err := db.Write().ExecContext(ctx, schema); err != nil {
		return model{}, errors.Join(fmt.Errorf("make the read model's table: %w", err), db.Close())
	}
	return model{db}, nil
}

// processorName is under which the measured processor keeps its progress.
const processorName = "rows"

func (m model) processor() readside.Processor {
	return readside.SQL(processorName, m.Write(),
		readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.BytesValue]) error {
			_, err := upsert.Exec(ctx, tx, ev.EntityID, int64(ev.Version))
			return err
		}),
	)
}

// follow runs the processor over a node's logs.
func (r ReadSide) follow(ctx context.Context, n *node, m model) (*readside.Runner, error) {
	runner, err := readside.Start(ctx, readside.Config{
		Source: n.Feed(), Processors: []readside.Processor{m.processor()}, Logger: r.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("start the processor: %w", err)
	}
	return runner, nil
}

func stopRunner(runner *readside.Runner) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	return runner.Stop(ctx)
}

// endOf is the token of everything that the node's logs hold now.
func endOf(n *node) journal.Token {
	feed := n.Feed()
	token := journal.Token{History: feed.History()}
	for shard := range feed.Shards() {
		head, _ := feed.Head(uint32(shard))
		if offset := head.NextOffset() - 1; offset > 0 {
			token.Offsets = append(token.Offsets, journal.ShardOffset{Shard: uint32(shard), Offset: offset})
		}
	}
	return token
}

// counted asserts that the rows hold each event once: a figure of a read model that lost some would be worth nothing.
func (m model) counted(ctx context.Context, want uint64) error {
	var got sql.NullInt64
	if err := m.Read().QueryRowContext(ctx, `SELECT sum(events) FROM rows`).Scan(&got); err != nil {
		return fmt.Errorf("count the read model's events: %w", err)
	}
	if uint64(got.Int64) != want {
		return fmt.Errorf("the read model has counted %d events, the logs hold %d", got.Int64, want)
	}
	return nil
}
