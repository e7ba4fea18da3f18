package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/service"
)

// network is a few endpoints without a network, each a function of the request.
type network struct {
	mu   sync.Mutex
	at   map[string]http.HandlerFunc // nil: nobody listens
	sent map[string]int
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	handler := n.at[r.URL.Host]
	n.sent[r.URL.Host]++
	n.mu.Unlock()
	if handler == nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if recover() != nil {
				w = nil
			}
		}()
		handler(w, r)
	}()
	if w == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return w.Result(), nil
}

func ok(w http.ResponseWriter, r *http.Request) {
	if r.Body != nil {
		io.Copy(w, r.Body) //nolint:errcheck // a recorder
	}
}
func busy(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
func cut(http.ResponseWriter, *http.Request)      { panic("the connection is lost") }

type site struct {
	*testing.T
	network
	group  *breaker.Group
	client *http.Client
}

// newSite makes a client of the service payments, at all endpoints of the network.
func newSite(t *testing.T, at map[string]http.HandlerFunc, change func(*service.Config)) *site {
	t.Helper()
	s := &site{T: t, network: network{at: at, sent: map[string]int{}}}
	var err error
	if s.group, err = breaker.NewGroup(breaker.GroupConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	cfg := service.Config{
		Resolver: service.Static{"payments": slices.Sorted(maps.Keys(at))}, Breakers: s.group, Base: &s.network, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	client, err := service.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.client = &http.Client{Transport: client}
	return s
}

func (s *site) call(ctx context.Context, method, path, body string) (status int, answer string, err error) {
	s.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://payments"+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestAServiceHasABreakerForEachMethod(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]http.HandlerFunc{"a:1": ok}, nil)
	for _, path := range []string{
		"/payments.v1.Payments/Charge", "/v1/entities/account/ann/Charge", "/v1/entities/account/bob/Refund", "/v1/entities/account/Open", "/accounts/77/lines",
	} {
		if _, _, err := s.call(t.Context(), "POST", path, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.call(service.WithMethod(t.Context(), "Lines"), "GET", "/accounts/77/lines", ""); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, b := range s.group.Snapshot() {
		ids = append(ids, fmt.Sprint(b.ID, " ", b.Counts.Succeeded))
	}
	want := []string{"payments/Charge 2", "payments/Lines 1", "payments/Open 1", "payments/POST 1", "payments/Refund 1"}
	if !slices.Equal(ids, want) {
		t.Errorf("got %q; want %q", ids, want)
	}
}

func TestDeadlineKeyAndTraceArePassedOn(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	synctest.Test(t, func(t *testing.T) {
		var got http.Header
		s := newSite(t, map[string]http.HandlerFunc{"a:1": func(_ http.ResponseWriter, r *http.Request) { got = r.Header }}, nil)
		ctx, cancel := context.WithTimeout(service.WithTrace(service.WithKey(t.Context(), "k"), trace), 2500*time.Millisecond)
		defer cancel()
		if _, _, err := s.call(ctx, "POST", "/x", ""); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"Idempotency-Key": "k", "Traceparent": trace, "Skerry-Timeout": "2.5s"} {
			if got.Get(name) != want {
				t.Errorf("%s is %q; want %q", name, got.Get(name), want)
			}
		}
		if _, _, err := s.call(t.Context(), "POST", "/x", ""); err != nil {
			t.Fatal(err)
		}
		if got.Get("Skerry-Timeout") != "10s" || got.Get("Idempotency-Key") != "" {
			t.Errorf("without a deadline of its own: %v; want the call-timeout", got)
		}
	})
}

func TestWhereARequestGoesAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, key string
		first       http.HandlerFunc
		again       bool
	}{
		"nobody listens":               {"POST", "", nil, true},
		"busy, with a key":             {"POST", "k", busy, true},
		"lost, with a key":             {"POST", "k", cut, true},
		"lost, a read":                 {"GET", "", cut, true},
		"busy, without a key":          {"POST", "", busy, false},
		"lost, without a key":          {"POST", "", cut, false},
		"an answer is final, even 500": {"POST", "k", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, map[string]http.HandlerFunc{"a:1": c.first, "b:1": ok}, nil)
				ctx := t.Context()
				if c.key != "" {
					ctx = service.WithKey(ctx, c.key)
				}
				for n := 0; s.sent["a:1"] == 0; n++ {
					if n > 50 {
						t.Fatal("the first endpoint is never chosen")
					}
					status, answer, err := s.call(ctx, c.method, "/x", "a body")
					if tried := s.sent["a:1"] > 0; tried && c.again != (err == nil && status == 200) {
						t.Errorf("got %d, %v", status, err)
					}
					if status == 200 && answer != "a body" {
						t.Errorf("the body came as %q", answer)
					}
				}
			})
		})
	}
}

