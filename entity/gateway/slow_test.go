package gateway_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/entity/gateway"
)

// Clients that announce large bodies and send next to nothing of them fill neither the places
// nor the room of the gateway.
func TestManySlowBodiesKeepNobodyOut(t *testing.T) {
	t.Parallel()
	const slow = 500
	arrived := make(chan struct{}, slow+100)
	url := listen(t, serveRPC(t, answering(nil), func(c *gateway.Config) {
		c.MaxRequests = 10
		c.Principal = func(*http.Request) (string, error) { arrived <- struct{}{}; return "", nil }
	}))
	host := strings.TrimPrefix(url, "http://")
	for i := range slow {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		switch i % 3 {
		case 0:
			_, err = io.WriteString(c, "POST /v1/entities/timer/7/Timer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
		case 1:
			_, err = io.WriteString(c, "POST /v1/entities/timer/7/Timer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n{")
		case 2:
			_, err = io.WriteString(c, "POST /test.v1.Timers/Arm HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\nSkerry-Entity-Id: 7\r\nContent-Length: 1000000\r\n\r\n\x00\x00\x0f")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range slow {
		<-arrived
	}
	client := h2c(t)
	for range 20 {
		resp, err := client.Post(url+"/v1/entities/timer/7/Timer", "application/json", io.MultiReader(strings.NewReader("{}"))) // of unknown length
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("with %d slow clients, another is answered %s", slow, resp.Status)
		}
	}
}

// Room is taken as a body comes, and what does not fit is told at once.
func TestRoomIsTakenAsBodiesCome(t *testing.T) {
	t.Parallel()
	h := serve(t, answering(nil), func(c *gateway.Config) { c.MaxBodyBytes, c.MaxRequestBytes = 64<<10, 64<<10 })
	reader, writer := io.Pipe()
	done := make(chan int)
	go func() {
		r, _ := http.NewRequest("POST", "/v1/entities/timer/7/Timer", reader)
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = -1
		w := newRecorder()
		h.ServeHTTP(w, r)
		done <- w.status
	}()
	_, _ = io.WriteString(writer, `{"name":"`) // the first holds 4 kB by now, though nobody knows how much will come
	large := `{"name":"` + strings.Repeat("x", 50<<10) + `"}`
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", large); w.Code != 200 {
		t.Errorf("a body that fits beside another is answered %d", w.Code)
	}
	_, _ = io.WriteString(writer, strings.Repeat("x", 40<<10))
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", large); w.Code != 429 {
		t.Errorf("a body that does not fit beside another is answered %d, want 429", w.Code)
	}
	_, _ = io.WriteString(writer, `"}`)
	_ = writer.Close()
	if status := <-done; status != 200 {
		t.Errorf("the slow one is answered %d", status)
	}
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", large); w.Code != 200 {
		t.Errorf("when there is room again, answered %d", w.Code)
	}
}

// recorder keeps a status only.
type recorder struct {
	header http.Header
	status int
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

// pipes is a listener of connections that are made in the process, so that their time can be faked.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A body that stalls is given up after 5 s, and one that trickles after 30 s.
func TestSlowBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ pause, want time.Duration }{
		"stalls":   {time.Hour, 5 * time.Second},
		"trickles": {4 * time.Second, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := pipes{make(chan net.Conn, 1), make(chan struct{})}
			server := gateway.Server(serve(t, answering(nil), nil), slog.New(slog.DiscardHandler))
			var work sync.WaitGroup
			work.Go(func() { _ = server.Serve(l) })
			client, served := net.Pipe()
			l.conns <- served
			began := time.Now()
			work.Go(func() {
				_, err := io.WriteString(client, "POST /v1/entities/timer/7/Timer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
				for ; err == nil; _, err = io.WriteString(client, " ") {
					time.Sleep(test.pause) // the slowness itself, in faked time
				}
			})
			resp, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if took := time.Since(began); resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "skerry/timeout") || took != test.want {
				t.Errorf("%s: answered %s %s after %v, want 408 after %v", name, resp.Status, text, took, test.want)
			}
			_ = client.Close()
			_ = server.Close()
			work.Wait()
		})
	}
}
