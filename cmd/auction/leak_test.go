package main

import (
	"log/slog"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

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
	goleak.VerifyNone(t, before, deadLetters)
}

// deadLetters is a goroutine of the actor library that ends by itself, a second after the first dead letter.
var deadLetters = goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1")

func TestAStartThatFailsLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:not-a-port", Logger: slog.New(slog.DiscardHandler)}
	if _, err := Start(t.Context(), cfg); err == nil {
		t.Fatal("it started")
	}
	goleak.VerifyNone(t, before, deadLetters)
	cfg.Admin = "127.0.0.1:0" // the folder is free again
	svc, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
