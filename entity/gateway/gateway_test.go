package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// The type under test borrows messages of many shapes: Arm is a Timer, Look a
// FieldDescriptorProto (with enums, booleans and messages), Count takes nothing.
var timers = entity.Define[struct{ Armed int64 }]("timer",
	entity.On(func(_ struct{ Armed int64 }, cmd entity.Command[*adminv1.Timer]) (entity.Effect, *adminv1.Shard, error) {
		if cmd.Msg.GetAttempts() < 0 {
			return entity.None, nil, entity.Reject("negative", "%d attempts", cmd.Msg.GetAttempts())
		}
		return entity.Persist(&wrapperspb.Int64Value{Value: 1}), &adminv1.Shard{Head: cmd.Version + 1, Owner: cmd.Principal}, nil
	}),
	entity.Query(func(s struct{ Armed int64 }, cmd entity.Command[*descriptorpb.FieldDescriptorProto]) (*apiv1.Command, error) {
		return &apiv1.Command{Name: cmd.Msg.GetName(), Query: cmd.Msg.GetProto3Optional(), Message: fmt.Sprint(s.Armed)}, nil
	}),
	entity.Query(countTimers),
	entity.Apply(func(s struct{ Armed int64 }, e *wrapperspb.Int64Value) struct{ Armed int64 } {
		s.Armed += e.GetValue()
		return s
	}),
)

func countTimers(s struct{ Armed int64 }, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
	return wrapperspb.Int64(s.Armed), nil
}

// callerFunc is a Caller.
type callerFunc func(context.Context, *entity.Request) (*entity.Response, error)

func (f callerFunc) Call(ctx context.Context, req *entity.Request) (*entity.Response, error) {
	return f(ctx, req)
}

// answering checks ids as every Caller does, and answers with an empty message.
func answering(seen *entity.Request) callerFunc {
	return func(_ context.Context, req *entity.Request) (*entity.Response, error) {
		if seen != nil {
			*seen = *req
		}
		if len(req.ID) > 512 || !utf8.ValidString(req.ID) || strings.ContainsFunc(req.ID, unicode.IsControl) {
			return nil, &entity.Rejection{Code: "skerry/malformed", Message: "the id is not allowed"}
		}
		return &entity.Response{Receipt: entity.Receipt{Version: 3, Token: journal.Token{History: "h"}.With(2, 9)}}, nil
	}
}

func failing(err error) callerFunc {
	return func(context.Context, *entity.Request) (*entity.Response, error) { return nil, err }
}

