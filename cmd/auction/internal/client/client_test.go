package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// scripted answers each call as the next of its lines says, and the last one from then on.
type scripted struct {
	calls  atomic.Int32
	keys   chan string
	answer []func(http.ResponseWriter)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.calls.Add(1))
	s.keys <- r.Header.Get("Idempotency-Key")
	s.answer[min(n, len(s.answer))-1](w)
}

func yes(w http.ResponseWriter) {
	w.Header().Set("ETag", `"7"`)
	_, _ = w.Write([]byte(`{"lot":"lamp","somethingNew":1}`))
}

func no(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func hangUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func send(t *testing.T, s *scripted) (client.Answer, error) {
	t.Helper()
	s.keys = make(chan string, 100)
	server := httptest.NewServer(s)
	defer server.Close()
	return client.New(server.URL+"/", server.Client()).Command(t.Context(), "lamp", "key", &auctionv1.CloseLot{})
}

func TestACommandIsRepeatedWithItsKeyUntilItsFateIsKnown(t *testing.T) {
	t.Parallel()
	s := &scripted{answer: []func(http.ResponseWriter){
		no(http.StatusServiceUnavailable, `{"code":"skerry/unavailable"}`), no(http.StatusTooManyRequests, `{"code":"skerry/busy"}`),
		no(http.StatusGatewayTimeout, `{"code":"skerry/unknown-outcome"}`), no(http.StatusInternalServerError, `{"code":"skerry/unknown-outcome"}`),
		hangUp, yes,
	}}
	answer, err := send(t, s)
	if err != nil || answer.Version != 7 || answer.View.GetLot() != "lamp" {
		t.Fatalf("got %v, %v", answer, err)
	}
	if n := s.calls.Load(); n != 6 {
		t.Fatalf("sent %d times", n)
	}
	for range 6 {
		if key := <-s.keys; key != "key" {
			t.Fatalf("sent with the key %q", key)
		}
	}
}

func TestAFinalAnswerIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for status, code := range map[int]string{http.StatusConflict: "low", http.StatusUnprocessableEntity: "", http.StatusInternalServerError: "", http.StatusNotFound: ""} {
		s := &scripted{answer: []func(http.ResponseWriter){no(status, `{"code":"low","reason":"too little","remedy":"more"}`)}}
		_, err := send(t, s)
		var refusal *client.Refusal
		if !errors.As(err, &refusal) || refusal.Status != status || refusal.Code != "low" || s.calls.Load() != 1 {
			t.Errorf("%d: got %v after %d calls", status, err, s.calls.Load())
		}
		if got := client.Rejected(err); got != code {
			t.Errorf("%d: rejected with %q, want %q", status, got, code)
		}
	}
}

func TestWhatIsNoAuctionIsToldApart(t *testing.T) {
	t.Parallel()
	s := &scripted{answer: []func(http.ResponseWriter){no(http.StatusNotFound, strings.Repeat("<html>", 1000))}}
	if _, err := send(t, s); err == nil || !strings.Contains(err.Error(), "not-an-auction") || len(err.Error()) > 300 {
		t.Fatalf("got %v", err)
	}
}

func TestPatienceEndsWithTheContextAndTellsTheLastAnswer(t *testing.T) {
	t.Parallel()
	s := &scripted{keys: make(chan string, 1000), answer: []func(http.ResponseWriter){no(http.StatusServiceUnavailable, `{"code":"skerry/unavailable","reason":"full disk"}`)}}
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.keys
		<-s.keys
		cancel()
	}()
	_, err := client.New(server.URL, server.Client()).Command(ctx, "lamp", "key", &auctionv1.CloseLot{})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "full disk") {
		t.Fatalf("got %v", err)
	}
}

func TestAProbeTellsAnAuctionFromAnythingElse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"an auction":        {no(http.StatusOK, `{"types":[{"name":"lot","commands":[]}]}`), ""},
		"one that is busy":  {no(http.StatusTooManyRequests, `{"code":"skerry/busy"}`), ""},
		"another service":   {no(http.StatusOK, `{"types":[{"name":"wallet"}]}`), "is no auction: 200 OK"},
		"a page for people": {no(http.StatusOK, `<html>`), "is no auction"},
		"nothing like that": {no(http.StatusNotFound, ``), "is no auction: 404"},
		"silence":           {hangUp, "nobody answers at http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			defer server.Close()
			err := client.New(server.URL, server.Client()).Probe(t.Context())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
		})
	}
}
