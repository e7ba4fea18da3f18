package stream_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// pipe is a ResponseWriter without any buffer: a client that does not read blocks it at once.
type pipe struct {
	net.Conn
	header http.Header
}

func (p *pipe) Header() http.Header { return p.header }
func (p *pipe) WriteHeader(int)     {}
func (p *pipe) FlushError() error   { return nil }

// connect opens a stream over a pipe. done is closed when the handler has returned.
func connect(t testing.TB, s http.Handler, url, lastID string) (p *page, done <-chan struct{}) {
	t.Helper()
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer theirs.Close()
		s.ServeHTTP(&pipe{Conn: theirs, header: http.Header{}}, r)
	}()
	body := &pipeBody{ours, cancel}
	t.Cleanup(func() { _ = body.Close() })
	return &page{body: body, lines: bufio.NewReaderSize(ours, 16), lastID: lastID}, ended
}

// pipeBody is the client's end. Closing it ends the request too.
type pipeBody struct {
	io.ReadCloser
	cancel func()
}

func (b *pipeBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
