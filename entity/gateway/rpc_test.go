package gateway_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// protocols are the ways in which a connect client sends the same call.
var protocols = map[string][]connect.ClientOption{
	"gRPC":           {connect.WithGRPC()},
	"gRPC, JSON":     {connect.WithGRPC(), connect.WithProtoJSON()},
	"gRPC-Web":       {connect.WithGRPCWeb()},
	"Connect":        {},
	"Connect, JSON":  {connect.WithProtoJSON()},
	"Connect by GET": {connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects)},
}

// h2c makes a client that speaks HTTP/2 without TLS and nothing else, as gRPC does.
func h2c(t testing.TB) *http.Client {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: p}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// listen serves a handler as a service would, and returns its URL.
func listen(t testing.TB, h http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.Server(h, slog.New(slog.DiscardHandler))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return "http://" + listener.Addr().String()
}

// serveRPC serves the timers over all protocols.
func serveRPC(t testing.TB, caller entity.Caller, change func(*gateway.Config)) http.Handler {
	return serve(t, caller, func(c *gateway.Config) {
		c.Services = one(timersService(t))
		if change != nil {
			change(c)
		}
	})
}

func armClient(h *http.Client, url string, options ...connect.ClientOption) *connect.Client[adminv1.Timer, adminv1.Shard] {
	return connect.NewClient[adminv1.Timer, adminv1.Shard](h, url+"/test.v1.Timers/Arm", options...)
}

