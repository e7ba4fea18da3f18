package main

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// clerkSees are the bids on the clerk's page, the newest first.
const clerkSees = `[...document.querySelectorAll("#bids tr")].map((r) => r.cells[1].textContent.trim()).join(", ")`

func theClerkSells(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("violin", "A violin, restored", 200_00, 0)
	h.put("globe", "A globe of 1911", 5_00, 0)
	h.put("lamp", "A brass lamp", 10_00, time.Hour) // is not sold here
	clerk, ann, bob := browser.Person(t), browser.Person(t), browser.Person(t)
	clerk.Open(h.url + "/clerk")
	ann.Open(h.url + "/lots/violin")
	bob.Open(h.url + "/results")
	bob.WaitFor(`!empty.hidden`)
	clerk.WaitFor(`document.querySelectorAll("#queue li").length === 2`)

	clerk.Click("#call")
	clerk.WaitFor(`document.getElementById("block-title").textContent === "A violin, restored" && amount.value === "200.00"`)
	clerk.Fill("#paddle", "12")
	clerk.Click("#place")
	clerk.WaitFor(`leader.textContent === "Paddle 12, in the room · 1 bid" && amount.value === "202.50"`)
	ann.WaitFor(`leader.textContent === "Paddle 12"`)
	bidFrom(ann, "ann", "300")
	clerk.WaitFor(`leader.textContent.startsWith("ann, online")`)
	clerk.Fill("#paddle", "7")
	clerk.Fill("#amount", "320")
	clerk.Click("#place")
	clerk.WaitFor(`leader.textContent.startsWith("Paddle 7")`)
	const order = "Paddle 7 room, ann online, Paddle 12 room"
	for who, p := range map[string]*chromium.Person{"the clerk": clerk, "ann": ann} {
		p.WaitFor(`document.querySelectorAll("#bids tr").length === 3`)
		if got := chromium.Eval[string](p, clerkSees); got != order {
			t.Errorf("%s sees the bids %s", who, got)
		}
	}
	clerk.Click("#raise")
	ann.WaitFor(`state.textContent === "Going once"`)
	clerk.WaitFor(idle + `document.getElementById("raise-text").textContent === "Going twice"`)
	clerk.Click("#raise")
	ann.WaitFor(`state.textContent === "Going twice"`)
	clerk.WaitFor(idle + `document.getElementById("raise").disabled`)
	clerk.Click("#close")
	clerk.WaitFor(idle + `hammer.textContent === "Sold" && ` + said("Sold to Paddle 7 for 320.00."))
	bob.WaitFor(`document.querySelector("[data-lot=violin]")?.textContent.startsWith("A violin, restored") && document.querySelector("[data-lot=violin]").textContent.includes("Paddle 7")`)
	ann.WaitFor(`state.textContent === "Sold" && leader.textContent === "Paddle 7" && mine.textContent === "You did not win this lot."`)

	clerk.Click("#call")
	clerk.WaitFor(`document.getElementById("block-title").textContent === "A globe of 1911"`)
	clerk.WaitFor(`document.querySelectorAll("#bids tr").length === 0 && outcome.hidden`)
	ann.Open(h.url + "/results")
	ann.WaitFor(`document.querySelector("[data-lot=violin]")?.textContent.includes("Paddle 7")`)
}

// idle is true once the clerk's last command is answered: the stream may tell of it before.
const idle = `document.querySelector(".clerk-buttons").ariaBusy !== "true" && `

// The clerk has seen the lot as it was before the last bid: the hammer must not fall.
func aLateBidStopsTheHammer(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("violin", "A violin, restored", 200_00, 0)
	way := newCable(t, h.url)
	clerk := browser.Person(t)
	clerk.Expect("net::ERR_")
	clerk.Expect("412 (Precondition Failed)")
	clerk.Open(way.url() + "/clerk")
	clerk.Click("#call")
	clerk.WaitFor(idle + `document.getElementById("block-title").textContent === "A violin, restored" && !document.getElementById("close").disabled`)
	way.cut()
	clerk.WaitFor(`document.getElementById("connection").dataset.state === "lost"`)
	clerk.Press("s", "s") // closes it, as far as the clerk can tell; sent when the way is whole again
	h.bid("violin", "ann", 300_00)
	way.mend()
	clerk.WaitFor(`leader.textContent.startsWith("ann, online")`)
	clerk.WaitFor(said("A bid came in just before. Look at the price, then say it again."))
	if h.send("violin", &auctionv1.PlaceBid{Bidder: "bob", AmountCents: 400_00}).GetClosed() {
		t.Error("the lot was closed at a price that the clerk had not seen")
	}
	clerk.WaitFor(idle + `leader.textContent.startsWith("bob, online")`)
	clerk.Press("g")
	clerk.WaitFor(idle + `hammer.textContent === "Going once"`)
	h.bid("violin", "cid", 500_00)
	clerk.WaitFor(`leader.textContent.startsWith("cid, online") && hammer.textContent === "Live"`) // it is up again
}

func theClerksKeys(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("violin", "A violin, restored", 200_00, 0)
	h.put("globe", "A globe of 1911", 5_00, 0)
	clerk := browser.Person(t)
	clerk.Open(h.url + "/clerk")
	clerk.WaitFor(`document.querySelectorAll("#queue li").length === 2`)
	clerk.Press("n")
	clerk.WaitFor(`document.getElementById("block-title").textContent === "A violin, restored"`)
	clerk.Press("p", "1", "2", kb.Enter)
	clerk.WaitFor(`leader.textContent.startsWith("Paddle 12")`)
	clerk.Press("7", kb.Tab, "2", "5", "0", kb.Enter) // the paddle's field has the focus and is selected again
	clerk.WaitFor(`leader.textContent.startsWith("Paddle 7, in the room · 2 bids")`)

	clerk.Press("g", "s", "n") // typed into the field, where they are no commands
	clerk.WaitFor(`paddle.value === "gsn" && hammer.textContent === "Live"`)
	clerk.Press(kb.Escape, "g")
	clerk.WaitFor(idle + `hammer.textContent === "Going once"`)
	clerk.Press("s")
	clerk.WaitFor(`document.getElementById("close-text").textContent === "Really close?" && hammer.textContent === "Going once"`)
	clerk.Press("g")
	clerk.WaitFor(idle + `hammer.textContent === "Going twice"`)
	clerk.Press("s")
	clerk.WaitFor(idle + `hammer.textContent === "Sold"`)

	clerk.Eval(`document.querySelector(".keys").open = true`)
	clerk.Click("#keys-on")
	clerk.Press("n")
	clerk.Click("#keys-on")
	if got := clerk.Text("#block-title"); got != "A violin, restored" {
		t.Errorf("keys work although they are off: %q is on the block", got)
	}
	clerk.Press("n")
	clerk.WaitFor(`document.getElementById("block-title").textContent === "A globe of 1911"`)
}
