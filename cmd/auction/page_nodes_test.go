package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// Each person has the page of another node. Nothing tells them.
func aBidAppearsAtOtherNodes(t *testing.T, browser *chromium.Browser) {
	c := startThree(t)
	url := func(node int) string { return c.group.services[node].HTTP() }
	timed := &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(time.Hour)}
	c.send(0, "lamp", "open", &auctionv1.OpenLot{Title: "A brass lamp", OpeningCents: 10_00, Closing: timed})
	ann, bob, cid := browser.Person(t), browser.Person(t), browser.Person(t)
	ann.Open(url(0) + "/lots/lamp")
	bob.Open(url(1) + "/lots/lamp")
	cid.Open(url(2) + "/")
	bidFrom(ann, "ann", "25")
	ann.WaitFor(said("You lead at 10.00, and pay 25.00 at the most"))
	bob.WaitFor(`leader.textContent === "ann" && price.textContent === "10.00"`)
	cid.WaitFor(`document.querySelector("[data-lot=lamp] .leader").textContent === "ann"`)
	bidFrom(bob, "bob", "40")
	bob.WaitFor(said("You lead at 26.00"))
	ann.WaitFor(`mine.textContent === "You are outbid."`)
	cid.WaitFor(`document.querySelector("[data-lot=lamp] .price").textContent === "26.00"`)
	cid.Open(url(2) + "/bidders/ann")
	cid.WaitFor(`document.querySelector("#rows .chip")?.textContent === "Outbid"`)

	// The clerk of a live lot at a third node.
	c.send(1, "violin", "open", &auctionv1.OpenLot{Title: "A violin", OpeningCents: 500})
	c.send(1, "violin", "floor", &auctionv1.PlaceFloorBid{Paddle: 7, AmountCents: 900})
	ann.Open(url(0) + "/lots/violin")
	c.send(2, "violin", "close", &auctionv1.CloseLot{})
	ann.WaitFor(`leader.textContent === "Paddle 7"`)
}
