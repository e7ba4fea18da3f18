package gossip

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logLines turns the lines that memberlist prints into records. What a hostile
// peer can cause is never an error, is told once a minute, and cannot flood the log.
type logLines struct {
	logger *slog.Logger

	mu      sync.Mutex
	minute  time.Time
	told    map[string]bool // what was told this minute
	room    map[bool]int    // how many more may be told this minute: refusals, others
	dropped int
}

const (
	// linesPerMinute bounds what is told above debug level: as many refusals of peers, and as many
	// other lines, so that noise does not hide why a node is not let in.
	linesPerMinute = 50
	// maxLineBytes bounds a line; peers can put text of their own into it.
	maxLineBytes = 512
)

func newLogLines(logger *slog.Logger) *logLines {
	return &logLines{logger: logger}
}

// Write takes one line of memberlist's.
func (l *logLines) Write(line []byte) (int, error) {
	level, text := parseLine(string(line[:min(len(line), maxLineBytes)]))
	if level > slog.LevelDebug {
		l.tell(level, text)
	} else {
		l.logger.Debug(text)
	}
	return len(line), nil
}

func (l *logLines) tell(level slog.Level, text string) {
	what, from, _ := strings.Cut(text, " from=")
	tell, dropped := l.count(what)
	if dropped > 0 {
		l.logger.Info("gossip: lines left out of the log in the minute before", "lines", dropped)
	}
	if !tell {
		return
	}
	if from != "" {
		l.logger.Log(context.Background(), level, what, "from", from)
		return
	}
	l.logger.Log(context.Background(), level, what)
}

// count decides whether a line is told, and how many were not in a minute that is over.
func (l *logLines) count(what string) (tell bool, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.minute) >= time.Minute {
		l.minute, dropped, l.dropped = now, l.dropped, 0
		l.told, l.room = map[string]bool{}, map[bool]int{true: linesPerMinute, false: linesPerMinute}
	}
	refusal := strings.Contains(what, ErrRefused.Error())
	if l.told[what] || l.room[refusal] == 0 {
		l.dropped++
		return false, dropped
	}
	l.told[what] = true
	l.room[refusal]--
	return true, dropped
}

// parseLine finds the level. What memberlist calls an error is a packet or stream that
// failed: a warning to us. What it warns of is its daily work, unless a peer was refused.
func parseLine(line string) (slog.Level, string) {
	tag, text, found := strings.Cut(strings.TrimSpace(line), "] ")
	if !found {
		tag, text = "", tag
	}
	text = "gossip: " + strings.TrimPrefix(text, "memberlist: ")
	if refusal := keyRefusal(text); refusal != nil {
		_, from, _ := strings.Cut(text, " from=")
		return slog.LevelWarn, refusal.Error() + " from=" + from
	}
	switch {
	case strings.Contains(text, ErrRefused.Error()), strings.HasPrefix(tag, "[ERR"):
		return slog.LevelWarn, text
	case tag == "[WARN", tag == "[INFO":
		return slog.LevelInfo, text
	}
	return slog.LevelDebug, text
}
