package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// The scripts have a read side of their own, in which the account "bob" is parked until the
// script command "repair".
func TestProcessorScripts(t *testing.T) {
	t.Parallel()
	var defect atomic.Bool
	defect.Store(true)
	addr := startReadSide(t, &defect)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/processors",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SKERRY_ADDR", addr)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"json":   checkJSON,
			"until":  untilSkerry,
			"repair": func(*testscript.TestScript, bool, []string) { defect.Store(false) },
		},
	})
}

func startReadSide(t *testing.T, defect *atomic.Bool) (addr string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "rows.db")})
	if err != nil {
		t.Fatal(err)
	}
	events := readsidetest.New(4, accounts)
	runner, err := readside.Start(t.Context(), readside.Config{
		Source: events, Logger: log, MaxAttempts: 2, MinBackoff: time.Millisecond,
		Processors: []readside.Processor{readside.SQL("balances", db.Write(),
			readside.On(func(_ context.Context, _ *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
				if ev.EntityID == "bob" && defect.Load() {
					return errors.New("bob has no row")
				}
				return nil
			}))},
	})
	if err != nil {
		t.Fatal(err)
	}
	events.Store("account", "bob", wrapperspb.Int64(1))
	events.Store("account", "bob", wrapperspb.Int64(2))
	token := events.Store("account", "ann", wrapperspb.Int64(3))
	token, err = token.Merge(events.Token())
	if err == nil {
		err = runner.WaitFor(t.Context(), "balances", token)
	}
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.Server(admin.New(admin.Processors(runner)), log)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(server.Shutdown(ctx), runner.Stop(ctx), db.Close()); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return listener.Addr().String()
}
