package gateway_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// service is a whole node behind HTTP.
type service struct {
	url    string
	client *http.Client
}

func startService(t *testing.T) service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	j := journal.NewMemory()
	host, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{timers}, Shards: 4, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.Server(serve(t, host, nil), log)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		for _, stop := range []func() error{
			func() error { return server.Shutdown(ctx) }, func() error { return host.Stop(ctx) }, j.Close,
		} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		serving.Wait()
	})
	return service{"http://" + listener.Addr().String(), &http.Client{Transport: transport}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s service) send(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatalf("%s %.80s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %.80s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// A client's life with one entity, from its first command to the wrong ones.
func TestClientAndHostAgreeOnKeysAndVersions(t *testing.T) {
	t.Parallel()
	s := startService(t)
	const arm = "/v1/entities/timer/a%2Fb%20%C3%A9/Timer"
	steps := []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		says                     string
		etag, repeated           string
	}{
		{"create", "POST", arm, `{"name":"n"}`, []string{"Idempotency-Key: k1", `If-Match: "0"`}, 200, `"head":"1"`, `"1"`, ""},
		{"repeat", "POST", arm, `{"name":"n"}`, []string{`Idempotency-Key: "k1"`, `If-Match: "0"`}, 200, `"head":"1"`, `"1"`, "true"},
		{"another command with its key", "POST", arm, `{"name":"m"}`, []string{"Idempotency-Key: k1"}, 422, "skerry/key-reused", `"1"`, ""},
		{"create again", "POST", arm, `{"name":"n"}`, []string{`If-Match: "0"`}, 412, "skerry/version-mismatch", `"1"`, ""},
		{"expect its version", "POST", arm, `{"name":"n"}`, []string{`If-Match: "1"`}, 200, `"head":"2"`, `"2"`, ""},
		{"be refused", "POST", arm, `{"attempts":"-1"}`, []string{"Idempotency-Key: k2"}, 409, `"negative"`, `"2"`, ""},
		{"be refused again", "POST", arm, `{"attempts":"-1"}`, []string{"Idempotency-Key: k2"}, 409, `"negative"`, `"2"`, ""},
		{"look", "GET", "/v1/entities/timer/a%2Fb%20%C3%A9/Empty", "", nil, 200, `"2"`, `"2"`, ""},
		{"look nearby", "GET", "/v1/entities/timer/a%2Fb%20%C3%A9/Empty", "", []string{"Skerry-Local: true"}, 200, `"2"`, `"2"`, ""},
		{"look at a new one", "GET", "/v1/entities/timer/new/Empty", "", nil, 200, `"0"`, `"0"`, ""},
		{"look with a POST", "POST", "/v1/entities/timer/a%2Fb%20%C3%A9/FieldDescriptorProto", `{"name":"x"}`, nil, 200, `"message":"2"`, `"2"`, ""},
		{"id of 10 kB", "POST", "/v1/entities/timer/" + strings.Repeat("%E2%82%AC", 3_400) + "/Timer", "{}", nil, 400, "at most", "", ""},
		{"id of 513 bytes", "POST", "/v1/entities/timer/" + strings.Repeat("x", 513) + "/Timer", "{}", nil, 400, "at most 512", "", ""},
		{"id of 512 bytes", "POST", "/v1/entities/timer/" + strings.Repeat("x", 512) + "/Timer", "{}", nil, 200, `"head":"1"`, `"1"`, ""},
		{"id with a control character", "POST", "/v1/entities/timer/a%0Ab/Timer", "{}", nil, 400, "control character", "", ""},
		{"id that is no UTF-8", "POST", "/v1/entities/timer/%ff/Timer", "{}", nil, 400, "UTF-8", "", ""},
		{"empty id", "POST", "/v1/entities/timer//Timer", "{}", nil, 400, "id is empty", "", ""},
		{"body of 5 MB", "POST", arm, `{"name":"` + strings.Repeat("x", 5_000_000) + `"}`, nil, 413, "skerry/too-large", "", ""},
		{"passed deadline", "POST", arm, "{}", []string{"Skerry-Timeout: 0s"}, 400, "passed already", "", ""},
		{"nothing of that was stored", "GET", "/v1/entities/timer/a%2Fb%20%C3%A9/Empty", "", nil, 200, `"2"`, `"2"`, ""},
	}
	for _, step := range steps {
		got := s.send(t, step.method, step.path, step.body, step.headers...)
		if got.status != step.status || !strings.Contains(got.body, step.says) {
			t.Errorf("%s: answered %d %s, want %d with %s", step.name, got.status, got.body, step.status, step.says)
		}
		if etag := got.header.Get("ETag"); etag != step.etag {
			t.Errorf("%s: the ETag is %s, want %s", step.name, etag, step.etag)
		}
		if repeated := got.header.Get("Skerry-Repeated"); repeated != step.repeated {
			t.Errorf("%s: Skerry-Repeated is %q, want %q", step.name, repeated, step.repeated)
		}
		if got.status == 200 && got.header.Get("Skerry-Token") == "" {
			t.Errorf("%s: the answer has no token", step.name)
		}
	}
}

func TestHostMakesOneEntityPerKey(t *testing.T) {
	t.Parallel()
	s := startService(t)
	first := s.send(t, "POST", "/v1/entities/timer/Timer", `{"name":"n"}`, "Idempotency-Key: k")
	again := s.send(t, "POST", "/v1/entities/timer/Timer", `{"name":"n"}`, "Idempotency-Key: k")
	if first.status != 201 || again.status != 201 || first.body != again.body || first.header.Get("Skerry-Entity-Id") != again.header.Get("Skerry-Entity-Id") {
		t.Errorf("a repeat is answered %+v, the first was %+v", again, first)
	}
	other := s.send(t, "POST", "/v1/entities/timer/Timer", `{"name":"m"}`, "Idempotency-Key: k")
	if other.status != 422 {
		t.Errorf("another command with the key is answered %d %s, want 422", other.status, other.body)
	}
	look := s.send(t, "GET", "/v1/entities/timer/"+first.header.Get("Skerry-Entity-Id")+"/Empty", "")
	if look.body != "\"1\"\n" {
		t.Errorf("the entity %s counts %s, want 1", first.header.Get("Skerry-Entity-Id"), look.body)
	}
}