func TestAllProtocolsSendTheSameCommand(t *testing.T) {
	t.Parallel()
	reply, _ := proto.Marshal(&adminv1.Shard{Head: 12, Owner: "ann"})
	token := journal.Token{History: "h"}.With(2, 9)
	var mu sync.Mutex
	var got entity.Request
	url := listen(t, serveRPC(t, callerFunc(func(_ context.Context, req *entity.Request) (*entity.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		got = *req
		return &entity.Response{Payload: reply, Receipt: entity.Receipt{Version: 4, Token: token, Repeated: true}}, nil
	}), func(c *gateway.Config) {
		c.Principal = func(r *http.Request) (string, error) { return r.Header.Get("User"), nil }
	}))
	cmd := &adminv1.Timer{Name: "n", Attempts: 3}
	want, _ := proto.MarshalOptions{Deterministic: true}.Marshal(cmd)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, options := range protocols {
		if name == "Connect by GET" {
			continue
		}
		req := connect.NewRequest(cmd)
		for k, v := range map[string]string{"Skerry-Entity-Id": "a/b", "Idempotency-Key": "k", "If-Match": `"7"`, "User": "ann", "Traceparent": trace} {
			req.Header().Set(k, v)
		}
		resp, err := armClient(h2c(t), url, options...).CallUnary(t.Context(), req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if resp.Msg.GetHead() != 12 || resp.Msg.GetOwner() != "ann" {
			t.Errorf("%s: the reply is %v", name, resp.Msg)
		}
		for k, v := range map[string]string{"ETag": `"4"`, "Skerry-Token": "h.2:9", "Skerry-Repeated": "true"} {
			if resp.Header().Get(k) != v {
				t.Errorf("%s: the header %s is %q, want %q", name, k, resp.Header().Get(k), v)
			}
		}
		if got.Type != "timer" || got.ID != "a/b" || got.Command != "skerry.admin.v1.Timer" || got.Key != entity.CallerKey("k") ||
			got.IfVersion == nil || *got.IfVersion != 7 || got.Principal != "ann" || got.Trace != trace || !bytes.Equal(got.Payload, want) {
			t.Errorf("%s: the caller got %+v", name, got)
		}
	}
}

func TestAllProtocolsAskTheSameQuery(t *testing.T) {
	t.Parallel()
	reply, _ := proto.Marshal(wrapperspb.Int64(5))
	var mu sync.Mutex
	var got entity.Request
	url := listen(t, serveRPC(t, callerFunc(func(_ context.Context, req *entity.Request) (*entity.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		got = *req
		return &entity.Response{Payload: reply}, nil
	}), nil))
	for name, options := range protocols {
		ask := connect.NewClient[emptypb.Empty, wrapperspb.Int64Value](h2c(t), url+"/test.v1.Timers/Count", options...)
		req := connect.NewRequest(&emptypb.Empty{})
		req.Header().Set("Skerry-Entity-Id-Bin", connect.EncodeBinaryHeader([]byte("é")))
		req.Header().Set("Skerry-Local", "true")
		req.Header().Set("Skerry-Token", "h.2:9")
		resp, err := ask.CallUnary(t.Context(), req)
		if err != nil || resp.Msg.GetValue() != 5 {
			t.Errorf("%s: got %v, %v", name, resp, err)
		}
		if got.ID != "é" || !got.Local || got.After.String() != "h.2:9" {
			t.Errorf("%s: the caller got %+v", name, got)
		}
	}
}

// What is not a reply has the same code and details in each protocol, and only what did not run looks
// as if it could be sent again blindly.
func TestEachKindOfAnswerHasACode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err      error
		code     connect.Code
		told     string
		pushback string
	}{
		"rejection":        {entity.Reject("low", "bid more"), connect.CodeFailedPrecondition, "low", ""},
		"malformed":        {no("skerry/malformed"), connect.CodeInvalidArgument, "skerry/malformed", ""},
		"too large":        {no("skerry/too-large"), connect.CodeInvalidArgument, "skerry/too-large", ""},
		"unknown type":     {no("skerry/unknown-type"), connect.CodeNotFound, "skerry/unknown-type", ""},
		"unknown command":  {no("skerry/unknown-command"), connect.CodeUnimplemented, "skerry/unknown-command", ""},
		"key reused":       {no("skerry/key-reused"), connect.CodeAlreadyExists, "skerry/key-reused", ""},
		"version mismatch": {&entity.Rejection{Code: "skerry/version-mismatch", Message: "it is 8", Version: 8}, connect.CodeAborted, "skerry/version-mismatch", ""},
		"busy":             {&entity.Error{Kind: entity.ErrBusy, Reason: "full", RetryAfter: 1500 * time.Millisecond}, connect.CodeResourceExhausted, "skerry/busy", "1500"},
		"unavailable":      {&entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk"}, connect.CodeUnavailable, "skerry/unavailable", "100"},
		"unknown outcome":  {&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost"}, connect.CodeDeadlineExceeded, "skerry/unknown-outcome", "-1"},
		"failed":           {&entity.Error{Kind: entity.ErrFailed, Reason: "panic"}, connect.CodeInternal, "skerry/failed", ""},
		"no kind at all":   {errors.New("odd"), connect.CodeUnknown, "skerry/unknown-outcome", "-1"},
	}
	for name, test := range tests {
		url := listen(t, serveRPC(t, failing(test.err), nil))
		for protocol, options := range protocols {
			if protocol == "Connect by GET" {
				continue
			}
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				req := connect.NewRequest(&adminv1.Timer{})
				req.Header().Set("Skerry-Entity-Id", "7")
				_, err := armClient(h2c(t), url, options...).CallUnary(t.Context(), req)
				var e *connect.Error
				if !errors.As(err, &e) || e.Code() != test.code || len(e.Details()) != 1 {
					t.Fatalf("got %#v, want %v with one detail", err, test.code)
				}
				detail, err := e.Details()[0].Value()
				if err != nil {
					t.Fatal(err)
				}
				told := detail.(*apiv1.Error)
				if told.GetCode() != test.told || told.GetReason() == "" || told.GetRemedy() == "" {
					t.Errorf("the detail is %v, want the code %s, a reason and a remedy", told, test.told)
				}
				if got := e.Meta().Get("Grpc-Retry-Pushback-Ms"); got != test.pushback {
					t.Errorf("clients are asked to push back by %q, want %q", got, test.pushback)
				}
				if test.code == connect.CodeAborted && (told.GetVersion() != 8 || e.Meta().Get("ETag") != `"8"`) {
					t.Errorf("the version is told as %d and %q, want 8", told.GetVersion(), e.Meta().Get("ETag"))
				}
			})
		}
	}
}

func no(code string) error { return &entity.Rejection{Code: code, Message: "no"} }