func serve(t testing.TB, caller entity.Caller, change func(*gateway.Config)) http.Handler {
	t.Helper()
	cfg := gateway.Config{Caller: caller, Types: []entity.Definition{timers}, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	h, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// send sends a request with headers given as "Name: value".
func send(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// sendSet is send with headers that replace those before them; one without a value is left out.
func sendSet(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type failure struct {
	Code, Reason, Remedy string
	Version              *string
	Known                []string
}

func failureOf(t testing.TB, w *httptest.ResponseRecorder) (f failure) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("%d with a body that is no JSON: %v: %q", w.Code, err, w.Body)
	}
	if f.Code == "" || f.Reason == "" || f.Remedy == "" {
		t.Errorf("%d lacks code, reason or remedy: %s", w.Code, w.Body)
	}
	return f
}

func TestWrongRequestsAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	const arm, look, count = "/v1/entities/timer/1/Timer", "/v1/entities/timer/1/FieldDescriptorProto", "/v1/entities/timer/1/Empty"
	tests := map[string]struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		"another path":                 {"GET", "/v2/things", "", nil, 404, "nothing is at this path"},
		"a longer word":                {"GET", "/v1/entitiesx", "", nil, 404, "nothing is at this path"},
		"unknown type":                 {"POST", "/v1/entities/lot/1/Timer", "{}", nil, 404, `no type "lot"`},
		"unknown command":              {"POST", "/v1/entities/timer/1/Bid", "{}", nil, 404, `answers no "Bid"`},
		"unknown command, new entity":  {"POST", "/v1/entities/timer/Bid", "{}", nil, 404, `answers no "Bid"`},
		"too many parts":               {"POST", "/v1/entities/timer/a/b/Timer", "{}", nil, 404, "at most 3"},
		"command by GET":               {"GET", arm, "", nil, 405, "cannot be asked by"},
		"query by DELETE":              {"DELETE", look, "", nil, 405, "cannot be asked by"},
		"index by POST":                {"POST", "/v1/entities", "{}", nil, 405, "a list"},
		"query without id":             {"POST", "/v1/entities/timer/Empty", "", nil, 400, "needs the id"},
		"unknown field":                {"POST", arm, `{"nmae":"x"}`, nil, 400, `"nmae"`},
		"wrong JSON":                   {"POST", arm, `{"name":`, nil, 400, "unexpected"},
		"JSON of another kind":         {"POST", arm, `[1,2]`, nil, 400, "unexpected token"},
		"text behind the JSON":         {"POST", arm, `{} {}`, nil, 400, "unexpected token"},
		"field of another kind":        {"POST", arm, `{"attempts":"many"}`, nil, 400, "attempts"},
		"number out of range":          {"POST", arm, `{"attempts":1e300}`, nil, 400, "attempts"},
		"field twice":                  {"POST", arm, `{"name":"a","name":"b"}`, nil, 400, "name"},
		"bytes that are no UTF-8":      {"POST", arm, "{\"name\":\"\xff\"}", nil, 400, "UTF-8"},
		"deep JSON":                    {"POST", "/v1/entities/timer/1/FieldDescriptorProto", `{"options":{"x":` + strings.Repeat("[", 100_000), nil, 400, "JSON"},
		"form":                         {"POST", arm, "name=x", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "application/json"},
		"form without a body":          {"POST", arm, "", []string{"Content-Type: text/plain"}, 415, "application/json"},
		"no content type":              {"POST", arm, "{}", []string{"Content-Type: "}, 415, "application/json"},
		"other charset":                {"POST", arm, "{}", []string{"Content-Type: application/json; charset=latin1"}, 415, "UTF-8"},
		"5 MB body":                    {"POST", arm, `{"name":"` + strings.Repeat("x", 5_000_000) + `"}`, nil, 413, "larger than 1048576 bytes"},
		"empty id":                     {"POST", "/v1/entities/timer//Timer", "{}", nil, 400, "id is empty"},
		"id of 10 kB":                  {"POST", "/v1/entities/timer/" + strings.Repeat("x", 10_000) + "/Timer", "{}", nil, 400, "id"},
		"id with a control character":  {"POST", "/v1/entities/timer/a%00b/Timer", "{}", nil, 400, "id"},
		"id that is no UTF-8":          {"POST", "/v1/entities/timer/a%ffb/Timer", "{}", nil, 400, "id"},
		"empty key":                    {"POST", arm, "{}", []string{"Idempotency-Key: "}, 400, "0 bytes"},
		"long key":                     {"POST", arm, "{}", []string{"Idempotency-Key: " + strings.Repeat("k", 257)}, 400, "257 bytes"},
		"two keys":                     {"POST", arm, "{}", []string{"Idempotency-Key: a", "Idempotency-Key: b"}, 400, "2 times"},
		"empty quoted key":             {"POST", arm, "{}", []string{`Idempotency-Key: ""`}, 400, "0 bytes"},
		"unclosed key":                 {"POST", arm, "{}", []string{`Idempotency-Key: "abc`}, 400, "closing quote"},
		"lone quote":                   {"POST", arm, "{}", []string{`Idempotency-Key: "`}, 400, "closing quote"},
		"text behind the key":          {"POST", arm, "{}", []string{`Idempotency-Key: "abc";p=1`}, 400, "closing quote"},
		"bad escape in the key":        {"POST", arm, "{}", []string{`Idempotency-Key: "a\n"`}, 400, `may stand only before`},
		"escape at the key's end":      {"POST", arm, "{}", []string{`Idempotency-Key: "a\`}, 400, `may stand only before`},
		"control character in the key": {"POST", arm, "{}", []string{"Idempotency-Key: a\x01b"}, 400, "control character"},
		"key that is no UTF-8":         {"POST", arm, "{}", []string{"Idempotency-Key: a\xffb"}, 400, "UTF-8"},
		"any version":                  {"POST", arm, "{}", []string{`If-Match: *`}, 400, "names no version"},
		"weak version":                 {"POST", arm, "{}", []string{`If-Match: W/"7"`}, 400, "names no version"},
		"list of versions":             {"POST", arm, "{}", []string{`If-Match: "7", "8"`}, 400, "names no version"},
		"version without quotes":       {"POST", arm, "{}", []string{`If-Match: 7`}, 400, "names no version"},
		"version with zeros":           {"POST", arm, "{}", []string{`If-Match: "07"`}, 400, "names no version"},
		"negative version":             {"POST", arm, "{}", []string{`If-Match: "-1"`}, 400, "names no version"},
		"huge version":                 {"POST", arm, "{}", []string{`If-Match: "18446744073709551616"`}, 400, "names no version"},
		"version for a query":          {"GET", count, "", []string{`If-Match: "7"`}, 400, "for commands"},
		"if-none-match with a version": {"POST", arm, "{}", []string{`If-None-Match: "7"`}, 400, "may only be *"},
		"both conditions":              {"POST", arm, "{}", []string{`If-None-Match: *`, `If-Match: "0"`}, 400, "may only be *"},
		"local command":                {"POST", arm, "{}", []string{"Skerry-Local: true"}, 400, "for queries"},
		"local neither true nor false": {"GET", count, "", []string{"Skerry-Local: maybe"}, 400, "maybe"},
		"passed deadline":              {"POST", arm, "{}", []string{"Skerry-Timeout: -1s"}, 400, "passed already"},
		"no time at all":               {"POST", arm, "{}", []string{"Skerry-Timeout: 0"}, 400, "passed already"},
		"timeout that is no time":      {"POST", arm, "{}", []string{"Skerry-Timeout: soon"}, 400, "no time"},
		"unknown parameter":            {"GET", look + "?colour=red", "", nil, 400, `no parameter "colour"`},
		"parameter of another kind":    {"GET", look + "?number=many", "", nil, 400, `the parameter number is "many", which is no int32`},
		"bad boolean":                  {"GET", look + "?proto3Optional=1", "", nil, 400, "the parameter proto3Optional is"},
		"unknown enum":                 {"GET", look + "?type=TYPE_X", "", nil, 400, "the parameter type is"},
		"parameter twice":              {"GET", look + "?name=a&name=b", "", nil, 400, "2 times"},
		"parameter under two names":    {"GET", look + "?jsonName=a&json_name=b", "", nil, 400, "two names"},
		"parameter that is a message":  {"GET", look + "?options=x", "", nil, 400, "no single value"},
		"bad escape in parameters":     {"GET", look + "?name=%zz", "", nil, 400, "parameters"},
		"parameters with a POST":       {"POST", arm + "?name=x", "{}", nil, 400, "for GET"},
		"from another site":            {"POST", arm, "{}", []string{"Sec-Fetch-Site: cross-site"}, 403, "cross-origin"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := send(serve(t, answering(nil), nil), test.method, test.path, test.body, test.headers...)
			f := failureOf(t, w)
			if w.Code != test.status || !strings.Contains(f.Reason, test.says) {
				t.Errorf("answered %d %q, want %d with %q", w.Code, f.Reason, test.status, test.says)
			}
			if w.Code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without the header Allow")
			}
			if strings.Contains(f.Reason, "\u00a0") {
				t.Errorf("%q has the JSON library's random spaces", f.Reason)
			}
		})
	}
}

func TestUnknownNamesAreAnsweredWithThoseThatExist(t *testing.T) {
	t.Parallel()
	h := serve(t, answering(nil), nil)
	if f := failureOf(t, send(h, "POST", "/v1/entities/lot/1/Timer", "")); len(f.Known) != 1 || f.Known[0] != "timer" {
		t.Errorf("known types are %q, want timer", f.Known)
	}
	if f := failureOf(t, send(h, "POST", "/v1/entities/timer/1/Bid", "")); len(f.Known) != 3 {
		t.Errorf("known commands are %q, want three", f.Known)
	}
}

func TestCommandReachesItsEntity(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		path    string
		headers []string
		want    entity.Request
	}{
		"plain":          {"/v1/entities/timer/7/Timer", nil, entity.Request{ID: "7"}},
		"full name":      {"/v1/entities/timer/7/skerry.admin.v1.Timer", nil, entity.Request{ID: "7"}},
		"slashes":        {"/v1/entities/timer/a%2Fb%2F%2Fc/Timer", nil, entity.Request{ID: "a/b//c"}},
		"dots":           {"/v1/entities/timer/%2E%2E/Timer", nil, entity.Request{ID: ".."}},
		"unicode":        {"/v1/entities/timer/caf%C3%A9%20%F0%9F%8E%89/Timer", nil, entity.Request{ID: "café 🎉"}},
		"percent":        {"/v1/entities/timer/100%25/Timer", nil, entity.Request{ID: "100%"}},
		"key":            {"/v1/entities/timer/7/Timer", []string{"Idempotency-Key: a b"}, entity.Request{ID: "7", Key: entity.CallerKey("a b")}},
		"quoted key":     {"/v1/entities/timer/7/Timer", []string{`Idempotency-Key: "a \"b\\"`}, entity.Request{ID: "7", Key: entity.CallerKey(`a "b\`)}},
		"longest key":    {"/v1/entities/timer/7/Timer", []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, entity.Request{ID: "7", Key: entity.CallerKey(strings.Repeat("k", 256))}},
		"version":        {"/v1/entities/timer/7/Timer", []string{`If-Match: "12"`}, entity.Request{ID: "7", IfVersion: proto.Uint64(12)}},
		"create only":    {"/v1/entities/timer/7/Timer", []string{`If-Match: "0"`}, entity.Request{ID: "7", IfVersion: proto.Uint64(0)}},
		"if none match":  {"/v1/entities/timer/7/Timer", []string{`If-None-Match: *`}, entity.Request{ID: "7", IfVersion: proto.Uint64(0)}},
		"trace":          {"/v1/entities/timer/7/Timer", []string{"traceparent: 00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}, entity.Request{ID: "7", Trace: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}},
		"unusable trace": {"/v1/entities/timer/7/Timer", []string{"traceparent: 00-xyz"}, entity.Request{ID: "7"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got entity.Request
			w := send(serve(t, answering(&got), nil), "POST", test.path, `{"name":"n","attempts":"2"}`, test.headers...)
			if w.Code != http.StatusOK {
				t.Fatalf("answered %d: %s", w.Code, w.Body)
			}
			payload, err := proto.Marshal(&adminv1.Timer{Name: "n", Attempts: 2})
			if err != nil {
				t.Fatal(err)
			}
			test.want.Type, test.want.Command, test.want.Payload = "timer", "skerry.admin.v1.Timer", payload
			if fmt.Sprintf("%+v", plain(got)) != fmt.Sprintf("%+v", plain(test.want)) {
				t.Errorf("the caller got\n%+v, want\n%+v", plain(got), plain(test.want))
			}
		})
	}
}

// plain shows the version instead of its address.
func plain(r entity.Request) any {
	version := "any"
	if r.IfVersion != nil {
		version = fmt.Sprint(*r.IfVersion)
	}
	r.IfVersion = nil
	return []any{r, version}
}

func TestAnswerTellsVersionTokenAndRepeat(t *testing.T) {
	t.Parallel()
	caller := callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		payload, err := proto.Marshal(&adminv1.Shard{Head: 12, Owner: "n"})
		return &entity.Response{Payload: payload, Receipt: entity.Receipt{Version: 4, Token: journal.Token{History: "h"}.With(2, 9), Repeated: true}}, err
	})
	h := serve(t, caller, nil)
	first := send(h, "POST", "/v1/entities/timer/7/Timer", "").Body.String()
	for range 50 {
		w := send(h, "POST", "/v1/entities/timer/7/Timer", "")
		if w.Body.String() != first {
			t.Fatalf("the same reply is %q and %q", first, w.Body)
		}
		for name, want := range map[string]string{"ETag": `"4"`, "Skerry-Token": "h.2:9", "Skerry-Repeated": "true", "Content-Type": "application/json"} {
			if got := w.Header().Get(name); got != want {
				t.Fatalf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if !strings.Contains(first, `"head":"12"`) || !strings.Contains(first, `"epoch":"0"`) {
		t.Errorf("the reply %s lacks a field", first)
	}
}

func TestRepeatWithoutIDReachesTheSameEntity(t *testing.T) {
	t.Parallel()
	var got entity.Request
	h := serve(t, answering(&got), func(c *gateway.Config) {
		c.Principal = func(r *http.Request) (string, error) { return r.Header.Get("User"), nil }
	})
	id := func(headers ...string) string {
		w := send(h, "POST", "/v1/entities/timer/Timer", "{}", headers...)
		if w.Code != http.StatusCreated {
			t.Fatalf("answered %d: %s", w.Code, w.Body)
		}
		if w.Header().Get("Skerry-Entity-Id") != got.ID || w.Header().Values("Location") != nil {
			t.Fatalf("the headers %v do not tell the id %q", w.Header(), got.ID)
		}
		return got.ID
	}
	if a, b := id("Idempotency-Key: k"), id(`Idempotency-Key: "k"`); a != b {
		t.Errorf("one key made the ids %q and %q", a, b)
	}
	others := map[string]bool{id("Idempotency-Key: k"): true}
	for _, headers := range [][]string{{"Idempotency-Key: l"}, {"Idempotency-Key: k", "User: ann"}, {}, {}} {
		if made := id(headers...); others[made] {
			t.Errorf("%q made the id %q again", headers, made)
		} else {
			others[made] = true
		}
	}
}

func TestQueryByGETTakesItsFieldsFromTheURL(t *testing.T) {
	t.Parallel()
	var got entity.Request
	h := serve(t, answering(&got), nil)
	w := send(h, "GET", "/v1/entities/timer/7/FieldDescriptorProto?name=a+b&number=-3&proto3Optional=true&type=TYPE_BOOL&label=2&json_name=j", "",
		"Skerry-Local: true", "Idempotency-Key: k")
	if w.Code != http.StatusOK {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	var msg descriptorpb.FieldDescriptorProto
	if err := proto.Unmarshal(got.Payload, &msg); err != nil {
		t.Fatal(err)
	}
	want := &descriptorpb.FieldDescriptorProto{
		Name: proto.String("a b"), Number: proto.Int32(-3), Proto3Optional: proto.Bool(true), JsonName: proto.String("j"),
		Type: descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(),
	}
	if !proto.Equal(&msg, want) {
		t.Errorf("the query is %v, want %v", &msg, want)
	}
	if !got.Local || got.Key != (entity.CommandKey{}) {
		t.Errorf("local is %v, the key %+v; want a local query without a key", got.Local, got.Key)
	}
}

func TestErrorsOfTheCallerAreToldApart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err    error
		status int
		code   string
		retry  string
	}{
		"rejection":        {entity.Reject("low", "bid more"), 409, "low", ""},
		"malformed":        {entity.ErrMalformed, 400, "skerry/malformed", ""},
		"too large":        {entity.ErrTooLarge, 413, "skerry/too-large", ""},
		"unknown type":     {entity.ErrUnknownType, 404, "skerry/unknown-type", ""},
		"unknown command":  {entity.ErrUnknownCommand, 404, "skerry/unknown-command", ""},
		"key reused":       {entity.ErrKeyReused, 422, "skerry/key-reused", ""},
		"version mismatch": {&entity.Rejection{Code: "skerry/version-mismatch", Message: "it is 8", Version: 8}, 412, "skerry/version-mismatch", ""},
		"busy":             {&entity.Error{Kind: entity.ErrBusy, Reason: "full", RetryAfter: 1500 * time.Millisecond}, 429, "skerry/busy", "2"},
		"unavailable":      {&entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk"}, 503, "skerry/unavailable", "1"},
		"unknown outcome":  {&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost"}, 504, "skerry/unknown-outcome", ""},
		"failed":           {&entity.Error{Kind: entity.ErrFailed, Reason: "panic"}, 500, "skerry/failed", ""},
		"no kind at all":   {errors.New("odd"), 500, "skerry/unknown-outcome", ""},
		"wrapped":          {fmt.Errorf("route: %w", &entity.Error{Kind: entity.ErrBusy, Reason: "full"}), 429, "skerry/busy", "1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if no := new(entity.Rejection); errors.As(test.err, &no) && no.Message == "" {
				test.err = &entity.Rejection{Code: no.Code, Message: "no"}
			}
			w := send(serve(t, failing(test.err), nil), "POST", "/v1/entities/timer/7/Timer", "")
			f := failureOf(t, w)
			if w.Code != test.status || f.Code != test.code || w.Header().Get("Retry-After") != test.retry {
				t.Errorf("answered %d %s, Retry-After %q; want %d %s %q", w.Code, f.Code, w.Header().Get("Retry-After"), test.status, test.code, test.retry)
			}
			if test.status == 412 && (w.Header().Get("ETag") != `"8"` || f.Version == nil || *f.Version != "8") {
				t.Errorf("the current version is told as %q and %v, want 8", w.Header().Get("ETag"), f.Version)
			}
		})
	}
}

func TestClientReadsTheErrorThatTheCallerGave(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		entity.Reject("low", "bid more"),
		&entity.Rejection{Code: "skerry/version-mismatch", Message: "it is 8", Version: 8},
		&entity.Error{Kind: entity.ErrBusy, Reason: "full", RetryAfter: 2 * time.Second},
		&entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk", RetryAfter: time.Second},
		&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost"},
		&entity.Error{Kind: entity.ErrFailed, Reason: "panic"},
	} {
		w := send(serve(t, failing(err), nil), "POST", "/v1/entities/timer/7/Timer", "")
		if got := gateway.ReadError(w.Result()); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", err) {
			t.Errorf("the client reads %#v, the caller gave %#v", got, err)
		}
	}
	w := send(serve(t, answering(nil), nil), "POST", "/v1/entities/timer/7/Timer", "")
	if err := gateway.ReadError(w.Result()); err != nil {
		t.Errorf("a reply is read as the error %v", err)
	}
	other := &http.Response{StatusCode: 502, Status: "502 Bad Gateway", Body: io.NopCloser(strings.NewReader("<html>"))}
	if err := gateway.ReadError(other); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Errorf("a proxy's page is read as %v, want an unknown outcome", err)
	}
}

func TestDeadlineIsTheRequestsWithinLimits(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"": 5 * time.Second, "Skerry-Timeout: 2s": 2 * time.Second, "Skerry-Timeout: 1.5": 1500 * time.Millisecond, "Skerry-Timeout: 1h": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var left time.Duration
			h := serve(t, callerFunc(func(ctx context.Context, _ *entity.Request) (*entity.Response, error) {
				deadline, _ := ctx.Deadline()
				left = time.Until(deadline)
				return &entity.Response{}, nil
			}), nil)
			var headers []string
			if header != "" {
				headers = []string{header}
			}
			send(h, "POST", "/v1/entities/timer/7/Timer", "", headers...)
			if left != want {
				t.Errorf("with %q the caller has %v, want %v", header, left, want)
			}
		})
	}
}