// One of three endpoints is down: no call fails, and the breaker does not notice.
func TestAnEndpointThatIsDownRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, map[string]http.HandlerFunc{"a:1": nil, "b:1": ok, "c:1": ok}, nil)
		for range 100 {
			if _, _, err := s.call(t.Context(), "POST", "/x", "y"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := s.sent["a:1"]; n < 2 || n > 10 {
			t.Errorf("the one that is down was tried %d times in 10 s; want at most one a second", n)
		}
		if b, c := s.sent["b:1"], s.sent["c:1"]; b < 10 || c < 10 {
			t.Errorf("the others got %d and %d", b, c)
		}
		if c := s.group.Snapshot()[0].Counts; c.Succeeded != 100 || c.Failed != 0 {
			t.Errorf("counted %+v", c)
		}
	})
}

func TestAServiceThatIsDownOpensTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, map[string]http.HandlerFunc{"a:1": nil, "b:1": nil}, nil)
		for n := range 20 {
			_, _, err := s.call(t.Context(), "POST", "/x", "")
			if want := n >= 10; err == nil || errors.Is(err, breaker.ErrOpen) != want {
				t.Fatalf("call %d: %v", n, err)
			}
		}
		if n := s.sent["a:1"] + s.sent["b:1"]; n != 20 {
			t.Errorf("%d were sent; want 10 to each", n)
		}
		s.mu.Lock()
		s.at["a:1"] = ok
		s.mu.Unlock()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if _, _, err := s.call(t.Context(), "POST", "/x", ""); err != nil {
			t.Errorf("after recovery: %v", err)
		}
	})
}

func TestTheIdlerOfTwoGetsTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		slow := func(http.ResponseWriter, *http.Request) { <-hang }
		s := newSite(t, map[string]http.HandlerFunc{"a:1": slow, "b:1": slow}, nil)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, _, err := s.call(t.Context(), "POST", "/x", ""); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		if s.sent["a:1"] != 5 || s.sent["b:1"] != 5 {
			t.Errorf("sent %v; want five to each", s.sent)
		}
		close(hang)
		all.Wait()
	})
}

func TestEndpointsAreResolvedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now, asked := []string{"a:1"}, 0
		var fails error
		s := newSite(t, map[string]http.HandlerFunc{"a:1": ok, "b:1": ok}, func(c *service.Config) {
			c.Resolver = service.ResolverFunc(func(_ context.Context, name string) ([]string, error) {
				if asked++; name != "payments" {
					t.Errorf("asked for %s", name)
				}
				return now, fails
			})
		})
		sent := func() string {
			clear(s.sent)
			for range 20 {
				if _, _, err := s.call(t.Context(), "POST", "/x", ""); err != nil {
					t.Fatal(err)
				}
			}
			return strings.Join(slices.Sorted(maps.Keys(s.sent)), " ")
		}
		if got := sent(); got != "a:1" || asked != 1 {
			t.Errorf("went to %s, asked %d times", got, asked)
		}
		now = []string{"b:1"}
		if got := sent(); got != "a:1" {
			t.Errorf("went to %s before 5 s", got)
		}
		time.Sleep(5 * time.Second)
		if got := sent(); got != "b:1" || asked != 2 {
			t.Errorf("went to %s, asked %d times", got, asked)
		}
		fails = errors.New("the resolver is away")
		time.Sleep(5 * time.Second)
		if got := sent(); got != "b:1" || asked != 3 {
			t.Errorf("with the resolver away: went to %s, asked %d times", got, asked)
		}
	})
}

func TestAnUnknownServiceIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]http.HandlerFunc{}, nil)
	if _, _, err := s.call(t.Context(), "POST", "/x", ""); err == nil || !strings.Contains(err.Error(), `service "payments" has no endpoints`) {
		t.Errorf("got %v", err)
	}
}

func TestSRVRecordsOfTheBestPriority(t *testing.T) {
	t.Parallel()
	srv := service.SRV{Domain: "cluster.local", Lookup: func(_ context.Context, name, proto, domain string) (string, []*net.SRV, error) {
		if name+proto+domain != "paymentstcpcluster.local" {
			return "", nil, errors.New("no such host")
		}
		return "", []*net.SRV{{Target: "p1.cluster.local.", Port: 80, Priority: 1}, {Target: "::1", Port: 81, Priority: 1}, {Target: "spare.", Port: 80, Priority: 2}}, nil
	}}
	got, err := srv.Resolve(t.Context(), "payments")
	if want := []string{"p1.cluster.local:80", "[::1]:81"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := srv.Resolve(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf("got %v", err)
	}
}

func TestWrongConfigsAreNamed(t *testing.T) {
	t.Parallel()
	group, err := breaker.NewGroup(breaker.GroupConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]service.Config{
		"Config.Resolver":     {Breakers: group},
		"Config.Breakers":     {Resolver: service.Static{}},
		"Config.ResolveEvery": {Resolver: service.Static{}, Breakers: group, ResolveEvery: -1},
		"Config.MaxAttempts":  {Resolver: service.Static{}, Breakers: group, MaxAttempts: -1},
	} {
		if _, err := service.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to name %s", err, want)
		}
	}
}
