package stream_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := leaks(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// leaks returns which goroutines stay. They get a minute to end: the first dead letter of the actor system of the example's host
// starts one that ends by itself after one second.
func leaks() error {
	for end := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// quiet is for tests of what is logged as an error.
var quiet = slog.New(slog.DiscardHandler)

var errBroken = errors.New("the disk is gone")