func TestDeadlineThatPassesBeforeTheCallIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		caller := callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
			t.Error("the command was sent after its deadline")
			return &entity.Response{}, nil
		})
		h := serve(t, caller, func(c *gateway.Config) {
			c.Principal = func(*http.Request) (string, error) { time.Sleep(time.Second); return "", nil }
		})
		w := send(h, "POST", "/v1/entities/timer/7/Timer", "", "Skerry-Timeout: 1ms")
		if f := failureOf(t, w); w.Code != 503 || !strings.Contains(f.Reason, "deadline") {
			t.Errorf("answered %d %q, want 503 that names the deadline", w.Code, f.Reason)
		}
	})
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	t.Parallel()
	panics := true
	var log bytes.Buffer
	h := serve(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		if panics {
			panic("boom")
		}
		return &entity.Response{}, nil
	}), func(c *gateway.Config) {
		c.MaxRequests = 1
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	w := send(h, "POST", "/v1/entities/timer/7/Timer", "")
	if f := failureOf(t, w); w.Code != 500 || f.Code != "skerry/unknown-outcome" || !strings.Contains(log.String(), "boom") {
		t.Errorf("answered %d %s and logged %q; want 500, an unknown outcome, and the panic", w.Code, f.Code, &log)
	}
	panics = false
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", ""); w.Code != 200 {
		t.Errorf("the next request is answered %d, want 200", w.Code)
	}
}

