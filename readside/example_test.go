package readside_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// A read model adds up what was paid into each account. In a service, the source is the host's Feed.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "readside")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "balances.db"), Steps: []string{
		`CREATE TABLE balances (account TEXT PRIMARY KEY, cents INTEGER NOT NULL)`,
	}})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	add := readside.Prepare(`INSERT INTO balances (account, cents) VALUES ($1, $2)
		ON CONFLICT (account) DO UPDATE SET cents = cents + excluded.cents`)
	balances := readside.SQL("balances", db.Write(),
		readside.On(func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
			_, err := add.Exec(ctx, tx, ev.EntityID, ev.Msg.GetValue())
			return err
		}, readside.OfType("account")),
	)

	log := readsidetest.New(4, accounts)
	runner, err := readside.Start(ctx, readside.Config{Source: log, Processors: []readside.Processor{balances}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer func() { _ = runner.Stop(ctx) }()

	log.Store("account", "ann", wrapperspb.Int64(100))
	token := log.Store("account", "ann", wrapperspb.Int64(20), wrapperspb.Int64(3))
	if err := runner.WaitFor(ctx, "balances", token); err != nil {
		panic(err)
	}
	var cents int64
	if err := db.Read().QueryRowContext(ctx, `SELECT cents FROM balances WHERE account = 'ann'`).Scan(&cents); err != nil {
		panic(err)
	}
	fmt.Println(cents)
	// Output: 123
}
