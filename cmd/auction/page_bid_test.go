package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
)

// said is true once the bid box says something like that.
func said(part string) string {
	return fmt.Sprintf(`!outcome.hidden && outcome.textContent.includes(%q)`, part)
}

// bidFrom fills in the bid box and sends it.
func bidFrom(p *chromium.Person, name, amount string) {
	p.Fill("#bidder", name)
	p.Fill("#amount", amount)
	p.Click("#place")
}

func aBidAppearsElsewhere(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	ann, bob, cid := browser.Person(t), browser.Person(t), browser.Person(t)
	ann.Open(h.url + "/lots/lamp")
	bob.Open(h.url + "/lots/lamp")
	cid.Open(h.url + "/")
	chromium.Eval[bool](bob, `window.notReloaded = true`)

	bidFrom(ann, "ann", "25")
	ann.WaitFor(said("You lead at 10.00, and pay 25.00 at the most"))
	bob.WaitFor(`leader.textContent === "ann" && price.textContent === "10.00" && amount.value === "10.50"`)
	cid.WaitFor(`document.querySelector("[data-lot=lamp] .leader").textContent === "ann"`)

	bidFrom(bob, "bob", "40,00")
	bob.WaitFor(said("You lead at 26.00"))
	ann.WaitFor(`mine.textContent === "You are outbid." && outcome.hidden`)
	cid.WaitFor(`document.querySelector("[data-lot=lamp] .price").textContent === "26.00"`)
	if !chromium.Eval[bool](bob, `window.notReloaded === true`) {
		t.Error("bob's page was loaded again")
	}
	if got := ann.Text("#bids"); !strings.Contains(got, "bob") || !strings.Contains(got, "ann") {
		t.Errorf("ann's list of bids is %q", got)
	}
	bob.Open(h.url + "/")
	bob.WaitFor(`document.querySelector("[data-lot=lamp] [data-mine=leads]")?.textContent === "You lead"`)
	bob.Open(h.url + "/bidders/ann")
	bob.WaitFor(`document.querySelector("#rows .chip")?.textContent === "Outbid"`)
}

func aRejectedBid(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	ann := browser.Person(t)
	ann.Expect("409 (Conflict)") // the browser logs every answer that is no success
	ann.Open(h.url + "/lots/lamp")
	for _, try := range []struct{ name, amount, field, problem string }{
		{"ann", "5", "amount", "That is too little. Bid 10.00 or more."},
		{"ann", "1,250", "amount", "Write an amount like 12 or 12.50, at most 100,000,000."},
		{"ann", "1e3", "amount", "Write an amount like 12 or 12.50, at most 100,000,000."},
		{" ", "20", "bidder", "Tell the auction house who bids."},
	} {
		bidFrom(ann, try.name, try.amount)
		ann.WaitFor(fmt.Sprintf(`document.getElementById("%s-problem").textContent === %q`, try.field, try.problem))
		ann.WaitFor(fmt.Sprintf(`document.activeElement.id === %q && document.activeElement.getAttribute("aria-invalid") === "true"`, try.field))
	}
	bidFrom(ann, "ann", "30")
	ann.WaitFor(said("You lead"))
	bidFrom(ann, "ann", "30")
	ann.WaitFor(`document.getElementById("amount-problem").textContent === "You have bid that much already. Only a higher bid counts."`)
	if n := h.bid("lamp", "bob", 20_00).GetBidCount(); n != 2 {
		t.Errorf("the lot has %d bids", n)
	}
}

// flaky passes requests on to the service, and lets a test spoil those that put bids.
type flaky struct {
	*httptest.Server
	mu   sync.Mutex
	keys []string
}

// newFlaky asks spoil about each bid, the first being 1. It answers for the service by itself if spoil does.
// after is called when the service has answered a bid, before the browser hears of it.
func newFlaky(t testing.TB, h *house, spoil func(n int, w http.ResponseWriter) bool, after func(n int)) *flaky {
	target, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host; r.Out.Header.Del("Origin") },
		ErrorLog: nil,
	}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/PlaceBid") {
			proxy.ServeHTTP(w, r)
			return
		}
		n := f.note(r.Header.Get("Idempotency-Key"))
		if spoil(n, w) {
			return
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		after(n)
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

func (f *flaky) note(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, key)
	return len(f.keys)
}

