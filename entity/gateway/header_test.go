package gateway_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// A browser that comes back to a stream sends the URL with its token, and the last id, which is another.
func TestTheTokenOfAllShardsFitsARequestTwice(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.Config = gateway.Server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	token := journal.Token{History: "5afb15a8f2632831"}
	for shard := range uint32(journal.MaxTokenShards) {
		token.Offsets = append(token.Offsets, journal.ShardOffset{Shard: shard, Offset: 1_000_000_000})
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/stream?after="+url.QueryEscape(token.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", token.String())
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a token of %d bytes, twice: %s", len(token.String()), resp.Status)
	}
}
