package service_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/breaker/service"
)

// says is a node that serves this list.
func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/endpoints" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, body)
	}
}

func TestTheMembersOfAClusterAreFoundByOneOfThem(t *testing.T) {
	t.Parallel()
	n := &network{sent: map[string]int{}, at: map[string]http.HandlerFunc{
		"a:80": says(`{"addresses":["a:80","b:80"]}`),
		"b:80": says(`{"addresses":["b:80","c:80"]}`),
		"c:80": says(`{"addresses":["c:80"],"of a later release":1}`),
	}}
	m := &service.Members{Seeds: map[string][]string{"auction": {"gone:80", "a:80"}}, Base: n}
	resolve := func(want ...string) {
		t.Helper()
		if got, err := m.Resolve(t.Context(), "auction"); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	resolve("a:80", "b:80")
	n.at["a:80"] = nil // the seeds are all gone; who was found tells further
	resolve("b:80", "c:80")
	n.at["b:80"] = nil
	resolve("c:80")
	n.at["c:80"], n.at["a:80"] = nil, says(`{"addresses":["a:80"]}`) // all known are gone, and a seed is back
	resolve("a:80")
}

func TestAServiceThatServesNoListIsItsSeeds(t *testing.T) {
	t.Parallel()
	n := &network{sent: map[string]int{}, at: map[string]http.HandlerFunc{"a:80": http.NotFound}}
	m := &service.Members{Seeds: map[string][]string{"payments": {"a:80", "b:80"}}, Base: n}
	if got, err := m.Resolve(t.Context(), "payments"); err != nil || !slices.Equal(got, []string{"a:80", "b:80"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestListsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"addresses":[]}`:          "0 addresses",
		`{`:                         "cannot be read",
		`{"addresses":["nowhere"]}`: `"nowhere"`,
		`{"addresses":[":80"]}`:     `":80"`,
		`{"addresses":["` + strings.Repeat("x", 1<<20):                "cannot be read",
		`{"addresses":["a:1"` + strings.Repeat(`,"a:1"`, 1000) + `]}`: "1001 addresses",
	} {
		n := &network{sent: map[string]int{}, at: map[string]http.HandlerFunc{"a:80": says(body)}}
		m := &service.Members{Seeds: map[string][]string{"auction": {"a:80"}}, Base: n}
		if got, err := m.Resolve(t.Context(), "auction"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "a:80") {
			t.Errorf("of %.40s: %v, %v, want %s", body, got, err, want)
		}
	}
	m := &service.Members{Base: &network{sent: map[string]int{}}}
	if _, err := m.Resolve(t.Context(), "auction"); err == nil || !strings.Contains(err.Error(), "name some in service.Members") {
		t.Errorf("no seeds: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.Seeds = map[string][]string{"auction": {"a:80", "b:80"}}
	if _, err := m.Resolve(ctx, "auction"); err == nil {
		t.Error("nobody answers, and there are endpoints")
	}
}
