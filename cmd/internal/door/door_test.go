package door_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/internal/door"
)

func TestOnlyLoopbackPassesUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for addr, loopback := range map[string]bool{
		":0": true, "127.0.0.1:80": true, "127.1.2.3:80": true, "[::1]:80": true, "localhost:80": true,
		"0.0.0.0:80": false, "[::]:80": false, "192.168.1.1:80": false, "example.org:80": false,
	} {
		if err := door.Check(addr, false); (err == nil) != loopback {
			t.Errorf("%s: %v", addr, err)
		}
		if err := door.Check(addr, true); err != nil {
			t.Errorf("%s, told otherwise: %v", addr, err)
		}
	}
	if got := door.WithHost(":80"); got != "127.0.0.1:80" {
		t.Errorf(":80 became %s", got)
	}
}

func TestADoorAnswersWhatIsUnderWayBeforeItCloses(t *testing.T) {
	t.Parallel()
	came, goOn := make(chan struct{}), make(chan struct{})
	d, err := door.Open("127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(came)
		<-goOn
		io.WriteString(w, "answered") //nolint:errcheck // the test reads it
	}), slog.New(slog.DiscardHandler), make(chan error, 1))
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Get(d.URL())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answer <- string(text)
	}()
	<-came
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		closed <- d.Close(ctx)
	}()
	close(goOn)
	if got := <-answer; got != "answered" {
		t.Errorf("got %s", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}
