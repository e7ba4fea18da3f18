package stream_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside/stream"
)

// ask sends a request that is to be refused, and returns the answer and its error's code.
func ask(t *testing.T, s http.Handler, change func(*http.Request)) (answer *httptest.ResponseRecorder, code string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that a stream which opens ends
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://auction.example/", nil)
	change(r)
	recorder := httptest.NewRecorder()
	s.ServeHTTP(deadlines{recorder}, r)
	var body struct{ Code, Reason, Remedy string }
	if recorder.Code != http.StatusOK {
		if err := json.Unmarshal(recorder.Body.Bytes(), &body); err != nil || body.Reason == "" || body.Remedy == "" {
			t.Errorf("%v in %s", err, recorder.Body)
		}
	}
	return recorder, body.Code
}

func TestTooManyClientsAreRefused(t *testing.T) {
	t.Parallel()
	cfg := configOf(newTwin(1))
	cfg.MaxClients, cfg.MaxClientsPerAddress = 3, 2
	s := newStream(t, cfg)
	var first *page
	var ended <-chan struct{}
	for range 2 {
		first, ended = connect(t, s, "/", "")
		first.awaitID(t)
	}
	same := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:99" }
	other := func(r *http.Request) { r.RemoteAddr = "[2001:db8::1]:99" }
	if answer, code := ask(t, s, same); answer.Code != http.StatusTooManyRequests || code != "skerry/busy" || answer.Header().Get("Retry-After") == "" {
		t.Errorf("the third of an address: %v", answer)
	}
	if answer, _ := ask(t, s, other); answer.Code != http.StatusOK {
		t.Errorf("one of another address: %v", answer)
	}
	_ = first.body.Close()
	<-ended
	if answer, _ := ask(t, s, same); answer.Code != http.StatusOK {
		t.Errorf("after one has left: %v", answer)
	}

	cfg.MaxClients = 1
	s = newStream(t, cfg)
	p, _ := connect(t, s, "/", "")
	p.awaitID(t)
	if answer, code := ask(t, s, other); answer.Code != http.StatusServiceUnavailable || code != "skerry/busy" || answer.Header().Get("Retry-After") == "" {
		t.Errorf("one more than the limit: %v", answer)
	}
	if stats := s.Stats(); stats.Clients != 1 || stats.Refused != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestWhatIsNoRequestForAStreamIsRefused(t *testing.T) {
	t.Parallel()
	cfg := configOf(newTwin(1))
	cfg.Origins = []string{"https://partner.example"}
	s := newStream(t, cfg)
	for name, c := range map[string]struct {
		change func(*http.Request)
		status int
		code   string
	}{
		"no browser":         {func(*http.Request) {}, 200, ""},
		"POST":               {func(r *http.Request) { r.Method = http.MethodPost }, 405, "skerry/method-not-allowed"},
		"HEAD":               {func(r *http.Request) { r.Method = http.MethodHead }, 405, "skerry/method-not-allowed"},
		"topics not there":   {func(r *http.Request) { r.URL.RawQuery = "lot=none" }, 400, "skerry/malformed"},
		"too many topics":    {func(r *http.Request) { r.URL.RawQuery = strings.Repeat("lot=a&", 101) }, 400, "skerry/malformed"},
		"same origin":        {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, 200, ""},
		"same origin, older": {func(r *http.Request) { r.Header.Set("Origin", "http://auction.example") }, 200, ""},
		"another site":       {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403, "skerry/cross-origin"},
		"a sister site":      {func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, 403, "skerry/cross-origin"},
		"another, older":     {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403, "skerry/cross-origin"},
		"a file":             {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, "skerry/cross-origin"},
		"a partner": {func(r *http.Request) {
			r.Header.Set("Origin", "https://partner.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, code := ask(t, s, c.change)
			if answer.Code != c.status || code != c.code {
				t.Errorf("%d %q: %s", answer.Code, code, answer.Body)
			}
			allowed := answer.Header().Get("Access-Control-Allow-Origin")
			if want := map[bool]string{true: "https://partner.example"}[name == "a partner"]; allowed != want {
				t.Errorf("it allows the origin %q", allowed)
			}
		})
	}
}

func TestAServerWithoutDeadlinesIsRefused(t *testing.T) {
	t.Parallel()
	s := newStream(t, configOf(newTwin(1)))
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	if recorder.Code != http.StatusInternalServerError || !strings.Contains(recorder.Body.String(), "skerry/failed") {
		t.Errorf("%v", recorder)
	}
}

func TestAWrongConfigNamesTheField(t *testing.T) {
	t.Parallel()
	for field, spoil := range map[string]func(*stream.Config){
		"Source is missing":      func(c *stream.Config) { c.Source = nil },
		"Source has 4097 shards": func(c *stream.Config) { c.Source = newTwin(4097) },
		"Name is \"\"":           func(c *stream.Config) { c.Name = "" },
		"Name is \"a\\nb\"":      func(c *stream.Config) { c.Name = "a\nb" },
		"Name is \"reset\"":      func(c *stream.Config) { c.Name = "reset" },
		"Name is \"ping\"":       func(c *stream.Config) { c.Name = "ping" },
		"Lists is empty":         func(c *stream.Config) { c.Lists = nil },
		"Lists has \"a\" twice":  func(c *stream.Config) { c.Lists = []string{"a", "a"} },
		"no type stores that event": func(c *stream.Config) {
			c.Rules = append(c.Rules, stream.On(func(stream.Event[*emptypb.Empty]) []stream.Fragment { return nil }))
		},
		"Rules is empty":                func(c *stream.Config) { c.Rules = nil },
		"two rules for google.protobuf": func(c *stream.Config) { c.Rules = append(c.Rules, c.Rules[0]) },
		"not made with stream.On":       func(c *stream.Config) { c.Rules = []stream.Rule{{}} },
		"Origins has \"x.example\"":     func(c *stream.Config) { c.Origins = []string{"x.example"} },
		"MaxClients is -1":              func(c *stream.Config) { c.MaxClients = -1 },
		"KeepBytes is -1":               func(c *stream.Config) { c.KeepBytes = -1 },
		"PingEvery is -1ns":             func(c *stream.Config) { c.PingEvery = -1 },
	} {
		cfg := configOf(newTwin(1))
		spoil(&cfg)
		if _, err := stream.New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v, want it to say %q", err, field)
		}
	}
}

func TestAnEventThatCannotBeShownStopsNobody(t *testing.T) {
	t.Parallel()
	source := newTwin(1)
	cfg := configOf(source)
	cfg.Rules = append(cfg.Rules, stream.On(func(ev stream.Event[*LotClosed]) []stream.Fragment {
		if ev.Msg.GetValue() {
			return []stream.Fragment{{List: "rows", Value: func() {}}} // cannot be JSON
		}
		return []stream.Fragment{{List: "nowhere", Value: 1}}
	}))
	s := newStream(t, cfg)
	p, _ := connect(t, s, "/", "")
	p.awaitID(t)
	source.commit(t, 0,
		bid("a", 1, -1, 2),
		command{id: "a", events: closings},
		bid("a", 3),
	)
	if got := brief(p.rows(t, 3)); got != "a@1=1 a@3=2 a@6=3" {
		t.Errorf("it got %s", got)
	}
	if failed := s.Stats().Failed; failed != 3 || p.lastID != "h1.0:6" {
		t.Errorf("%d failed; it stands at %s", failed, p.lastID)
	}
}

var closings = []proto.Message{wrapperspb.Bool(true), wrapperspb.Bool(false)}

// deadlines lets a recorder take deadlines.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }
