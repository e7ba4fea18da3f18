package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func TestCommandIsAcceptedAndAnsweredLater(t *testing.T) {
	t.Parallel()
	s := startService(t)
	const arm = "/v1/entities/timer/a%2Fb%20%C3%A9/Timer"
	accepted := s.send(t, "POST", arm, `{"name":"n"}`, "Idempotency-Key: k/1 ?", `Prefer: handling=lenient, respond-async; foo, wait=9`)
	at := accepted.header.Get("Location")
	if accepted.status != http.StatusAccepted || accepted.header.Get("Preference-Applied") != "respond-async" ||
		at != "/v1/entities/timer/a%2Fb%20%C3%A9/replies/k%2F1%20%3F?command=Timer" || accepted.body != `{"reply":"`+at+"\"}\n" {
		t.Fatalf("answered %+v, want 202 with the address of the answer", accepted)
	}
	answer := s.await(t, at)
	if answer.status != 200 || !strings.Contains(answer.body, `"head":"1"`) || answer.header.Get("ETag") != `"1"` {
		t.Errorf("the answer is %+v", answer)
	}
	repeat := s.send(t, "POST", arm, `{"name":"n"}`, "Idempotency-Key: k/1 ?")
	if repeat.body != answer.body || repeat.header.Get("Skerry-Repeated") != "true" {
		t.Errorf("the command sent again is answered %+v, want the stored answer %s", repeat, answer.body)
	}
	binary := s.send(t, "GET", strings.TrimSuffix(at, "?command=Timer"), "", "Accept: text/html, application/protobuf")
	var reply adminv1.Shard
	if err := proto.Unmarshal([]byte(binary.body), &reply); err != nil || reply.GetHead() != 1 || binary.header.Get("Content-Type") != "application/protobuf" {
		t.Errorf("as protobuf the answer is %+v, %v", binary, err)
	}

	no := s.send(t, "POST", arm, `{"attempts":"-1"}`, "Idempotency-Key: k2", "Prefer: respond-async")
	if answer := s.await(t, no.header.Get("Location")); answer.status != 409 || !strings.Contains(answer.body, `"negative"`) {
		t.Errorf("the answer of a refused command is %+v", answer)
	}
	made := s.send(t, "POST", "/v1/entities/timer/Timer", `{"name":"n"}`, "Idempotency-Key: k", "Prefer: respond-async")
	if id := made.header.Get("Skerry-Entity-Id"); made.status != 202 || !strings.HasPrefix(made.header.Get("Location"), "/v1/entities/timer/"+id+"/replies/k") {
		t.Errorf("a command to a new entity is answered %+v", made)
	}
	query := s.send(t, "GET", "/v1/entities/timer/7/Empty", "", "Prefer: respond-async")
	if query.status != 200 || query.header.Get("Preference-Applied") != "" {
		t.Errorf("a query is answered %+v, want its reply", query)
	}
}