func TestRequestsBeyondTheLimitAreBusy(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := serve(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		entered <- struct{}{}
		<-leave
		return &entity.Response{}, nil
	}), func(c *gateway.Config) { c.MaxRequests = 1 })
	done := make(chan int)
	go func() { done <- send(h, "POST", "/v1/entities/timer/7/Timer", "").Code }()
	<-entered
	w := send(h, "POST", "/v1/entities/timer/7/Timer", "")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("answered %d, want 429 with Retry-After", w.Code)
	}
	close(leave)
	if code := <-done; code != 200 {
		t.Errorf("the request that was there first is answered %d", code)
	}
}

func TestBodiesBeyondTheLimitTogetherAreBusy(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := serve(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		entered <- struct{}{}
		<-leave
		return &entity.Response{}, nil
	}), func(c *gateway.Config) { c.MaxBodyBytes, c.MaxRequestBytes = 20, 20 })
	done := make(chan int)
	go func() { done <- send(h, "POST", "/v1/entities/timer/7/Timer", `{"name":"n"}`).Code }()
	<-entered
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", `{"name":"n"}`); w.Code != 429 {
		t.Errorf("answered %d, want 429", w.Code)
	}
	close(leave)
	<-done
	go func() { <-entered }()
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", `{"name":"n"}`); w.Code != 200 {
		t.Errorf("when there is room again, answered %d", w.Code)
	}
}

