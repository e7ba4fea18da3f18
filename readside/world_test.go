package readside_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/postgres"
	"github.com/skerryhq/skerry/readside/postgres/postgrestest"
	"github.com/skerryhq/skerry/readside/readsidetest"
	"github.com/skerryhq/skerry/readside/sqlite"
)

func TestMain(m *testing.M) {
	if childOfKillTest() {
		return
	}
	code := m.Run()
	server.Stop()
	if err := leaks(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// leaks returns which goroutines stay. Those of connections and of runners that were stopped get a minute to end.
func leaks() error {
	for end := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// server is the PostgreSQL of these tests.
var server postgrestest.Shared

// rows is a read model's database.
type rows interface {
	Write() *sql.DB
	Read() *sql.DB
}

type (
	file     struct{ *sqlite.DB }
	database struct {
		*postgres.DB
		url string
	}
	opener func(t testing.TB) rows
)

// onEach runs a test on each kind of database.
func onEach(t *testing.T, test func(t *testing.T, open opener)) {
	t.Helper()
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { test(t, openFile) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, openDatabase) })
}

// openDatabase opens an empty schema of PostgreSQL with the tables of the tests.
func openDatabase(t testing.TB) rows {
	t.Helper()
	return openURL(t, server.URL(t))
}

func openURL(t testing.TB, url string) *database {
	t.Helper()
	// A machine that is busy is no reason to end a statement or a session, unless the URL says so.
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, Steps: []string{schema(false)}, StatementTimeout: patience, IdleTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &database{db, url}
}

// account is the entity whose events the tests follow: payments, and notes that most processors pass over.
type account struct{ Cents int64 }

var (
	pay = entity.On(func(_ account, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
		return entity.Persist(cmd.Msg), &emptypb.Empty{}, nil
	})
	accounts = entity.Define[account]("account", pay,
		entity.Apply(func(a account, e *wrapperspb.Int64Value) account { return account{a.Cents + e.GetValue()} }),
		entity.Apply(func(a account, _ *wrapperspb.StringValue) account { return a }))
)

// payment is an event.
func payment(cents int64) *wrapperspb.Int64Value { return wrapperspb.Int64(cents) }

// patience is how long a test waits before it says that something never happens.
const patience = 3 * time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// schema makes the tables; SQLite keeps them without row ids.
func schema(lite bool) string {
	text := `CREATE TABLE balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL, events BIGINT NOT NULL, version BIGINT NOT NULL)%[1]s;
	CREATE TABLE history (account TEXT NOT NULL, version BIGINT NOT NULL, cents BIGINT NOT NULL, PRIMARY KEY (account, version))%[1]s`
	if lite {
		return fmt.Sprintf(text, " WITHOUT ROWID")
	}
	return fmt.Sprintf(text, "")
}

// openFile opens a read model's file in a folder of the test's own.
func openFile(t testing.TB) rows {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "rows.db"), Steps: []string{schema(true)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &file{db}
}

const upsertText = `INSERT INTO balances (account, cents, events, version) VALUES ($1, $2, 1, $3)
	ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents, events = balances.events + 1, version = excluded.version`

var upsertBalance = readside.Prepare(upsertText)

// addUp is the plain handler: it adds payments up.
func addUp(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
	_, err := upsertBalance.Exec(ctx, tx, ev.EntityID, ev.Msg.GetValue(), int64(ev.Version))
	return err
}

func start(t testing.TB, cfg readside.Config) *readside.Runner {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	r, err := readside.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, r) })
	return r
}

func stop(t testing.TB, r *readside.Runner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func await(t testing.TB, r *readside.Runner, processor string, token journal.Token) {
	t.Helper()
	if err := r.WaitFor(within(t), processor, token); err != nil {
		t.Fatal(err)
	}
}

// cents reads what the read model says of an account.
func cents(t testing.TB, db *sql.DB, account string) (sum int64) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `SELECT cents FROM balances WHERE account = $1`, account).Scan(&sum)
	if err != nil && err != sql.ErrNoRows {
		t.Fatal(err)
	}
	return sum
}

func newLog(shards int) *readsidetest.Log { return readsidetest.New(shards, accounts) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
