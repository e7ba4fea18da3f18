package main

import (
	"log/slog"
	"testing"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/readside/postgres/postgrestest"
)

// Rows and offsets are then where any process can have them.
func TestNodesKeepOneReadModelInPostgreSQL(t *testing.T) {
	t.Parallel()
	url := postgrestest.ForTest(t).URL(t)
	cfg := Config{
		Dir: t.TempDir(), Read: url, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 16, AcceptClock: true,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	}
	c := startThreeOf(t, cfg)
	c.open(9)
	for i := range 9 {
		bid := c.send(i%3, lotName(i), "mine", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
		for node := range 3 {
			c.mustShow(node, lotName(i), "ann", bid.Token)
		}
	}
	last := c.group.services[2]
	c.group.services = c.group.services[:2]
	stopping(t, last)
	for i := range 9 { // rows follow their shards to whoever has them now
		bid := c.send(i%2, lotName(i), "next", &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 900})
		for node := range 2 {
			c.mustShow(node, lotName(i), "bob", bid.Token)
		}
	}
	c.compareRows()
}
