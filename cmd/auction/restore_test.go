package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// A backup of the journal is put back and written to until it is longer than before. The read
// model beside it followed events that are no more: it must not go on as if nothing had been.
func TestAReadModelBesideARestoredJournalIsNotServed(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	data, backup := filepath.Join(base, "data"), filepath.Join(base, "backup")
	run := func(read string, lots ...string) {
		svc := startWith(t, data, filepath.Join(base, read))
		defer stopping(t, svc)
		for _, lot := range lots {
			var opened entity.Receipt
			_, err := auction.OpenLot.Ask(t.Context(), auction.Lots.Ref(svc.entities.host, lot), &auctionv1.OpenLot{Title: lot, OpeningCents: 100}, entity.Receive(&opened))
			if err == nil {
				err = svc.processors.WaitFor(t.Context(), "catalogue", opened.Token)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if status, body := ask(t, svc.HTTP()+"/v1/lots"); status != http.StatusOK {
			t.Fatalf("%d: %s", status, body)
		}
	}
	run("read.db", "a")
	if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	run("read.db", "b", "c")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(data, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	run("other.db", "d", "e", "f", "g")

	svc := startWith(t, data, filepath.Join(base, "read.db"))
	defer stopping(t, svc)
	status, body := http.StatusOK, ""
	for status == http.StatusOK && t.Context().Err() == nil { // it has to look at the log first
		status, body = ask(t, svc.HTTP()+"/v1/lots")
	}
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "another way") {
		t.Errorf("%d: %s", status, body)
	}
}

func startWith(t *testing.T, data, read string) *Service {
	t.Helper()
	svc, err := Start(t.Context(), Config{Dir: data, Read: read, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

func ask(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, fmt.Sprintf("%.2000s", text)
}
