package main

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

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

// Not parallel: it looks at all goroutines of the process.
func TestAStoppedServiceLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	svc, err := Start(t.Context(), Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Client{Transport: &http.Transport{}}
	if _, err := client.New(svc.HTTP(), h).Command(t.Context(), "lamp", "k", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1}); err != nil {
		t.Error(err)
	}
	h.CloseIdleConnections()
	if err := svc.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	nothingLeft(t, before, deadLetters)
}

// Not parallel either.
func TestAStoppedClusterLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 8, Logger: slog.New(slog.DiscardHandler)}
	group, err := startNodes(t.Context(), cfg, 2)
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Client{Transport: &http.Transport{}}
	if _, err := client.New(group.services[1].HTTP(), h).Command(t.Context(), "lamp", "k", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1}); err != nil {
		t.Error(err)
	}
	resp, err := h.Get(group.services[1].HTTP() + "/v1/stream") // so that nodes tell each other of events
	if err != nil {
		t.Fatal(err)
	}
	if err := group.stop(t.Context()); err != nil {
		t.Error(err)
	}
	_ = resp.Body.Close()
	h.CloseIdleConnections()
	nothingLeft(t, before, deadLetters)
}

// deadLetters is a goroutine of the actor library that ends by itself, a second after the first dead letter.
var deadLetters = goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1")

func TestAStartThatFailsLeavesNothingBehind(t *testing.T) {
	startFails(t, nil)
	startFails(t, &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Weight: 1})
	startFails(t, &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:not-a-port", Weight: 1})
	startFails(t, &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:not-a-port", Peer: "127.0.0.1:0", Weight: 1})
}

func startFails(t *testing.T, m *Member) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	cfg := Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:not-a-port", Logger: slog.New(slog.DiscardHandler), Member: m}
	if _, err := Start(t.Context(), cfg); err == nil {
		t.Fatal("it started")
	}
	nothingLeft(t, before, deadLetters)
	cfg.Admin, cfg.Member = "127.0.0.1:0", nil // the folder is free again
	svc, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
