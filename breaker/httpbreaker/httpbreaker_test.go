package httpbreaker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/httpbreaker"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := leaks(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaks returns which goroutines stay. Those of connections that were closed get a minute to end.
func leaks() error {
	for end := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// roundTrip is a service without a network, so that it can live on fake time.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func mustTransport(t *testing.T, s breaker.Settings, base http.RoundTripper) (*http.Client, *breaker.Group) {
	t.Helper()
	group, err := breaker.NewGroup(breaker.GroupConfig{
		Settings: map[string]breaker.Settings{breaker.Default: s}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	transport, err := httpbreaker.New(httpbreaker.Config{Breakers: group, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}, group
}

func answer(status int, body io.Reader, headers ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(body)}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// stuck gives what it has and then nothing until its request is over.
type stuck struct {
	io.Reader
	ctx context.Context //nolint:containedctx // a request's, as long as its answer
}

func (s stuck) Read(p []byte) (int, error) {
	if n, err := s.Reader.Read(p); n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	<-s.ctx.Done()
	return 0, context.Cause(s.ctx)
}

// broken gives what it has and breaks off.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestWhatCounts(t *testing.T) {
	t.Parallel()
	text := func() io.Reader { return strings.NewReader("a receipt") }
	read := func(r *http.Response) error { _, err := io.ReadAll(r.Body); return err }
	leave := func(*http.Response) error { return nil }
	for name, c := range map[string]struct {
		service func(*http.Request) (*http.Response, error)
		use     func(*http.Response) error
		want    breaker.Counts
		err     error // of the request or of reading its body
	}{
		"200, read":         {func(*http.Request) (*http.Response, error) { return answer(200, text()), nil }, read, breaker.Counts{Succeeded: 1}, nil},
		"200, closed early": {func(*http.Request) (*http.Response, error) { return answer(200, text()), nil }, leave, breaker.Counts{Succeeded: 1}, nil},
		"204 without a body": {func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
		}, read, breaker.Counts{Succeeded: 1}, nil},
		"304":               {func(*http.Request) (*http.Response, error) { return answer(304, text()), nil }, read, breaker.Counts{Succeeded: 1}, nil},
		"404":               {func(*http.Request) (*http.Response, error) { return answer(404, text()), nil }, read, breaker.Counts{Rejected: 1}, nil},
		"429":               {func(*http.Request) (*http.Response, error) { return answer(429, text()), nil }, read, breaker.Counts{Rejected: 1}, nil},
		"500":               {func(*http.Request) (*http.Response, error) { return answer(500, text()), nil }, read, breaker.Counts{Failed: 1}, nil},
		"503, closed early": {func(*http.Request) (*http.Response, error) { return answer(503, text()), nil }, leave, breaker.Counts{Failed: 1}, nil},
		"refused":           {func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, read, breaker.Counts{Failed: 1}, io.ErrUnexpectedEOF},
		"half an answer":    {func(*http.Request) (*http.Response, error) { return answer(200, broken{text()}), nil }, read, breaker.Counts{Failed: 1}, io.ErrUnexpectedEOF},
		"hangs before it answers": {func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		}, read, breaker.Counts{TimedOut: 1}, breaker.ErrTimeout},
		"hangs within its answer": {func(r *http.Request) (*http.Response, error) { return answer(200, stuck{text(), r.Context()}), nil }, read, breaker.Counts{TimedOut: 1}, breaker.ErrTimeout},
		"a stream that breaks off": {func(*http.Request) (*http.Response, error) {
			return answer(200, broken{text()}, "Content-Type", "text/event-stream; charset=utf-8"), nil
		}, read, breaker.Counts{Succeeded: 1}, io.ErrUnexpectedEOF},
		"a stream of 500": {func(*http.Request) (*http.Response, error) {
			return answer(500, text(), "Content-Type", "application/connect+proto"), nil
		}, read, breaker.Counts{Failed: 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, group := mustTransport(t, breaker.Settings{}, roundTrip(c.service))
				resp, err := client.Get("http://payments/x")
				if err == nil {
					err = c.use(resp)
					resp.Body.Close()
				}
				if !errors.Is(err, c.err) || c.err == nil && err != nil {
					t.Errorf("got %v; want %v", err, c.err)
				}
				all := group.Snapshot()
				if len(all) != 1 || all[0].ID != "payments" || all[0].Counts != c.want {
					t.Errorf("counted %+v; want %+v", all, c.want)
				}
			})
		})
	}
}

func TestACallerThatGivesUpDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, service := range map[string]roundTrip{
		"before the answer": func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
		"within the answer": func(r *http.Request) (*http.Response, error) {
			return answer(200, stuck{strings.NewReader("x"), r.Context()}), nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			client, group := mustTransport(t, breaker.Settings{}, service)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://payments/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if c := group.Snapshot()[0].Counts; !errors.Is(err, context.Canceled) || c != (breaker.Counts{Abandoned: 1}) {
				t.Errorf("%s: %v, counted %+v", name, err, c)
			}
		})
	}
}

func TestAStreamHasNoCallTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var context context.Context
		client, group := mustTransport(t, breaker.Settings{}, roundTrip(func(r *http.Request) (*http.Response, error) {
			context = r.Context()
			return answer(200, stuck{strings.NewReader("data: 1\n\n"), r.Context()}, "Content-Type", "text/event-stream"), nil
		}))
		resp, err := client.Get("http://payments/x")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := context.Err(); err != nil {
			t.Errorf("the stream was ended: %v", err)
		}
		resp.Body.Close()
		if c := group.Snapshot()[0].Counts; c != (breaker.Counts{Succeeded: 1}) || context.Err() == nil {
			t.Errorf("counted %+v, context %v", c, context.Err())
		}
	})
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestARefusedRequestIsNotSent(t *testing.T) {
	t.Parallel()
	sent := 0
	client, _ := mustTransport(t, breaker.Settings{MaxFailures: 1, ResetTimeout: time.Hour}, roundTrip(func(*http.Request) (*http.Response, error) {
		sent++
		return answer(500, bytes.NewReader(nil)), nil
	}))
	resp, err := client.Get("http://payments/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	body := &closing{Reader: strings.NewReader("x")}
	_, err = client.Post("http://payments/x", "text/plain", body) //nolint:bodyclose // there is no response
	var refused *breaker.Error
	if !errors.As(err, &refused) || refused.RetryAfter() <= 0 || sent != 1 || !body.closed {
		t.Errorf("%v; %d sent, body closed %v", err, sent, body.closed)
	}
	resp, err = client.Get("http://others/x")
	if err != nil {
		t.Fatalf("another host is refused too: %v", err)
	}
	resp.Body.Close()
}

// Over a real connection, a response is what it would be without a breaker.
func TestOverTheNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "1000")
			_, err := w.Write([]byte("half"))
			if err := errors.Join(err, http.NewResponseController(w).Flush()); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(append([]byte("echo "), body...)); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	base := http.DefaultTransport.(*http.Transport).Clone()
	defer base.CloseIdleConnections()
	client, group := mustTransport(t, breaker.Settings{CallTimeout: time.Hour}, base)
	for range 3 {
		resp, err := client.Post(server.URL, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || string(got) != "echo hello" {
			t.Errorf("got %q, %v", got, err)
		}
	}
	resp, err := client.Get(server.URL + "/half")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an answer: %v", err)
	}
	resp.Body.Close()
	if c := group.Snapshot()[0].Counts; c != (breaker.Counts{Succeeded: 3, Failed: 1}) {
		t.Errorf("counted %+v", c)
	}
}
