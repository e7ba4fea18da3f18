package stream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Source is what a stream follows: the committed records of every shard. *entity.Feed is one.
type Source interface {
	// History identifies the life of the journal; a restore changes it.
	History() string
	// Shards is how many logs there are; they are numbered from 0.
	Shards() int
	// Types are the definitions of the entities whose events the logs hold.
	Types() []entity.Definition
	// Head returns the header of the newest record of a shard that is known to be committed.
	Head(shard uint32) (head journal.Header, serves bool)
	// Records returns committed records in order, beginning with number from: at least one if
	// that one is committed, and no more than about maxBytes.
	Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error)
	// Watch calls changed after each change of what Head returns for a shard, until stop is called.
	Watch(changed func(shard uint32)) (stop func())
}

// Config says what a stream shows and to whom. Source, Name, Lists and Rules are required;
// a zero field means the default that its comment gives.
type Config struct {
	// Source is what is followed.
	Source Source
	// Name is the name of the messages: a page listens to it with addEventListener.
	Name string
	// Lists are the members of a message's data, in their order. Each message has all of them, some empty.
	Lists []string
	// Rules say what pages learn from each type of event. Types without a rule are passed over.
	Rules []Rule
	// Topics tells which topics a request asks for; none means all of them. Its error is answered 400.
	// Default: every client gets everything.
	Topics func(*http.Request) ([]string, error)
	// Origins are other sites whose pages may listen, such as "https://example.org".
	// Default: only pages of this server.
	Origins []string
	// Logger default: slog.Default().
	Logger *slog.Logger

	// MaxClients bounds the open streams. Default 4,096. Beyond, requests are answered 503.
	MaxClients int
	// MaxClientsPerAddress bounds those of one address. Default 0: no bound, because all
	// clients behind one proxy share its address. Beyond, requests are answered 429.
	MaxClientsPerAddress int
	// MaxQueue and MaxQueueBytes bound what waits for one client. Default 1,024 deliveries
	// and 1 MiB. A client that falls further behind is cut off.
	MaxQueue      int
	MaxQueueBytes int
	// MaxBehind is how many events a client may have missed and still catch up. Default 50,000.
	// One that missed more is told to load everything anew.
	MaxBehind int
	// KeepBytes bounds the rendered events that are kept in memory for clients that come back. Default 8 MiB.
	KeepBytes int
	// WriteTimeout is how long one write to a client may take before it is cut off. Default 10 s.
	WriteTimeout time.Duration
	// PingEvery is the time between signs of life on a quiet stream. Default 15 s.
	PingEvery time.Duration
	// Retry is how long a browser waits before it connects again. Default 500 ms.
	Retry time.Duration
}

// Limits that no config changes.
const (
	// MaxTopics bounds the topics that one client asks for.
	MaxTopics = 100
	// maxMessageBytes is how much is gathered into one message. A single command may exceed it.
	maxMessageBytes = 64 << 10
	// readBytes is how much of a log is read at a time.
	readBytes = 256 << 10
	// maxReads bounds the clients that read the journal at a time.
	maxReads = 8
	// readAgainAfter is the wait after a log could not be read.
	readAgainAfter = time.Second
	// tokenWait is how long a client waits for the stream to reach its token, and slowWait how much longer if the journal
	// has what the token names, so that it is the stream which is behind.
	tokenWait = time.Second
	slowWait  = 10 * time.Second
)

// filled returns the config with defaults, or an error that names the wrong field.
func (c Config) filled() (Config, error) {
	if c.Source == nil {
		return c, fmt.Errorf("stream: Config.Source is missing: give the host's Feed")
	}
	if n := c.Source.Shards(); n > journal.MaxTokenShards {
		return c, fmt.Errorf("stream: Config.Source has %d shards; a token names at most %d", n, journal.MaxTokenShards)
	}
	if c.Name == "" || strings.ContainsAny(c.Name, "\r\n\x00") {
		return c, fmt.Errorf("stream: Config.Name is %q; it must be one line of text", c.Name)
	}
	if c.Name == resetName || c.Name == pingName {
		return c, fmt.Errorf("stream: Config.Name is %q, which the stream itself sends: choose another", c.Name)
	}
	if err := checkLists(c.Lists); err != nil {
		return c, err
	}
	if err := checkRules(c.Rules, c.Source.Types()); err != nil {
		return c, err
	}
	if err := checkOrigins(c.Origins); err != nil {
		return c, err
	}
	if c.Topics == nil {
		c.Topics = func(*http.Request) ([]string, error) { return nil, nil }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c.limited()
}

func checkLists(lists []string) error {
	if len(lists) == 0 {
		return fmt.Errorf("stream: Config.Lists is empty: a message needs at least one")
	}
	for i, list := range lists {
		if list == "" || slices.Contains(lists[:i], list) {
			return fmt.Errorf("stream: Config.Lists has %q twice, or empty: each name may be there once", list)
		}
	}
	return nil
}

func checkRules(rules []Rule, types []entity.Definition) error {
	if len(rules) == 0 {
		return fmt.Errorf("stream: Config.Rules is empty: a stream needs at least one stream.On")
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if r.render == nil {
			return fmt.Errorf("stream: Config.Rules has a rule that is not made with stream.On")
		}
		if seen[r.event] {
			return fmt.Errorf("stream: Config.Rules has two rules for %s: put them together", r.event)
		}
		seen[r.event] = true
		if err := entity.CheckReader(types, "", r.event); err != nil {
			return fmt.Errorf("stream: Config.Rules: the rule for %s: %w", r.event, err)
		}
	}
	return nil
}

func checkOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return fmt.Errorf("stream: Config.Origins has %q; an origin is written https://example.org, without a path", origin)
		}
	}
	return nil
}

// limited fills in the limits and checks them.
func (c Config) limited() (Config, error) {
	for _, f := range []struct {
		name     string
		field    *int
		standard int
	}{
		{"MaxClients", &c.MaxClients, 4096},
		{"MaxClientsPerAddress", &c.MaxClientsPerAddress, 0},
		{"MaxQueue", &c.MaxQueue, 1024},
		{"MaxQueueBytes", &c.MaxQueueBytes, 1 << 20},
		{"MaxBehind", &c.MaxBehind, 50_000},
		{"KeepBytes", &c.KeepBytes, 8 << 20},
	} {
		if *f.field < 0 {
			return c, fmt.Errorf("stream: Config.%s is %d; it cannot be negative", f.name, *f.field)
		}
		if *f.field == 0 {
			*f.field = f.standard
		}
	}
	for _, f := range []struct {
		name     string
		field    *time.Duration
		standard time.Duration
	}{
		{"WriteTimeout", &c.WriteTimeout, 10 * time.Second},
		{"PingEvery", &c.PingEvery, 15 * time.Second},
		{"Retry", &c.Retry, 500 * time.Millisecond},
	} {
		if *f.field < 0 {
			return c, fmt.Errorf("stream: Config.%s is %v; it cannot be negative", f.name, *f.field)
		}
		if *f.field == 0 {
			*f.field = f.standard
		}
	}
	return c, nil
}
