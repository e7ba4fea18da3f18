package stream_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// One event to 1,000 clients in the process: from the commit until the last of them has it.
func BenchmarkOneEventToManyClients(b *testing.B) {
	for _, clients := range []int{1, 1000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			source := newTwin(64)
			for shard := range uint32(64) {
				source.commit(b, shard, bid("old", 1))
			}
			s := newStream(b, configOf(source))
			var got sync.WaitGroup
			var begun sync.WaitGroup
			begun.Add(clients)
			for range clients {
				go s.ServeHTTP(&counter{header: http.Header{}, begun: &begun, got: &got}, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil))
			}
			begun.Wait()
			b.ReportAllocs()
			for b.Loop() {
				got.Add(clients)
				source.commit(b, 7, bid("a", 100))
				got.Wait()
			}
		})
	}
}

// One event to one client over loopback, on an idle stream: from the commit until the client has the message.
func BenchmarkOneEventOverLoopback(b *testing.B) {
	source := newTwin(64)
	server := serve(b, newStream(b, configOf(source)))
	p := open(b, server.URL, "")
	p.awaitID(b)
	for b.Loop() {
		source.commit(b, 7, bid("a", 100))
		p.mustNext(b)
	}
}

// counter is a client that takes everything at once and counts messages.
type counter struct {
	header     http.Header
	begun, got *sync.WaitGroup
	flushes    int
}

func (c *counter) Header() http.Header                { return c.header }
func (c *counter) WriteHeader(int)                    {}
func (c *counter) Write(b []byte) (int, error)        { return len(b), nil }
func (c *counter) WriteString(s string) (int, error)  { return len(s), nil }
func (c *counter) SetWriteDeadline(_ time.Time) error { return nil }

// FlushError comes once per write: retry and id, then messages.
func (c *counter) FlushError() error {
	c.flushes++
	switch {
	case c.flushes == 2:
		c.begun.Done()
	case c.flushes > 2:
		c.got.Done()
	}
	return nil
}
