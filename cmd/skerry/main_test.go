package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"skerry": main})
}

// The scripts run the program as a user does. Each has a running service of its
// own, whose admin listener is at SKERRY_ADDR.
func TestScripts(t *testing.T) {
	// Not parallel, so that no other test's goroutines are taken for a leak. The
	// scripts are parallel among themselves and end before the clean-up.
	ours := goleak.IgnoreCurrent()
	t.Cleanup(func() { nothingLeft(t, ours, deadLetters) })
	addr := startService(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SKERRY_ADDR", addr)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"json": checkJSON, "journal": makeJournal, "damage": damageJournal, "lock": lockJournal},
	})
}

// patience bounds what is waited for, on a machine that does much else at the time.
const patience = 3 * time.Minute

// nothingLeft waits until no goroutines are there but those that may be: some end by themselves a moment later.
func nothingLeft(t *testing.T, but ...goleak.Option) {
	t.Helper()
	err := goleak.Find(but...)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
		err = goleak.Find(but...)
	}
	if err != nil {
		t.Error(err)
	}
}

// deadLetters is a goroutine of the actor library that ends by itself, a second after the first dead letter.
var deadLetters = goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1")

type account struct{ Cents int64 }

var (
	pay = entity.On(func(_ account, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
		if cmd.Msg.GetValue() < 0 {
			return entity.None, nil, entity.Reject("negative", "%d", cmd.Msg.GetValue())
		}
		due := cmd.Time.Add(24 * time.Hour)
		return entity.Persist(cmd.Msg).Remind("statement", due, &wrapperspb.Int64Value{}), &emptypb.Empty{}, nil
	})
	accounts = entity.Define[account]("account", pay,
		entity.Apply(func(a account, e *wrapperspb.Int64Value) account { return account{a.Cents + e.GetValue()} }))
)

// startService runs a node with a few stored commands and an admin listener.
func startService(t *testing.T) (addr string) {
	t.Helper()
	log, ctx := slog.New(slog.DiscardHandler), t.Context()
	j := journal.NewMemory()
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{accounts}, Shards: 4, Node: "node-1", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	spend(t, host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.Server(admin.New(admin.Entities(host), admin.Runtime("test"), admin.Profiles()), log)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for _, err := range []error{server.Shutdown(ctx), host.Stop(ctx), j.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
		serving.Wait()
	})
	return listener.Addr().String()
}

func spend(t *testing.T, host entity.Caller) {
	t.Helper()
	ann := accounts.Ref(host, "ann/savings")
	for i, cents := range []int64{100, 20, 3} {
		key := fmt.Sprintf("payment-%d", i)
		if _, err := pay.Ask(t.Context(), ann, wrapperspb.Int64(cents), entity.Key(key), entity.As("ann"), entity.Because("a gift")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pay.Ask(t.Context(), ann, wrapperspb.Int64(-1), entity.Key("debt\n")); err == nil {
		t.Fatal("a key with a control character was taken")
	}
	if _, err := pay.Ask(t.Context(), ann, wrapperspb.Int64(-1), entity.Key("debt")); err == nil {
		t.Fatal("a negative payment was taken")
	}
}

// checkJSON is the script command "json FILE PATH [VALUE]": at PATH (names and
// indexes separated by dots), FILE holds a value; if VALUE is given, this one.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: json FILE PATH [VALUE]")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &value))
	found := true
	for _, step := range strings.Split(args[1], ".") {
		value, found = descend(value, step)
		if !found {
			break
		}
	}
	holds := found && (len(args) == 2 || fmt.Sprint(value) == args[2])
	if holds == neg {
		ts.Fatalf("%s holds %v (found: %v) at %s", args[0], value, found, args[1])
	}
}

func descend(value any, step string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		next, ok := v[step]
		return next, ok
	case []any:
		var i int
		if _, err := fmt.Sscan(step, &i); err != nil || i < 0 || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

func TestFlagsStandAnywhere(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"entity show -addr 127.0.0.1:1 TYPE ID", "entity show TYPE -addr 127.0.0.1:1 ID", "entity show TYPE ID -addr=127.0.0.1:1", "entity show -addr 127.0.0.1:1 -- TYPE ID",
	} {
		var errors strings.Builder
		code := run(t.Context(), strings.Fields(line), terminal{os.Stdout, &errors, func(string) string { return "" }})
		if code != exitFailed || !strings.Contains(errors.String(), "127.0.0.1:1") {
			t.Errorf("skerry %s ends with %d: %s", line, code, &errors)
		}
	}
}
