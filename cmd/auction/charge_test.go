package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/breaker"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/readside"
)

var sold = readside.Event[*auctionv1.LotClosed]{Msg: &auctionv1.LotClosed{Winner: "ann", PriceCents: 500}, EntityID: "a lamp/1", Shard: 3, Offset: 7}

// charging charges at a service that answers so.
func charging(t *testing.T, callTimeout time.Duration, answer http.HandlerFunc) (*chargers, *breaker.Group) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	log := slog.New(slog.DiscardHandler)
	p := Payments{URLs: server.URL, CallTimeout: callTimeout, ResetTimeout: time.Hour}
	breakers, err := newBreakers(p, log)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newChargers(p, breakers, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Error(err)
		}
	})
	return c, breakers
}

func TestAChargeNamesItsLotItsWinnerAndItsKey(t *testing.T) {
	t.Parallel()
	asked := ""
	c, breakers := charging(t, patience, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = strings.ReplaceAll(strings.Join([]string{r.Method, r.URL.EscapedPath(), r.Header.Get("Idempotency-Key"), string(body)}, " "), `": "`, `":"`)
		io.WriteString(w, `{"bidder":"ann","amountCents":"500"}`) //nolint:errcheck // the client sees it
	})
	if err := c.charge(t.Context(), sold); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"POST /v1/entities/payment/a%20lamp%2F1/Charge", sold.ID() + " ", `"bidder":"ann"`, `"amountCents":"500"`, `"reference":"` + sold.ID() + `"`} {
		if !strings.Contains(asked, want) {
			t.Errorf("asked %s, want %s in it", asked, want)
		}
	}
	unsold := sold
	unsold.Msg = &auctionv1.LotClosed{}
	if err := c.charge(t.Context(), unsold); err != nil || breakers.Snapshot()[0].Counts.Succeeded != 1 {
		t.Errorf("a lot without a winner: %v, %+v", err, breakers.Snapshot()[0])
	}
}

// A verdict parks the lot; all else is waited for.
func TestWhichAnswersAreVerdicts(t *testing.T) {
	t.Parallel()
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			io.WriteString(w, body) //nolint:errcheck // the client sees it
		}
	}
	for name, test := range map[string]struct {
		answer  http.HandlerFunc
		waits   bool
		mention string
	}{
		"rejected":          {status(409, `{"code":"charged","reason":"lot was charged already"}`), false, "charged already"},
		"no such command":   {status(404, `{"code":"skerry/unknown-command","reason":"no Charge here"}`), false, "no Charge here"},
		"no Skerry's":       {status(404, "nothing here"), true, "404"},
		"timed out":         {status(408, `{"code":"slow","reason":"request timed out"}`), true, "request timed out"},
		"too early":         {status(425, `{"code":"early","reason":"not yet"}`), true, "not yet"},
		"a proxy's limit":   {status(429, `{"code":"limit","reason":"too many"}`), true, "too many"},
		"unclear":           {status(409, `{"code":"skerry/unknown-outcome","reason":"perhaps"}`), true, "perhaps"},
		"another payment":   {status(200, `{"bidder":"bob","amountCents":"500"}`), false, "another payment's"},
		"no payment at all": {status(200, `<html>`), false, "no payment"},
		"busy":              {status(429, `{"code":"skerry/busy","reason":"queue is full"}`), true, "queue is full"},
		"unavailable":       {status(503, `{"code":"skerry/unavailable","reason":"not yet"}`), true, "not yet"},
		"unknown":           {status(504, `{"code":"skerry/unknown-outcome","reason":"perhaps"}`), true, "perhaps"},
		"a defect":          {status(500, `{"code":"skerry/failed","reason":"panic"}`), true, "panic"},
		"a proxy's":         {status(502, "bad gateway"), true, "502"},
		"cut off":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true, "EOF"},
		"half an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"bidder"`) //nolint:errcheck // the client sees it
		}, true, "EOF"},
		"too late": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) //nolint:errcheck // the server notices only then that the client has gone
			<-r.Context().Done()
		}, true, "call timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callTimeout := patience
			if name == "too late" {
				callTimeout = 50 * time.Millisecond
			}
			c, _ := charging(t, callTimeout, test.answer)
			err := c.charge(t.Context(), sold)
			if err == nil || !strings.Contains(err.Error(), test.mention) || waitedFor(err) != test.waits {
				t.Errorf("got %v, waited for: %v", err, waitedFor(err))
			}
		})
	}
}

// waitedFor is what the read side makes of an error.
func waitedFor(err error) bool {
	var says interface{ Unavailable() bool }
	var network net.Error
	return errors.Is(err, entity.ErrUnavailable) || errors.As(err, &says) && says.Unavailable() || errors.As(err, &network)
}

func TestAnOpenBreakerSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	c, breakers := charging(t, patience, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 10 {
		if err := c.charge(t.Context(), sold); err == nil || errors.Is(err, breaker.ErrOpen) {
			t.Fatalf("got %v", err)
		}
	}
	err := c.charge(t.Context(), sold)
	var says interface{ RetryAfter() time.Duration }
	if !errors.Is(err, breaker.ErrOpen) || !waitedFor(err) || !errors.As(err, &says) || says.RetryAfter() <= time.Minute {
		t.Errorf("got %v", err)
	}
	if s := breakers.Snapshot(); len(s) != 1 || s[0].ID != "payments/Charge" || s[0].Counts.Refused != 1 {
		t.Errorf("the breakers are %+v", s)
	}
}

func TestWrongPaymentsAreNamed(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Payments{
		"-payments has \"127.0.0.1:8070\"":  {URLs: "http://127.0.0.1:1,127.0.0.1:8070"},
		"-payments has \"https://x:1\"":     {URLs: "https://x:1"},
		"-payments has \"http://x\"":        {URLs: "http://x"},
		"-payments has \"http://x:1/path\"": {URLs: "http://x:1/path"},
		"-payments-call-timeout is 5s":      {CallTimeout: 5 * time.Second, ResetTimeout: 1},
		"-payments-call-timeout is 0s":      {ResetTimeout: 1},
		"-payments-reset-timeout is -1ns":   {CallTimeout: 1, ResetTimeout: -1},
	} {
		if err := p.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", p, err, want)
		}
	}
	fine := Payments{URLs: "http://127.0.0.1:8070,http://pay.example:80/", CallTimeout: time.Second, ResetTimeout: time.Second}
	if found, err := fine.endpoints(); err != nil || fine.check() != nil || strings.Join(found, " ") != "127.0.0.1:8070 pay.example:80" {
		t.Errorf("got %v, %v", found, err)
	}
}
