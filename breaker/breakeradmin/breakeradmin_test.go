package breakeradmin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/breakeradmin"
)

// A section of the admin listener has these methods; that package is not ours to import.
var _ interface {
	Name() string
	Paths() []string
	http.Handler
} = (*breakeradmin.Section)(nil)

func ask(t *testing.T, of breakeradmin.Source, method, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	breakeradmin.New(of).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	if !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s is no JSON: %s", path, w.Body)
	}
	return w.Code, w.Body.String()
}

func TestWhatOperatorsSee(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		group, err := breaker.NewGroup(breaker.GroupConfig{
			Settings: map[string]breaker.Settings{"payments": {MaxFailures: 1}}, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, got := ask(t, group, "GET", "/admin/v1/breakers"); got != `{"breakers":[]}`+"\n" {
			t.Errorf("before any use: %s", got)
		}
		breaker.Do(t.Context(), group.Breaker("payments/Charge"), func(context.Context) (int, error) { return 0, errors.New("broken") }) //nolint:errcheck // it fails
		time.Sleep(1500 * time.Millisecond)

		const short = `{"id":"payments/Charge","enabled":true,"state":"open","since":"2000-01-01T00:00:00Z","retryAfter":"13.500s","failures":1,` +
			`"counts":{"abandoned":"0","closed":"0","failed":"1","full":"0","halfOpened":"0","late":"0","opened":"1","refused":"0","rejected":"0","slow":"0","succeeded":"0","timedOut":"0"}`
		if _, got := ask(t, group, "GET", "/admin/v1/breakers"); got != `{"breakers":[`+short+"}]}\n" {
			t.Errorf("all: %s", got)
		}
		const whole = short + `,"settings":{"maxFailures":1,"callTimeout":"10.000s","resetTimeout":"15.000s","maxResetTimeout":"15.000s","resetJitter":0,` +
			`"failureRate":0,"window":"0.000s","minCalls":20,"slowAfter":"0.000s","maxConcurrent":0,"minDeadline":"0.100s","ignoredErrors":0},` +
			`"transitions":[{"from":"closed","to":"open","at":"2000-01-01T00:00:00Z","reason":"max-failures in a row","failures":1,"wait":"15.000s","cause":"broken"}]}` + "\n"
		if _, got := ask(t, group, "GET", "/admin/v1/breakers/payments%2FCharge"); got != whole {
			t.Errorf("one: %s", got)
		}
		if status, got := ask(t, group, "GET", "/admin/v1/breakers/nobody"); status != http.StatusNotFound {
			t.Errorf("unknown: %d %s", status, got)
		}
		if status, got := ask(t, group, "POST", "/admin/v1/breakers"); status != http.StatusMethodNotAllowed {
			t.Errorf("a POST: %d %s", status, got)
		}
	})
}
