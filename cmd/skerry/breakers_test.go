package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/breakeradmin"
	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func newBreakers(t *testing.T, s breaker.Settings) (*breaker.Group, string) {
	t.Helper()
	group, err := breaker.NewGroup(breaker.GroupConfig{Settings: map[string]breaker.Settings{"payments": s}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(admin.New(breakeradmin.New(group)))
	t.Cleanup(server.Close)
	return group, server.URL
}

func call(group *breaker.Group, id string, err error) {
	breaker.Do(context.Background(), group.Breaker(id), func(context.Context) (int, error) { return 0, err }) //nolint:errcheck // it is what was asked for
}

// The scripts have a service of their own, whose neighbours answer as "call ID ok|fails" says.
func TestBreakerScripts(t *testing.T) {
	t.Parallel()
	group, url := newBreakers(t, breaker.Settings{MaxFailures: 2, ResetTimeout: time.Hour, MaxResetTimeout: 2 * time.Hour})
	testscript.Run(t, testscript.Params{
		Dir: "testdata/breakers",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SKERRY_ADDR", strings.TrimPrefix(url, "http://"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"json": checkJSON,
			"call": func(_ *testscript.TestScript, _ bool, args []string) {
				call(group, args[0], map[string]error{"fails": errors.New("the service is broken")}[args[1]])
			},
		},
	})
}

// The package of breakers imports nothing of ours, so it writes its JSON without these messages: they must agree.
func TestTheMessagesHoldAllThatBreakersShow(t *testing.T) {
	t.Parallel()
	group, url := newBreakers(t, breaker.Settings{
		MaxFailures: 1, MaxResetTimeout: time.Hour, ResetJitter: 0.5, FailureRate: 0.5, SlowAfter: time.Second, MaxConcurrent: 3,
		Ignore: []breaker.Match{breaker.MatchIs(io.EOF)},
	})
	call(group, "payments/Charge", errors.New("broken"))
	for path, m := range map[string]proto.Message{"/admin/v1/breakers": &adminv1.Breakers{}, "/admin/v1/breakers/payments%2FCharge": &adminv1.Breaker{}} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			err = protojson.Unmarshal(text, m) // a field that it does not know is an error
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", path, err, text)
		}
	}
	b, err := (&admin.Client{Addr: strings.TrimPrefix(url, "http://")}).Breaker(t.Context(), "payments/Charge")
	if err != nil {
		t.Fatal(err)
	}
	if b.GetSettings().GetSlowAfter().AsDuration() != time.Second || b.GetRetryAfter().AsDuration() <= 0 || b.GetCounts().GetFailed() != 1 ||
		b.GetSettings().GetIgnoredErrors() != 1 || b.GetTransitions()[0].GetCause() != "broken" {
		t.Errorf("got %v", b)
	}
}
