package pebble

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleLogger is Pebble's way to be heard. Pebble expects Fatalf to end the
// process; here it freezes the handle instead, and Pebble goes on to return
// the error (in v2.1.7 each caller of Fatalf whose cause is the disk does).
type pebbleLogger struct {
	log   *slog.Logger
	guard *guard
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("pebble: " + fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble gave up: "+format, args...)
	l.log.Error(err.Error())
	l.guard.fail(err)
}

// listener wakes who waits for flushes and reports what an operator must know.
func (h *handle) listener(log *slog.Logger) *pebble.EventListener {
	return &pebble.EventListener{
		FlushEnd:        func(pebble.FlushInfo) { h.flush.flushEnded() },
		BackgroundError: func(err error) { log.Error("journal: background work of the store", "cause", err.Error()) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			log.Error("journal: corrupt file", "path", info.Path, "cause", info.Details.Error())
		},
	}
}