// Whatever a key or an id is, the address of the answer leads to it, also through a mux, which cleans paths.
func TestTheAddressOfAnAnswerSurvivesAMux(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle("/", serve(t, startHost(t, timers), nil))
	url := listen(t, mux)
	s := service{url, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	names := []string{
		"a", ".", "..", "...", "a/b", "a//b", "/", "%2F", "a%2Fb", "%2E", "%", "ü", "💥", "a b", "a\u00a0b", "?x=1", "#", "+", `\`, ";", "&command=X", "replies",
	}
	for _, name := range names {
		for at, headers := range map[string][]string{
			"/v1/entities/timer/e/Timer": {"Idempotency-Key: " + name, "Prefer: respond-async"},
			"/v1/entities/timer/" + strings.ReplaceAll(neturl.PathEscape(name), ".", "%2E") + "/Timer": {"Idempotency-Key: k", "Prefer: respond-async"},
		} {
			accepted := s.send(t, "POST", at, "{}", headers...)
			if accepted.status != http.StatusAccepted {
				t.Errorf("%q at %s: answered %+v", name, at, accepted)
				continue
			}
			if answer := s.await(t, accepted.header.Get("Location")); answer.status != http.StatusOK {
				t.Errorf("%q: the answer at %s is %+v", name, accepted.header.Get("Location"), answer)
			}
		}
	}
}

// await asks for an answer until it is there.
func (s service) await(t *testing.T, at string) answer {
	t.Helper()
	for {
		got := s.send(t, "GET", at, "")
		if got.status != http.StatusAccepted {
			return got
		}
		select {
		case <-t.Context().Done():
			t.Fatal("no answer came")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestRequestsForAnswersAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	mixed := entity.Define[int64]("mixed", entity.On(add), entity.On(reset),
		entity.Apply(func(n int64, e *wrapperspb.Int64Value) int64 { return n + e.GetValue() }))
	payload, _ := proto.Marshal(&adminv1.Shard{Owner: "\x00\x00\x00"})
	var caller entity.Caller = callerFunc(func(_ context.Context, req *entity.Request) (*entity.Response, error) {
		switch req.Key.Name {
		case "running":
			return nil, &entity.Error{Kind: entity.ErrRunning}
		case "forgotten":
			return nil, &entity.Error{Kind: entity.ErrNotKnown, Reason: "no answer under that key"}
		case "sick":
			return nil, &entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk", RetryAfter: 3 * time.Second}
		case "odd":
			return &entity.Response{Payload: []byte("\xff")}, nil
		case "stored no":
			return nil, entity.Reject("low", "bid more")
		}
		if !req.Lookup || req.Command != "" || req.Principal != "ann" {
			return nil, errors.New("not as it should be")
		}
		return &entity.Response{Payload: payload}, nil
	})
	h := serve(t, caller, func(c *gateway.Config) {
		c.Types = append(c.Types, mixed)
		c.Principal = func(*http.Request) (string, error) { return "ann", nil }
	})
	for name, test := range map[string]struct {
		method, path string
		headers      []string
		status       int
		says, retry  string
	}{
		"there":                      {"GET", "/v1/entities/timer/7/replies/k", nil, 200, `"owner"`, ""},
		"by HEAD":                    {"HEAD", "/v1/entities/timer/7/replies/k", nil, 200, "", ""},
		"running":                    {"GET", "/v1/entities/timer/7/replies/running", nil, 202, "skerry/running", "1"},
		"forgotten":                  {"GET", "/v1/entities/timer/7/replies/forgotten", nil, 404, "only within 120 s", ""},
		"unavailable":                {"GET", "/v1/entities/timer/7/replies/sick", nil, 503, "skerry/unavailable", "3"},
		"a no":                       {"GET", "/v1/entities/timer/7/replies/stored%20no", nil, 409, "the same key gets the same answer", ""},
		"a POST":                     {"POST", "/v1/entities/timer/7/replies/k", nil, 405, "an answer cannot be asked by", ""},
		"no type":                    {"GET", "/v1/entities/lot/7/replies/k", nil, 404, "skerry/unknown-type", ""},
		"no command":                 {"GET", "/v1/entities/timer/7/replies/k?command=Bid", nil, 404, "skerry/unknown-command", ""},
		"two commands":               {"GET", "/v1/entities/timer/7/replies/k?command=a&command=b", nil, 400, "2 times", ""},
		"no key":                     {"GET", "/v1/entities/timer/7/replies/", nil, 400, "it has 0 bytes", ""},
		"no id":                      {"GET", "/v1/entities/timer//replies/k", nil, 400, "the id is empty", ""},
		"wrong timeout":              {"GET", "/v1/entities/timer/7/replies/k", []string{"Skerry-Timeout: soon"}, 400, "Skerry-Timeout", ""},
		"which of several":           {"GET", "/v1/entities/mixed/7/replies/k", nil, 400, "?command=", ""},
		"the wrong one of several":   {"GET", "/v1/entities/mixed/7/replies/odd?command=Int64Value", nil, 400, "the answer is no google.protobuf.Int64Value", ""},
		"asynchronous without a key": {"POST", "/v1/entities/timer/7/Timer", []string{"Prefer: respond-async"}, 400, "Idempotency-Key", ""},
	} {
		w := send(h, test.method, test.path, "", test.headers...)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) || w.Header().Get("Retry-After") != test.retry {
			t.Errorf("%s: answered %d %s, Retry-After %q; want %d with %q, %q", name, w.Code, w.Body, w.Header().Get("Retry-After"), test.status, test.says, test.retry)
		}
	}
}

func add(n int64, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
	return entity.Persist(cmd.Msg), wrapperspb.Int64(n + cmd.Msg.GetValue()), nil
}

func reset(n int64, _ entity.Command[*emptypb.Empty]) (entity.Effect, *emptypb.Empty, error) {
	return entity.Persist(wrapperspb.Int64(-n)), &emptypb.Empty{}, nil
}

func TestTokenOfAQueryIsPassedOn(t *testing.T) {
	t.Parallel()
	var got entity.Request
	h := serve(t, answering(&got), nil)
	if send(h, "GET", "/v1/entities/timer/7/Empty", "", "Skerry-Token: h.2:9"); got.After.String() != "h.2:9" {
		t.Errorf("the query must have seen %q, want h.2:9", got.After)
	}
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", "{}", "Skerry-Token: h.2:9"); w.Code != 200 || got.After.String() != "" {
		t.Errorf("a command with a token is answered %d and must have seen %q; want 200 and nothing", w.Code, got.After)
	}
	if w := send(h, "GET", "/v1/entities/timer/7/Empty", "", "Skerry-Token: 2:9"); w.Code != 400 || !strings.Contains(w.Body.String(), "Skerry-Token") {
		t.Errorf("a wrong token is answered %d %s", w.Code, w.Body)
	}
}

// Tell and Result work through a client as they do on a host.
func TestTellAndResultWorkThroughAClient(t *testing.T) {
	t.Parallel()
	host := startHost(t, registers)
	h, err := gateway.New(gateway.Config{Caller: host, Types: []entity.Definition{registers}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{listen(t, h)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	r := registers.Ref(client, "r")
	if _, err := entity.Result[*wrapperspb.Int64Value](t.Context(), r, "k"); !errors.Is(err, entity.ErrNotKnown) {
		t.Errorf("before the command its answer is %v, want not known", err)
	}
	ticket, err := enter.Tell(t.Context(), r, wrapperspb.String("ann"), entity.Key("k"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		at, err := ticket.Result(t.Context())
		if errors.Is(err, entity.ErrRunning) {
			continue
		}
		if err != nil || at.GetValue() != 0 {
			t.Errorf("the answer is %v, %v", at, err)
		}
		return
	}
}
