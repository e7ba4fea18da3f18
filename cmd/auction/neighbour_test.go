package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// fault is what may be wrong between two services.
type fault string

const (
	well   fault = "well"
	refuse fault = "refuse" // nobody listens
	hang   fault = "hang"   // requests are taken and never answered
	half   fault = "half"   // requests are executed, and answers break off
	slow   fault = "slow"   // requests are executed, and answered when nobody waits any more
	broken fault = "500"
	flap   fault = "flap" // well and broken in turn
)

// flapping is how long the neighbour is well, or broken, in turn.
const flapping = 250 * time.Millisecond

// neighbour stands between the auction and payments. It forwards, or does what the fault says.
type neighbour struct {
	t    *testing.T
	addr string
	slow time.Duration
	http *http.Client

	mu      sync.Mutex
	is      fault
	changed chan struct{} // closed with the next change
	target  string        // of payments
	server  *http.Server  // nil while it refuses
	serving sync.WaitGroup
	calls   []time.Time // when requests came
	good    []time.Time // when answers of payments went out whole
}

func newNeighbour(t *testing.T, slow time.Duration) *neighbour {
	t.Helper()
	n := &neighbour{t: t, addr: freeAddresses(t, 1)[0], slow: slow, is: refuse, changed: make(chan struct{}), http: &http.Client{Transport: &http.Transport{}, Timeout: patience}}
	n.become(well)
	t.Cleanup(func() {
		n.become(refuse)
		n.http.CloseIdleConnections()
	})
	return n
}

func (n *neighbour) url() string { return "http://" + n.addr }

// forwardTo names the service behind it.
func (n *neighbour) forwardTo(target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.target = target
}

// become changes the fault. Connections end when it begins to refuse.
func (n *neighbour) become(f fault) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.server
	n.is = f
	close(n.changed)
	n.changed = make(chan struct{})
	switch {
	case f == refuse && was != nil:
		n.server = nil
		_ = was.Close()
		n.mu.Unlock() // those under way ask what the fault is
		n.serving.Wait()
		n.mu.Lock()
	case f != refuse && was == nil:
		n.listen()
	}
}

func (n *neighbour) listen() {
	n.t.Helper()
	listener, err := net.Listen("tcp", n.addr)
	if err != nil {
		n.t.Fatal(err)
	}
	n.server = &http.Server{Handler: n}
	server := n.server
	n.serving.Go(func() { _ = server.Serve(listener) })
}

// fault is what is wrong with a request that comes now.
func (n *neighbour) fault() (is fault, target string, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	n.calls = append(n.calls, now)
	is = n.is
	if is == flap {
		is = well
		if now.UnixNano()/int64(flapping)%2 == 0 {
			is = broken
		}
	}
	return is, n.target, n.changed
}

func (n *neighbour) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	is, target, changed := n.fault()
	switch is {
	case broken:
		http.Error(w, "something broke", http.StatusInternalServerError)
		return
	case hang:
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	status, header, answer := n.forward(r, target, body)
	if is == slow {
		select {
		case <-time.After(n.slow):
		case <-changed:
		}
	}
	for name := range header {
		w.Header().Set(name, header.Get(name))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(status)
	if is == half {
		_, _ = w.Write(answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(answer)
	if is == well {
		n.mu.Lock()
		n.good = append(n.good, time.Now())
		n.mu.Unlock()
	}
}

// forward asks payments; a connection that is lost there is lost here too.
func (n *neighbour) forward(r *http.Request, target string, body []byte) (status int, header http.Header, answer []byte) {
	req, err := http.NewRequest(r.Method, target+r.URL.EscapedPath(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := n.http.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	if answer, err = io.ReadAll(resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	return resp.StatusCode, resp.Header, answer
}

// within counts the requests that came between two times.
func (n *neighbour) within(from, to time.Time) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.calls {
		if c.After(from) && c.Before(to) {
			count++
		}
	}
	return count
}

// firstGood is when the first whole answer went out after a time; zero if none has.
func (n *neighbour) firstGood(at time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.good {
		if g.After(at) {
			return g
		}
	}
	return time.Time{}
}