// The first try is taken by the lot and its answer lost; the second is never answered, for the page is
// left; the third and the fourth, of the page loaded anew, are refused, which says nothing of the first; the fifth gets through.
func anUnknownOutcome(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	second, last := make(chan bool), make(chan bool)
	refuse := func(w http.ResponseWriter, status int, code string) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"code":%q,"reason":"a test","remedy":"wait"}`, code)
		return true
	}
	f := newFlaky(t, h, func(n int, w http.ResponseWriter) bool {
		switch n {
		case 2:
			<-second
			panic(http.ErrAbortHandler)
		case 3:
			return refuse(w, http.StatusServiceUnavailable, "skerry/unavailable")
		case 4:
			return refuse(w, http.StatusInternalServerError, "skerry/failed")
		case 5:
			<-last
		}
		return false
	}, func(n int) {
		if n == 1 {
			panic(http.ErrAbortHandler)
		}
	})
	ann := browser.Person(t)
	ann.Expect("net::ERR_")
	ann.Expect("503 (Service Unavailable)")
	ann.Expect("500 (Internal Server Error)")
	ann.Open(f.URL + "/lots/lamp")
	bidFrom(ann, "ann", "25")
	ann.WaitFor(said("Your bid may have been taken or not. Asking again; it counts once at most."))
	ann.WaitFor(`document.getElementById("bid-count").textContent === "1"`) // it was
	ann.Open(f.URL + "/lots/lamp")
	ann.WaitFor(said("Your bid may have been taken or not")) // also after an answer that the repeat did not run
	close(second)
	close(last)
	ann.WaitFor(said("Your bid is taken. You lead at 10.00"))

	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range f.keys {
		if key == "" || key != f.keys[0] {
			t.Errorf("the bid was sent with the keys %q", f.keys)
		}
	}
	if n := h.bid("lamp", "bob", 20_00).GetBidCount(); n != 2 {
		t.Errorf("the lot has %d bids, of ann's one and bob's one", n)
	}
}

// tabTo presses Tab until a condition on the focused element is true.
func tabTo(p *chromium.Person, condition string) {
	for range 40 {
		p.Press(kb.Tab)
		if chromium.Eval[bool](p, "((a) => Boolean("+condition+"))(document.activeElement)") {
			return
		}
	}
	p.WaitFor("false /* Tab reaches nothing where " + condition + " */")
}

func aBidByKeyboard(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	h.put("clock", "A cuckoo clock", 10_00, 2*time.Hour)
	ann := browser.Person(t)
	ann.Open(h.url + "/")
	ann.WaitFor(`document.querySelectorAll("#rows tr").length === 2`)
	ann.Press(kb.Tab)
	if got := chromium.Eval[string](ann, `document.activeElement.textContent`); got != "Skip to content" {
		t.Errorf("the first stop is %q", got)
	}
	tabTo(ann, `a.id === "query"`)
	ann.Press("c", "l", "o", "c", "k", kb.Enter)
	ann.WaitFor(`document.querySelectorAll("#rows tr").length === 1`)
	tabTo(ann, `a.textContent === "A cuckoo clock"`)
	if !chromium.Eval[bool](ann, `parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`) {
		t.Error("one cannot see where the focus is")
	}
	ann.Press(kb.Enter)
	ann.WaitFor(`location.pathname === "/lots/clock" && document.getElementById("connection")?.dataset.state === "live" && amount.value === "10.00"`)
	tabTo(ann, `a.id === "bidder"`)
	ann.Press("a", "n", "n", kb.Tab)
	ann.Press("3", "0", kb.Enter) // Tab has selected what was there
	ann.WaitFor(said("You lead at 10.00, and pay 30.00 at the most"))
}