func TestClientThatGoesAwayIsNoError(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	h := serve(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		cancel()
		return nil, &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "cancelled", Cause: context.Canceled}
	}), func(c *gateway.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/entities/timer/7/Timer", http.NoBody)
	h.ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() > 0 {
		t.Errorf("a client that hung up is logged: %s", &log)
	}
}

func TestPrincipalIsAskedFirst(t *testing.T) {
	t.Parallel()
	var got entity.Request
	h := serve(t, answering(&got), func(c *gateway.Config) {
		c.Principal = func(r *http.Request) (string, error) {
			if name, _, ok := r.BasicAuth(); ok {
				return name, nil
			}
			return "", errors.New("no name is given")
		}
	})
	if w := send(h, "POST", "/v1/entities/timer/7/Timer", ""); w.Code != 401 || got.ID != "" {
		t.Errorf("answered %d, the caller got %+v; want 401 and no call", w.Code, got)
	}
	send(h, "POST", "/v1/entities/timer/7/Timer", "", "Authorization: Basic YW5uOng=")
	if got.Principal != "ann" {
		t.Errorf("the principal is %q, want ann", got.Principal)
	}
}

// Each example in the index is a command that the service takes.
func TestIndexShowsCommandsThatWork(t *testing.T) {
	t.Parallel()
	h := serve(t, answering(nil), nil)
	for _, path := range []string{"/v1/entities", "/v1/entities/", "/v1/entities/timer"} {
		var index struct {
			Types []struct {
				Name     string
				Commands []struct {
					Name, Path string
					Query      bool
					Methods    []string
					Example    json.RawMessage
				}
			}
		}
		w := send(h, "GET", path, "")
		if err := json.Unmarshal(w.Body.Bytes(), &index); err != nil || len(index.Types) != 1 || len(index.Types[0].Commands) != 3 {
			t.Fatalf("GET %s is %d %s (%v), want a type with three commands", path, w.Code, w.Body, err)
		}
		for _, c := range index.Types[0].Commands {
			w := send(h, "POST", strings.ReplaceAll(c.Path, "{id}", "7"), string(c.Example))
			if w.Code != 200 {
				t.Errorf("the example of %s, %s, is answered %d %s", c.Name, c.Example, w.Code, w.Body)
			}
			if c.Query != (len(c.Methods) == 2) {
				t.Errorf("%s has the methods %q", c.Name, c.Methods)
			}
		}
	}
}

