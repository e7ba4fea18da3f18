package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
)

type slowCaller struct{}

func (slowCaller) Call(ctx context.Context, _ *entity.Request) (*entity.Response, error) {
	select {
	case <-ctx.Done():
		return nil, &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the caller gave up waiting", Cause: ctx.Err()}
	case <-time.After(time.Second):
		return nil, &entity.Rejection{Code: "no", Message: "no"}
	}
}

// A client that closes its sending half after the request (nc -N, many scripts) still reads
// the answer. It must not be told 200 for a command whose outcome is unknown.
func TestHalfClosedClientIsNotTold200(t *testing.T) {
	h, err := gateway.New(gateway.Config{Caller: slowCaller{}, Types: []entity.Definition{timers}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /v1/entities/timer/a/Timer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	_ = c.(*net.TCPConn).CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Logf("no answer, which is honest: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusOK {
		t.Fatalf("told %s %q for a command whose outcome is unknown", resp.Status, body)
	}
	t.Log(resp.Status, string(body))
}
