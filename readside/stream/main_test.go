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
	if code == 0 {
		// The host of the example: the first dead letter of its actor system starts a goroutine
		// that ends by itself after one second.
		time.Sleep(1200 * time.Millisecond)
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// quiet is for tests of what is logged as an error.
var quiet = slog.New(slog.DiscardHandler)

var errBroken = errors.New("the disk is gone")
