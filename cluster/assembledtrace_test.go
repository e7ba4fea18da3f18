package cluster_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// trace keeps what nodes log and what is done to them. Lines are put together only when somebody wants to read them.
type trace struct {
	began time.Time

	mu      sync.Mutex
	lines   []traceLine
	omitted int
}

type traceLine struct {
	at     time.Duration
	who    string
	record slog.Record
}

// maxTrace bounds the lines that are kept: the first ones.
const maxTrace = 200_000

func newTrace() *trace { return &trace{began: time.Now()} }

func (t *trace) add(who string, r slog.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= maxTrace {
		t.omitted++
		return
	}
	t.lines = append(t.lines, traceLine{time.Since(t.began), who, r})
}

// note adds a line about what the test does.
func (t *trace) note(format string, args ...any) {
	t.add("*", slog.NewRecord(time.Time{}, slog.LevelInfo, fmt.Sprintf(format, args...), 0))
}

// logger is that of a process.
func (t *trace) logger(who string) *slog.Logger { return slog.New(&traceHandler{trace: t, who: who}) }

func (t *trace) write(w io.Writer) {
	for _, l := range t.lines {
		_, _ = fmt.Fprintf(w, "%12.6f %-6s %-5s %s", l.at.Seconds(), l.who, l.record.Level, l.record.Message)
		l.record.Attrs(func(a slog.Attr) bool {
			_, _ = fmt.Fprintf(w, " %s=%v", a.Key, a.Value.Resolve())
			return true
		})
		_, _ = fmt.Fprintln(w)
	}
	if t.omitted > 0 {
		_, _ = fmt.Fprintln(w, t.omitted, "more lines were not kept")
	}
}

// traceHandler implements slog.Handler.
type traceHandler struct {
	trace *trace
	who   string
	attrs []slog.Attr
}

func (h *traceHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *traceHandler) Handle(_ context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(h.attrs...)
	h.trace.add(h.who, r)
	return nil
}

func (h *traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &traceHandler{h.trace, h.who, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *traceHandler) WithGroup(string) slog.Handler { return h }
