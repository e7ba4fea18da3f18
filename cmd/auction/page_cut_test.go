package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"

	"github.com/skerryhq/skerry/cmd/auction/internal/page/chromium"
)

// cable is the way from a browser to the service. It can be cut: all connections end at once, and new
// ones lead nowhere until it is mended.
type cable struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool // true: what comes from the service is lost on it
}

func newCable(t testing.TB, target string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, target: strings.TrimPrefix(target, "http://"), conns: map[net.Conn]bool{}}
	c.running.Go(c.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		c.cut()
		c.running.Wait()
	})
	return c
}

func (c *cable) url() string { return "http://" + c.listener.Addr().String() }

func (c *cable) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.carry(conn) })
	}
}

func (c *cable) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer to.Close()
	if !c.take(from, to) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(lossy{from, c}, to); _ = from.Close() })
	_, _ = io.Copy(to, from)
	_ = to.Close()
	back.Wait()
}

func (c *cable) take(conns ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range conns {
		c.conns[conn] = false
	}
	return !c.down
}

// lossy is the browser's end of a connection.
type lossy struct {
	net.Conn
	cable *cable
}

func (l lossy) Write(b []byte) (int, error) {
	l.cable.mu.Lock()
	silent := l.cable.conns[l.Conn]
	l.cable.mu.Unlock()
	if silent {
		return len(b), nil
	}
	return l.Conn.Write(b)
}

// silence lets nothing through any more on the connections of now, without ending them.
func (c *cable) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		c.conns[conn] = true
	}
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = true
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}

// Bids never stop while the cable is cut again and again. In the end each page has heard of each
// bid once, and the list of bids has a row for each.
func aCutConnection(t *testing.T, browser *chromium.Browser) {
	const bids, cuts = 180, 4
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	way := newCable(t, h.url)
	ann, bob := browser.Person(t), browser.Person(t)
	for _, p := range []*chromium.Person{ann, bob} {
		p.Expect("net::ERR_") // that is what it is about
	}
	ann.Open(way.url() + "/lots/lamp")
	bob.Open(way.url() + "/")

	var placed atomic.Int64
	step := make(chan int64) // lets that many bids in all be placed
	var bidding sync.WaitGroup
	bidding.Go(func() {
		for upTo := range step {
			for placed.Load() < upTo {
				n := placed.Load() + 1
				h.bid("lamp", []string{"ann", "bob"}[n%2], 10_00+n*100)
				placed.Store(n)
			}
		}
	})
	for n := range int64(cuts) {
		live := (2*n + 1) * bids / (2 * cuts)
		step <- live
		ann.WaitFor(fmt.Sprintf(`Number(document.getElementById("connection").dataset.bids) >= %d`, live))
		step <- (2*n + 2) * bids / (2 * cuts) // and in the midst of these:
		way.cut()
		ann.WaitFor(`document.getElementById("connection").dataset.state === "lost"`)
		way.mend()
		for _, p := range []*chromium.Person{ann, bob} {
			p.WaitFor(`document.getElementById("connection").dataset.state === "live"`)
		}
	}
	close(step)
	bidding.Wait()

	for _, rows := range []int{100, bids} { // that many stay on the page; then all
		ann.WaitFor(fmt.Sprintf(`document.querySelectorAll("#bids tr").length >= %d && document.querySelector("#bids tr").dataset.number === "%d"`, rows, bids))
		numbers := chromium.Eval[[]int](ann, `[...document.querySelectorAll("#bids tr")].map((r) => Number(r.dataset.number))`)
		for i, n := range numbers {
			if n != bids-i || len(numbers) != rows {
				t.Fatalf("the list of bids has the numbers %v", numbers)
			}
		}
		if rows < bids {
			ann.Click("#older")
		}
	}
	for who, p := range map[string]*chromium.Person{"the lot's page": ann, "the list": bob} {
		p.WaitFor(fmt.Sprintf(`Number(document.getElementById("connection").dataset.bids) >= %d`, bids))
		heard := chromium.Eval[map[string]string](p, `({...document.getElementById("connection").dataset})`)
		t.Logf("%s heard %s bids in %s messages over %d cuts: %s missed, %s repeated", who, heard["bids"], heard["messages"], cuts, heard["missed"], heard["repeated"])
		if heard["bids"] != fmt.Sprint(bids) || heard["missed"] != "0" || heard["repeated"] != "0" {
			t.Errorf("%s heard %v", who, heard)
		}
	}
	bob.WaitFor(fmt.Sprintf(`document.querySelector("[data-lot=lamp] .bid-count").textContent === "%d"`, bids))
}