// With a key, an unknown outcome may be sent again.
func TestUnknownOutcomeWithAKeyMayBeRepeated(t *testing.T) {
	t.Parallel()
	url := listen(t, serveRPC(t, failing(&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost"}), nil))
	req := connect.NewRequest(&adminv1.Timer{})
	req.Header().Set("Skerry-Entity-Id", "7")
	req.Header().Set("Idempotency-Key", "k")
	_, err := armClient(h2c(t), url, connect.WithGRPC()).CallUnary(t.Context(), req)
	var e *connect.Error
	if !errors.As(err, &e) || e.Meta().Get("Grpc-Retry-Pushback-Ms") != "" {
		t.Errorf("got %#v, want no word against a repeat", err)
	}
}

func TestWrongRPCsAreToldWhatIsWrong(t *testing.T) {
	t.Parallel()
	var called bool
	h := serveRPC(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		called = true
		return &entity.Response{}, nil
	}), func(c *gateway.Config) {
		c.MaxBodyBytes = 100
		c.Principal = func(r *http.Request) (string, error) {
			if r.Header.Get("User") == "eve" {
				return "", errors.New("no eve")
			}
			return "", nil
		}
	})
	for name, test := range map[string]struct {
		path, contentType, body string
		headers                 []string
		code, says              string
	}{
		"no id":             {"Arm", "application/json", "{}", []string{"Skerry-Entity-Id: "}, "invalid_argument", "Skerry-Entity-Id"},
		"id in two forms":   {"Arm", "application/json", "{}", []string{"Skerry-Entity-Id-Bin: YQ"}, "invalid_argument", "Give it once"},
		"id that is no 64":  {"Arm", "application/json", "{}", []string{"Skerry-Entity-Id: ", "Skerry-Entity-Id-Bin: *"}, "invalid_argument", "no base64"},
		"unknown field":     {"Arm", "application/json", `{"nmae":"x"}`, nil, "invalid_argument", "nmae"},
		"no JSON":           {"Arm", "application/json", `{`, nil, "invalid_argument", "the JSON is no skerry.admin.v1.Timer"},
		"no protobuf":       {"Arm", "application/proto", "\xff\xff", nil, "invalid_argument", "the message is no skerry.admin.v1.Timer"},
		"no UTF-8":          {"Arm", "application/proto", "\x0a\x01\xff", nil, "invalid_argument", "UTF-8"},
		"too large":         {"Arm", "application/json", `{"name":"` + strings.Repeat("x", 100) + `"}`, nil, "invalid_argument", "larger than 100 bytes"},
		"wrong key":         {"Arm", "application/json", "{}", []string{"Idempotency-Key: \x01"}, "invalid_argument", "control character"},
		"wrong version":     {"Arm", "application/json", "{}", []string{"If-Match: 7"}, "invalid_argument", "names no version"},
		"wrong token":       {"Count", "application/json", "{}", []string{"Skerry-Token: x"}, "invalid_argument", "Skerry-Token"},
		"local command":     {"Arm", "application/json", "{}", []string{"Skerry-Local: true"}, "invalid_argument", "not for commands"},
		"asynchronous":      {"Arm", "application/json", "{}", []string{"Prefer: respond-async", "Idempotency-Key: k"}, "invalid_argument", "/v1/entities"},
		"wrong timeout":     {"Arm", "application/json", "{}", []string{"Connect-Timeout-Ms: soon"}, "invalid_argument", "timeout"},
		"unknown procedure": {"Bid", "application/json", "{}", nil, "unimplemented", "nothing is at this path"},
		"nobody":            {"Arm", "application/json", "{}", []string{"User: eve"}, "unauthenticated", "no eve"},
		"another origin":    {"Arm", "application/json", "{}", []string{"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"}, "permission_denied", "cross-origin"},
		"compressed":        {"Arm", "application/json", "{}", []string{"Content-Encoding: gzip"}, "unimplemented", "unknown compression"},
	} {
		headers := append([]string{"Content-Type: " + test.contentType, "Skerry-Entity-Id: 7"}, test.headers...)
		w := sendSet(h, "POST", "/test.v1.Timers/"+test.path, test.body, headers...)
		var e struct{ Code, Message string }
		if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Code != test.code || !strings.Contains(w.Body.String(), test.says) {
			t.Errorf("%s: answered %d %s, want %s with %q", name, w.Code, w.Body, test.code, test.says)
		}
		if called {
			t.Fatalf("%s: the caller was called", name)
		}
	}
}

func TestTimeoutOfTheProtocolIsTheCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		headers []string
		want    time.Duration
	}{
		"none":             {nil, 5 * time.Second},
		"Connect":          {[]string{"Connect-Timeout-Ms: 2000"}, 2 * time.Second},
		"beyond the limit": {[]string{"Connect-Timeout-Ms: 3600000"}, time.Minute},
		"gRPC":             {[]string{"Content-Type: application/grpc", "Grpc-Timeout: 1500m"}, 1500 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			var left time.Duration
			h := serveRPC(t, callerFunc(func(ctx context.Context, _ *entity.Request) (*entity.Response, error) {
				deadline, _ := ctx.Deadline()
				left = time.Until(deadline)
				return &entity.Response{}, nil
			}), nil)
			body := "{}"
			if name == "gRPC" {
				body = frame(nil)
			}
			sendSet(h, "POST", "/test.v1.Timers/Arm", body, append([]string{"Content-Type: application/json", "Skerry-Entity-Id: 7"}, test.headers...)...)
			if left != test.want {
				t.Errorf("%s: the caller has %v, want %v", name, left, test.want)
			}
		})
	}
}

