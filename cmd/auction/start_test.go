package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
)

// A whole service, reached from inside and from outside.
func ExampleStart() {
	dir, err := os.MkdirTemp("", "auction-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, done := context.WithTimeout(context.Background(), time.Minute)
	defer done()

	svc, err := Start(ctx, Config{Dir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}

	// From inside: the entity's methods, over the host.
	lamp := auction.Lots.Ref(svc.entities.host, "lamp")
	if _, err := auction.OpenLot.Ask(ctx, lamp, &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 10_00}); err != nil {
		log.Fatal(err)
	}
	view, err := auction.PlaceBid.Ask(ctx, lamp, &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 50_00}, entity.Key("ann-1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(view.GetLeader(), "leads at", auction.Cents(view.GetPriceCents()))

	// From outside: JSON over HTTP.
	answer, err := client.New(svc.HTTP(), http.DefaultClient).Command(ctx, "lamp", "bob-1", &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 20_00})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.View.GetLeader(), "leads at", auction.Cents(answer.View.GetPriceCents()))

	if err := svc.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// ann leads at 10.00
	// ann leads at 20.50
}