// A connection that is dead without anybody having been told is noticed by its silence. The page's 40 s
// are made 2 s here.
func aSilentConnection(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	way := newCable(t, h.url)
	ann := browser.Person(t)
	const hurry = `const real = setTimeout; window.setTimeout = (f, ms, ...rest) => real(f, ms === 40000 ? 2000 : ms, ...rest)`
	chromium.Call(ann, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: hurry})
	ann.Open(way.url() + "/lots/lamp")
	way.silence()
	h.bid("lamp", "bob", 20_00)
	ann.WaitFor(`document.querySelectorAll("#bids tr").length === 1`)
	heard := chromium.Eval[map[string]string](ann, `({...document.getElementById("connection").dataset})`)
	if heard["bids"] != "1" || heard["missed"] != "0" || heard["repeated"] != "0" {
		t.Errorf("the page heard %v", heard)
	}
}

// A page that its reader has left lets go of its connection; coming back, it asks for what it has missed.
func aPageThatWasPutAway(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	h.bid("lamp", "ann", 20_00)
	p := browser.Person(t)
	p.Open(h.url + "/lots/lamp")
	p.Eval(`dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }))`)
	p.WaitFor(`document.getElementById("connection-text").textContent === "Paused"`)
	for n := range int64(5) {
		h.bid("lamp", "bob", 30_00+n*100)
	}
	if n := chromium.Eval[int](p, `document.querySelectorAll("#bids tr").length`); n != 1 {
		t.Errorf("%d bids came to a page that was put away", n)
	}
	p.Eval(`dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }))`)
	p.WaitFor(`document.querySelectorAll("#bids tr").length === 6 && document.getElementById("connection-text").textContent === "Live"`)
	if heard := chromium.Eval[map[string]string](p, `({...document.getElementById("connection").dataset})`); heard["bids"] != "5" || heard["missed"] != "0" || heard["repeated"] != "0" {
		t.Errorf("the page heard %v", heard)
	}
}

// The first stream is refused, at which a browser gives up by itself; the second says that its position
// is of no use; the third is the service's own.
func aRefusedStream(t *testing.T, browser *chromium.Browser) {
	h := openHouse(t)
	h.put("lamp", "A brass lamp", 10_00, time.Hour)
	target, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	var streams, reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/lots" {
			reads.Add(1)
		}
		if r.URL.Path != "/v1/stream" {
			proxy.ServeHTTP(w, r)
			return
		}
		switch streams.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			h.bid("lamp", "ann", 20_00) // which the page hears of only if it reads the list again
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = fmt.Fprint(w, "event: reset\ndata: {}\n\n")
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	ann := browser.Person(t)
	ann.Expect("503 (Service Unavailable)")
	ann.Open(server.URL + "/")
	ann.WaitFor(`document.querySelector("[data-lot=lamp] .leader")?.textContent === "ann"`)
	h.bid("lamp", "bob", 30_00)
	ann.WaitFor(`document.querySelector("[data-lot=lamp] .leader")?.textContent === "bob"`)
	if reads.Load() != 2 || streams.Load() != 3 {
		t.Errorf("the list was read %d times, the stream asked for %d times", reads.Load(), streams.Load())
	}
}
