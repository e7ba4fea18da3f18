package transport

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// In a rolling update releases speak the newest version that both know; without one they refuse each other and say so.
func TestReleasesThatShareAVersionSpeak(t *testing.T) {
	t.Parallel()
	start := func(node string, speaks versions) *Endpoint {
		n, err := Listen(Config{Node: node, Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler), versions: speaks, DialTimeout: time.Minute, HelloTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		n.Serve(taking{})
		return n
	}
	for name, test := range map[string]struct {
		one, other versions
		refused    string
	}{
		"an older one":       {versions{1, 2}, versions{2, 3}, ""},
		"a much older one":   {versions{1, 1}, versions{2, 3}, "update the older one"},
		"a much younger one": {versions{4, 5}, versions{2, 3}, "update the older one"},
	} {
		near, far := start("near", test.one), start("far", test.other)
		for _, way := range [][2]*Endpoint{{near, far}, {far, near}} {
			a := Ask(t.Context(), way[0], way[1].Self(), &Envelope{Remaining: time.Minute})
			switch {
			case test.refused == "" && a.Err != nil:
				t.Errorf("%s: %v", name, a.Err)
			case test.refused != "" && (!errors.Is(a.Err, ErrRefused) || !strings.Contains(a.Err.Error(), test.refused)):
				t.Errorf("%s: %v, want refused", name, a.Err)
			}
		}
	}
}