func TestWrongConfigNamesItsField(t *testing.T) {
	t.Parallel()
	good := gateway.Config{Caller: answering(nil), Types: []entity.Definition{timers}}
	for field, change := range map[string]func(*gateway.Config){
		"Caller":          func(c *gateway.Config) { c.Caller = nil },
		"Types":           func(c *gateway.Config) { c.Types = nil },
		"Types[1]":        func(c *gateway.Config) { c.Types = []entity.Definition{timers, nil} },
		"twice":           func(c *gateway.Config) { c.Types = []entity.Definition{timers, timers} },
		"MaxBodyBytes":    func(c *gateway.Config) { c.MaxBodyBytes = -1 },
		"MaxRequests":     func(c *gateway.Config) { c.MaxRequests = -1 },
		"MaxRequestBytes": func(c *gateway.Config) { c.MaxRequestBytes = 5 },
		"Timeout":         func(c *gateway.Config) { c.Timeout = time.Hour },
	} {
		cfg := good
		change(&cfg)
		if _, err := gateway.New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("a config with a wrong %s gives %v", field, err)
		}
	}
}

func TestRemedyForARejectionSpeaksOfAKeyOnlyIfThereWasOne(t *testing.T) {
	t.Parallel()
	h := serve(t, failing(entity.Reject("low", "bid more")), nil)
	for name, test := range map[string]struct {
		headers []string
		want    string
	}{
		"with a key":    {[]string{"Idempotency-Key: k"}, "the same key gets the same answer"},
		"without a key": {nil, "Sent again, the command is decided anew"},
	} {
		w := send(h, "POST", "/v1/entities/timer/7/Timer", "", test.headers...)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: answered %d %s, want 409 with %q", name, w.Code, w.Body, test.want)
		}
	}
}

func TestCommandsOfTimersAreHidden(t *testing.T) {
	t.Parallel()
	bell := entity.Define[struct{}]("bell",
		entity.Query(func(struct{}, entity.Command[*emptypb.Empty]) (*emptypb.Empty, error) { return nil, nil }),
		entity.OnTimer(func(struct{}, entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
			return entity.None, &emptypb.Empty{}, nil
		}))
	h := serve(t, answering(nil), func(c *gateway.Config) { c.Types = []entity.Definition{bell} })
	if w := send(h, "GET", "/v1/entities", ""); !strings.Contains(w.Body.String(), "Empty") || strings.Contains(w.Body.String(), "BoolValue") {
		t.Errorf("the index is %s, want Empty in it and not BoolValue", w.Body)
	}
	w := send(h, "POST", "/v1/entities/bell/7/BoolValue", "true")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "skerry/unknown-command") {
		t.Errorf("a timer's command is answered %d %s, want 404", w.Code, w.Body)
	}
}