// frame is a message of gRPC as the specification has it: a byte of flags, its length, itself.
func frame(message []byte) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + string(message)
}

// No client library is between this test and the wire.
func TestHandMadeFramesOfGRPCAreAnswered(t *testing.T) {
	t.Parallel()
	reply, _ := proto.Marshal(&adminv1.Shard{Head: 12})
	caller := callerFunc(func(_ context.Context, req *entity.Request) (*entity.Response, error) {
		if req.ID == "sick" {
			return nil, &entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk"}
		}
		return &entity.Response{Payload: reply, Receipt: entity.Receipt{Version: 4}}, nil
	})
	url := listen(t, serveRPC(t, caller, nil))
	type answer struct {
		major, status   int
		header, trailer http.Header
		body            string
	}
	call := func(id, body string) answer {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/test.v1.Timers/Arm", strings.NewReader(body))
		for k, v := range map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Skerry-Entity-Id": id} {
			r.Header.Set(k, v)
		}
		resp, err := h2c(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{resp.ProtoMajor, resp.StatusCode, resp.Header, resp.Trailer, string(text)}
	}
	cmd, _ := proto.Marshal(&adminv1.Timer{Name: "n"})
	got := call("7", frame(cmd))
	if got.major != 2 || got.status != 200 || got.header.Get("Content-Type") != "application/grpc" ||
		got.trailer.Get("Grpc-Status") != "0" || got.body != frame(reply) || got.header.Get("ETag") != `"4"` {
		t.Errorf("answered %+v, want the reply and the status 0", got)
	}
	got = call("sick", frame(cmd))
	if got.trailer.Get("Grpc-Status") != "14" || !strings.Contains(got.trailer.Get("Grpc-Message"), "no disk") || got.body != "" {
		t.Errorf("answered %+v, want status 14", got)
	}
	for name, garbage := range map[string]string{
		"nothing": "", "half a prefix": "\x00\x00", "less than it says": "\x00\x00\x00\x00\x09x", "4 GB announced": "\x00\xff\xff\xff\xffx",
		"compressed": "\x01\x00\x00\x00\x01x", "unknown flags": "\x7e\x00\x00\x00\x01x", "two messages": frame(cmd) + frame(cmd), "no protobuf": frame([]byte("\xff\xff")),
		"more than a body may have": frame(bytes.Repeat([]byte("x"), 2<<20)),
	} {
		got := call("7", garbage)
		if status := got.trailer.Get("Grpc-Status") + got.header.Get("Grpc-Status"); status == "0" || status == "" || status == "14" || status == "8" {
			t.Errorf("%s is answered with the status %q", name, status)
		}
	}
}

