package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

func theListIsSearched(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	for n := range 60 {
		h.put(fmt.Sprintf("lot-%02d", n), fmt.Sprintf("Lot number %02d", n), 10_00, time.Hour+time.Duration(n)*time.Minute)
	}
	h.put("violin", "A violin", 10_00, 0)
	p := browser.Person(t)
	p.Open(h.url + "/")
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 50 && range.textContent === "1–50 of 61"`)
	p.Click("#next")
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 11 && range.textContent === "51–61 of 61"`)
	h.bid("violin", "ann", 20_00)
	p.WaitFor(`document.querySelector("[data-lot=violin] .leader").textContent === "ann"`)
	p.Click("#previous")
	p.WaitFor(`range.textContent === "1–50 of 61"`)

	p.Fill("#query", "VIOLIN")
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 1 && location.search === "?query=VIOLIN"`)
	p.WaitFor(`announcer.textContent === "1 lot"`)
	h.put("viola", "A viola, no violin", 10_00, 0)
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 2`) // a new lot comes by itself
	p.Eval(`window.sold = false; new MutationObserver(() => { window.sold ||= document.querySelector("[data-lot=violin]")?.dataset.state === "sold" })
		.observe(document, { subtree: true, childList: true, attributes: true })`)
	h.send("violin", &auctionv1.CloseLot{})
	p.WaitFor(`window.sold`)                                  // one sees it sold
	p.WaitFor(`!document.querySelector("[data-lot=violin]")`) // and then it is no longer open
	p.Open(h.url + "/?query=violin&state=closed")
	p.WaitFor(`document.querySelectorAll("#rows tr").length === 1 && query.value === "violin"`)
	p.Open(h.url + "/?query=nothing+like+it&state=bogus&length=1")
	p.WaitFor(`!empty.hidden && document.querySelectorAll("#rows tr").length === 0`)
}

// wrongClock sets a browser's clock five hours ahead.
const wrongClock = `{
	const Right = Date, off = 5 * 3600e3;
	Date = class extends Right {
		constructor(...given) { given.length ? super(...given) : super(Right.now() + off); }
		static now() { return Right.now() + off; }
	};
}`

func timeIsTheHouses(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("clock", "A cuckoo clock", 10_00, 20*time.Minute)
	p := browser.Person(t)
	chromium.Call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: wrongClock})
	p.Open(h.url + "/")
	p.WaitFor(`/^(20:00|1?\d:\d\d)$/.test(document.querySelector("[data-lot=clock] .time").textContent)`)
	p.Eval(`window.soon = false; new MutationObserver(() => { window.soon ||= document.querySelector("[data-lot=lamp] .time")?.dataset.soon === "true" })
		.observe(document, { subtree: true, childList: true, attributes: true })`)
	h.put("lamp", "A brass lamp", 10_00, 10*time.Second)
	h.bid("lamp", "ann", 20_00)
	p.WaitFor(`window.soon`)
	p.Open(h.url + "/lots/lamp")
	p.WaitFor(`state.textContent === "Sold" && leader.textContent === "ann"`) // by itself, at its time
}

func whatIsNotThere(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	p := browser.Person(t)
	p.Expect("404 (Not Found)")
	p.Expect("409 (Conflict)")
	p.Go(h.url + "/lots/no%2Fsuch%20lot")
	p.WaitFor(`!problem.hidden && problem.textContent === "There is no lot “no/such lot”." && document.getElementById("connection-text").textContent === "Not live"`)
	p.Open(h.url + "/bidders/nobody")
	p.WaitFor(`!empty.hidden && title.textContent === "nobody"`)
	p.Open(h.url + "/results")
	p.WaitFor(`!empty.hidden`)
	p.Open(h.url + "/clerk/tomorrow")
	p.WaitFor(`sale.textContent === "tomorrow" && document.getElementById("block-title").textContent === "No lot"`)
	p.Press("n", "g", "s") // have nothing to do
	h.put("violin", "A violin", 10_00, 0)
	p.WaitFor(`document.querySelectorAll("#queue li").length === 1 && !call.disabled`)
}
