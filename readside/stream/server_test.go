package stream_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kinds are the servers that streams are served by.
var kinds = map[string]bool{"HTTP/1.1": false, "HTTP/2": true}

// serverOf listens on l, or on loopback.
func serverOf(t *testing.T, s http.Handler, http2 bool, l net.Listener) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(s)
	if l != nil {
		_ = server.Listener.Close()
		server.Listener = l
		server.Config.ReadTimeout, server.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	}
	server.EnableHTTP2 = http2
	if http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// wires is a network of pipes, so that a server can live on fake time.
type wires struct {
	ends   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newWires() *wires { return &wires{ends: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (w *wires) Accept() (net.Conn, error) {
	select {
	case c := <-w.ends:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *wires) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

// Addr implements net.Listener.
func (w *wires) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wires) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.ends <- theirs:
		return ours, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// The server's own timeouts are far shorter than a stream lives.
func TestTimeoutsOfTheServerDoNotEndAStream(t *testing.T) {
	t.Parallel()
	for name, http2 := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := newTwin(1)
				cfg := configOf(source)
				cfg.PingEvery, cfg.WriteTimeout = 150*time.Millisecond, 100*time.Millisecond
				s := newStream(t, cfg)
				network := newWires()
				server := serverOf(t, s, http2, network)
				client := server.Client()
				client.Transport.(*http.Transport).DialContext = network.dial
				p := dial(t, client, server.URL, "")
				if p.proto != name+map[bool]string{true: ".0"}[http2] {
					t.Fatalf("it speaks %s", p.proto)
				}
				for name, want := range map[string]string{"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": ""} {
					if got := p.header.Get(name); got != want {
						t.Errorf("%s: %q", name, got)
					}
				}
				p.awaitID(t)
				for range 2 { // each comes after both timeouts
					if m, err := p.block(); err != nil || m.pings != 1 {
						t.Fatalf("%+v, %v", m, err)
					}
				}
				source.commit(t, 0, bid("a", 1))
				p.rows(t, 1)
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := p.block(); err == nil {
					t.Error("the stream goes on after Stop")
				}
			})
		})
	}
}

// The client reads nothing at all, so that buffers of system and server fill up.
func TestAClientOfAServerThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	for name, http2 := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newTwin(1)
			cfg := configOf(source)
			cfg.MaxQueueBytes, cfg.MaxBehind = 4096, 1<<40
			s := newStream(t, cfg)
			server := serverOf(t, s, http2, nil)
			p := dial(t, server.Client(), server.URL, "")
			p.awaitID(t)
			long := make([]int64, 500)
			for n := 0; s.Stats().CutOff == 0; n++ {
				if n > 20_000 {
					t.Fatal("never cut off")
				}
				source.commit(t, 0, bid("a", long...))
				for s.Stats().Behind > 0 { // count what the stream has seen, not what it has yet to
					runtime.Gosched()
				}
			}
			for {
				if _, err := p.block(); err != nil {
					break
				}
			}
			p = dial(t, server.Client(), server.URL, p.lastID)
			if rows := p.rows(t, 1); rows[0].Offset%500 != 1 {
				t.Errorf("it goes on with %+v", rows[0])
			}
		})
	}
}

func TestStopEndsStreamsAndRefusesOthers(t *testing.T) {
	t.Parallel()
	source := newTwin(1)
	s := newStream(t, configOf(source))
	idle, idleEnded := connect(t, s, "/", "")
	idle.awaitID(t)
	writing, writingEnded := connect(t, s, "/", "")
	writing.awaitID(t)
	source.commit(t, 0, bid("a", 1)) // neither reads it
	if source.watching() != 1 {
		t.Errorf("%d hubs follow the logs", source.watching())
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-idleEnded
	<-writingEnded
	if source.watching() != 0 {
		t.Error("the hub still follows the logs")
	}
	if answer, code := ask(t, s, func(*http.Request) {}); answer.Code != http.StatusServiceUnavailable || code != "skerry/unavailable" {
		t.Errorf("%v", answer)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func TestStopTellsWhenAStreamDoesNotEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(1)
		s := newStream(t, configOf(source))
		p, ended := connect(t, deaf{s}, "/", "")
		p.awaitID(t)
		source.commit(t, 0, bid("a", 1))
		synctest.Wait() // it writes, and nobody reads
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Stop(ctx); err == nil {
			t.Error("Stop did not wait for a write that ignores its deadline")
		}
		_ = p.body.Close()
		<-ended
	})
}

func TestNothingRunsWithoutClients(t *testing.T) {
	t.Parallel()
	source := newTwin(1)
	s := newStream(t, configOf(source))
	for range 3 {
		if source.watching() != 0 {
			t.Fatal("something follows the logs")
		}
		p, ended := connect(t, s, "/", "")
		p.awaitID(t)
		if source.watching() != 1 {
			t.Fatal("nothing follows the logs")
		}
		_ = p.body.Close()
		<-ended
	}
}

// deaf is a server whose writes know no deadline.
type deaf struct{ http.Handler }

func (d deaf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.Handler.ServeHTTP(&deafWriter{w.(*pipe)}, r)
}

type deafWriter struct{ *pipe }

func (deafWriter) SetWriteDeadline(time.Time) error { return nil }