// The whole of a curl command: JSON in, JSON out, nothing of the protocol to know.
func TestConnectIsJSONForCurl(t *testing.T) {
	t.Parallel()
	reply, _ := proto.Marshal(&adminv1.Shard{Head: 12, Owner: "ann"})
	h := serveRPC(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) {
		return &entity.Response{Payload: reply, Receipt: entity.Receipt{Version: 4}}, nil
	}), nil)
	over := sendSet(h, "POST", "/test.v1.Timers/Arm", `{"name":"n"}`, "Content-Type: application/json", "Skerry-Entity-Id: 7")
	rest := send(h, "POST", "/v1/entities/timer/7/Timer", `{"name":"n"}`)
	if over.Code != 200 || over.Body.String() != rest.Body.String() || over.Header().Get("ETag") != `"4"` {
		t.Errorf("answered %d %s, want what REST says: %s", over.Code, over.Body, rest.Body)
	}
	if w := sendSet(h, "POST", "/test.v1.Timers/Arm", "", "Content-Type: application/json", "Skerry-Entity-Id: 7"); w.Code != 200 {
		t.Errorf("an empty body is answered %d %s, want the reply to the empty message", w.Code, w.Body)
	}
	if w := sendSet(h, "GET", "/pages.of/People", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "skerry/not-found") {
		t.Errorf("a page that is not there is answered %d %s, want 404", w.Code, w.Body)
	}
	query := "/test.v1.Timers/Count?connect=v1&encoding=json&message=" + url.QueryEscape("{}")
	if w := sendSet(h, "GET", query, "", "Skerry-Entity-Id: 7"); w.Code != 200 {
		t.Errorf("a query by GET is answered %d %s", w.Code, w.Body)
	}
	query = "/test.v1.Timers/Arm?connect=v1&encoding=proto&base64=1&message=" + base64.URLEncoding.EncodeToString(nil)
	if w := sendSet(h, "GET", query, "", "Skerry-Entity-Id: 7"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a command by GET is answered %d %s, want 405", w.Code, w.Body)
	}
}

// A Caller that panics costs one call, and its outcome is unknown.
func TestPanicIsToldInTheProtocol(t *testing.T) {
	t.Parallel()
	url := listen(t, serveRPC(t, callerFunc(func(context.Context, *entity.Request) (*entity.Response, error) { panic("boom") }), nil))
	for name, options := range protocols {
		if name == "Connect by GET" {
			continue
		}
		req := connect.NewRequest(&adminv1.Timer{})
		req.Header().Set("Skerry-Entity-Id", "7")
		_, err := armClient(h2c(t), url, options...).CallUnary(t.Context(), req)
		if connect.CodeOf(err) != connect.CodeUnknown || !strings.Contains(fmt.Sprint(err), "panicked") {
			t.Errorf("%s: got %v, want unknown", name, err)
		}
	}
}

// What is no HTTP/2, or more of it than is allowed, ends its own connection.
func TestGarbageOnAConnectionHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	url := listen(t, serveRPC(t, answering(nil), nil))
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, garbage := range map[string]string{
		"noise":           strings.Repeat("\x00\xff\x17", 5000),
		"noise in HTTP/2": preface + settings + strings.Repeat("\x00\xff\x17", 5000),
		"a huge frame":    preface + settings + "\xff\xff\xff\x00\x00\x00\x00\x00\x01" + strings.Repeat("x", 1<<16),
		"data before":     preface + settings + "\x00\x00\x01\x00\x00\x00\x00\x00\x01x",
		"endless headers": preface + settings + strings.Repeat("\x00\x40\x00\x01\x00\x00\x00\x00\x01"+strings.Repeat("\x82", 0x4000), 10),
		"no preface":      settings,
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, garbage) // it may be cut off meanwhile
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays open", name)
		}
		_ = c.Close()
	}
	req := connect.NewRequest(&adminv1.Timer{})
	req.Header().Set("Skerry-Entity-Id", "7")
	if _, err := armClient(h2c(t), url, connect.WithGRPC()).CallUnary(t.Context(), req); err != nil {
		t.Errorf("after that, another connection gets %v", err)
	}
}
