package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/cmd/payments/internal/payment"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := nothingLeft(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// nothingLeft waits until no goroutines are there; some end by themselves a moment later.
func nothingLeft() (err error) {
	// A goroutine of the actor library ends by itself, a second after the first dead letter.
	deadLetters := goleak.IgnoreAnyFunction("github.com/asynkron/protoactor-go/actor.NewDeadLetter.NewThrottle.func4.1")
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		if err = goleak.Find(deadLetters); err == nil {
			return nil
		}
	}
	return err
}

func serving(t *testing.T, dir string) *Service {
	t.Helper()
	s, err := Start(t.Context(), Config{Dir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 4, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func halt(t *testing.T, s *Service) {
	t.Helper()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// post charges over REST.
func post(t *testing.T, s *Service, key, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.HTTP()+"/v1/entities/payment/lamp/Charge", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestARepeatIsAnsweredWithTheFirstReplyByEveryProtocolAndAfterARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	const ann = `{"bidder":"ann","amountCents":5000}`
	s := serving(t, dir)
	status, first := post(t, s, "k", ann)
	if status != http.StatusOK || !strings.Contains(first, `"amountCents":"5000"`) {
		t.Fatalf("got %d %s", status, first)
	}
	halt(t, s)
	s = serving(t, dir)
	defer halt(t, s)
	for _, key := range []string{"k", "another"} {
		if status, again := post(t, s, key, ann); status != http.StatusOK || again != first {
			t.Errorf("key %s: got %d %s, want %s", key, status, again, first)
		}
	}
	if status, _ := post(t, s, "bob", `{"bidder":"bob","amountCents":5000}`); status != http.StatusConflict {
		t.Errorf("another winner: got %d", status)
	}
	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{s.HTTP()}, HTTP: &http.Client{Transport: &http.Transport{}}})
	if err != nil {
		t.Fatal(err)
	}
	lamp := payment.Payments.Ref(client, "lamp")
	paid, err := payment.Charge.Ask(t.Context(), lamp, &paymentsv1.Charge{Bidder: "ann", AmountCents: 5000}, entity.Key("k"))
	if err != nil || paid.GetBidder() != "ann" {
		t.Errorf("over Connect: %v, %v", paid, err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func TestDataBelongToOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serving(t, dir)
	defer halt(t, s)
	_, err := Start(t.Context(), Config{Dir: dir, HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(explain(err).Error(), "remedy: stop the service") {
		t.Errorf("got %v", err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"-data is empty":          {"-data", ""},
		"-shards is 5000":         {"-shards", "5000"},
		"-drain is 0s":            {"-drain", "0s"},
		"-journal":                {"-journal", "postgres://x"},
		"-http is \"0.0.0.0:80\"": {"-http", "0.0.0.0:80"},
		"-admin is \"8071\"":      {"-admin", "8071"},
		"what is \"demo\"":        {"demo"},
		"flag provided but not":   {"-datum", "x"},
	} {
		var out, err bytes.Buffer
		if code := run(args, &out, &err); code != 2 || !strings.Contains(err.String(), want) {
			t.Errorf("%v: exit %d, %s; want %s", args, code, err.String(), want)
		}
	}
	var out, err bytes.Buffer
	if code := run([]string{"-h"}, &out, &err); code != 0 || !strings.Contains(out.String(), "-listen-beyond-loopback") || err.Len() > 0 {
		t.Errorf("-h: exit %d, %s%s", code, out.String(), err.String())
	}
}

// A start that fails says so in words; what the log says is lines of JSON.
func TestTheLogIsLinesOfJSON(t *testing.T) {
	t.Parallel()
	var out, err bytes.Buffer
	code := run([]string{"-data", t.TempDir(), "-http", ":0", "-admin", "127.0.0.1:99999", "-log-level", "debug"}, &out, &err)
	if code != 1 {
		t.Errorf("exit %d", code)
	}
	for _, line := range strings.Split(strings.TrimSpace(err.String()), "\n") {
		if !strings.HasPrefix(line, "payments: ") && !json.Valid([]byte(line)) {
			t.Errorf("the log has the line %s", line)
		}
	}
}
