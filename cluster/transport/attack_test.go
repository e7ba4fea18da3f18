package transport_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// patience bounds what takes so long on no machine.
const patience = 3 * time.Minute

// slow is a config of a node on a busy machine: nothing that stands still for a while is given up.
func slow(c transport.Config) transport.Config {
	c.DialTimeout, c.HelloTimeout, c.DeadAfter, c.FrameTimeout = patience, patience, patience, patience
	return c
}

// has waits until the log holds a text: a connection ends before the line about it is written.
func (l *logged) has(text string) bool {
	for end := time.Now().Add(patience); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// target is a node over TCP that is attacked, and another that must be answered all the same.
func target(t *testing.T, change func(*transport.Config)) (attacked, friend *transport.Endpoint, log *logged) {
	t.Helper()
	log = &logged{}
	cfg := slow(transport.Config{Logger: log.logger()})
	if change != nil {
		change(&cfg)
	}
	friend, attacked = twoNodes(t, transport.Listen, slow(transport.Config{Logger: slog.New(slog.DiscardHandler)}), cfg)
	attacked.Serve(patient{})
	return attacked, friend, log
}

func attacker(t *testing.T, at *transport.Endpoint) stranger {
	t.Helper()
	c, err := net.Dial("tcp", at.Self().Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return stranger{t, c}
}

func mustAnswer(t *testing.T, friend, attacked *transport.Endpoint) {
	t.Helper()
	if a := transport.Ask(t.Context(), friend, attacked.Self(), command(patience)); a.Err != nil {
		t.Errorf("another node is answered %v", a.Err)
	}
}

// raw is a frame of given bytes.
func raw(content ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...)
}

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw(b...)
}

// Garbage ends its connection, at once, and nothing else.
func TestGarbageEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	attacked, friend, log := target(t, func(c *transport.Config) { c.DeadAfter, c.FrameTimeout = time.Hour, time.Hour }) // nothing but the garbage ends it
	part := func(p *wirev1.Part) []byte { return encoded(t, &wirev1.Frame{Parts: []*wirev1.Part{p}}) }
	open := &wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_OPEN, Subject: "s", Credit: 1}
	for name, test := range map[string]struct {
		greets bool
		sent   []byte
	}{
		"HTTP":                        {false, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")},
		"TLS":                         {false, []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")},
		"a hello of 4 GB":             {false, []byte("\xff\xff\xff\xff")},
		"a hello that is none":        {false, raw(0xff, 0xff)},
		"an empty hello":              {false, raw()},
		"a frame of 4 GB":             {true, []byte("\xff\xff\xff\xff\x00")},
		"a frame over the limit":      {true, []byte("\x00\x44\x00\x01")},
		"bytes that are no frame":     {true, raw(0xff, 0xff, 0xff)},
		"an envelope that is none":    {true, raw(0x0a, 0x02, 0xff, 0xff)},
		"a cut envelope":              {true, raw(0x0a, 0x7f, 0x08)},
		"an answer nobody asked for":  {true, encoded(t, &wirev1.Frame{Answers: []*wirev1.Answer{{Number: 1}}})},
		"a stream numbered 0":         {true, part(&wirev1.Part{Kind: wirev1.PartKind_PART_KIND_OPEN})},
		"a stream opened twice":       {true, append(part(open), part(open)...)},
		"a request over the limit":    {true, part(&wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_OPEN, Data: make([]byte, transport.MaxOpenBytes+1)})},
		"credit without end":          {true, append(part(open), part(&wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_CREDIT, Credit: 1 << 31})...)},
		"data beyond the window":      {true, append(part(open), bytes.Repeat(part(&wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_DATA, Data: make([]byte, 16<<10)}), 33)...)},
		"data after the end":          {true, slices.Concat(part(open), part(&wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_END}), part(&wirev1.Part{Stream: 1, Kind: wirev1.PartKind_PART_KIND_DATA, Data: []byte("x")}))},
		"groups in groups in groups":  {true, raw(bytes.Repeat([]byte{0x0b}, 20_000)...)},
		"a frame that ends too early": {true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := attacker(t, attacked)
			if test.greets {
				s.greet()
			}
			if test.sent == nil {
				_, _ = s.Write([]byte{0, 0, 1, 0, 1})
				_ = s.Conn.(*net.TCPConn).CloseWrite()
			} else if _, err := s.Write(test.sent); err != nil {
				t.Fatal(err)
			}
			s.ended() // or the test does not end
			mustAnswer(t, friend, attacked)
		})
	}
	if text := log.String(); !log.has("a connection is refused") || !log.has("breaks the protocol") {
		t.Errorf("the log does not tell:\n%s", text)
	} else if n := strings.Count(text, "\n"); n > 10 {
		t.Errorf("strangers made %d lines, want 10 at most", n)
	}
}

// What a newer release may send, or what is harmless, does not end the connection.
func TestUnknownContentIsSkipped(t *testing.T) {
	t.Parallel()
	attacked, _, _ := target(t, nil)
	s := attacker(t, attacked).greet()
	for _, sent := range [][]byte{
		raw(),
		raw(0xfa, 0x3f, 0x01, 0x00), // a field that nobody knows
		encoded(t, &wirev1.Frame{Parts: []*wirev1.Part{{Stream: 77, Kind: 99}, {Stream: 78, Kind: wirev1.PartKind_PART_KIND_DATA, Data: []byte("x")}}}),
		encoded(t, &wirev1.Frame{Envelopes: []*wirev1.Envelope{
			{Number: 1, Type: "lot", Id: "7"}, // without time
			{Number: 2, Type: "lot", Id: "7", RemainingNs: 1 << 63},
			{Number: 3, Type: "lot", Id: "7", RemainingNs: 1e9, After: &wirev1.Token{History: "h", Positions: []uint64{1}}},
		}}),
	} {
		if _, err := s.Write(sent); err != nil {
			t.Fatal(err)
		}
	}
	got := map[uint64]*wirev1.Answer{}
	for len(got) < 3 {
		var f wirev1.Frame
		if err := s.receive(&f); err != nil {
			t.Fatal(err)
		}
		for _, a := range f.GetAnswers() {
			got[a.GetNumber()] = a
		}
	}
	if got[1].GetReply() == nil || string(got[2].GetReply().GetPayload()) != "pong" || got[3].GetRejection().GetCode() != "skerry/malformed" {
		t.Errorf("answered %v", got)
	}
}

// Many connections that say nothing keep no node out.
func TestConnectionsWithoutHelloKeepNobodyOut(t *testing.T) {
	t.Parallel()
	attacked, friend, _ := target(t, func(c *transport.Config) { c.MaxHellos, c.HelloTimeout = 20, time.Hour })
	var silent []stranger
	for range 200 {
		silent = append(silent, attacker(t, attacked))
	}
	for _, s := range silent[:180] {
		s.ended() // the oldest go
	}
	mustAnswer(t, friend, attacked)
	for _, s := range silent {
		_ = s.Close()
	}
}

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	attacked, friend, log := target(t, func(c *transport.Config) { c.MaxConns = 3 })
	mustAnswer(t, friend, attacked)
	first, second := attacker(t, attacked).greet(), attacker(t, attacked).greet()
	attacker(t, attacked).greet().ended()
	mustAnswer(t, friend, attacked)
	_, _ = first.Close(), second.Close()
	if !log.has("MaxConns") {
		t.Errorf("the log does not name the limit:\n%s", log)
	}
}

// A length that lies costs its receiver no memory before the bytes come.
func TestLengthThatLiesTakesNoMemory(t *testing.T) {
	attacked, friend, _ := target(t, func(c *transport.Config) { c.MaxMessageBytes, c.MaxCallBytes = 1<<30, 1<<30 })
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 50 {
		s := attacker(t, attacked)
		h := goodHello()
		s.send(h)
		var welcome wirev1.Welcome
		if err := s.receive(&welcome); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte{0x3f, 0xff, 0, 0, 1, 2, 3}); err != nil { // 1 GiB, it says
			t.Fatal(err)
		}
	}
	mustAnswer(t, friend, attacked)
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 100<<20 {
		t.Errorf("50 frames that announce 1 GiB took %d MiB", grown>>20)
	}
}

// A peer that opens streams without end gets no more goroutines than its limit.
func TestStreamsOfOnePeerAreBounded(t *testing.T) {
	t.Parallel()
	attacked, friend, _ := target(t, func(c *transport.Config) { c.MaxStreams = 5 })
	release := make(chan struct{})
	var serving gauge
	attacked.Serve(stubborn{&serving, release})
	s := attacker(t, attacked).greet()
	for i := range uint64(500) {
		s.send(&wirev1.Frame{Parts: []*wirev1.Part{
			{Stream: i + 1, Kind: wirev1.PartKind_PART_KIND_OPEN, Subject: "s"}, {Stream: i + 1, Kind: wirev1.PartKind_PART_KIND_ABORT},
		}})
	}
	s.send(&wirev1.Frame{Envelopes: []*wirev1.Envelope{{Number: 1, RemainingNs: 1e9}}})
	for f := (&wirev1.Frame{}); len(f.GetAnswers()) == 0; { // then all before it was taken in
		if err := s.receive(f); err != nil {
			t.Fatal(err)
		}
	}
	mustAnswer(t, friend, attacked)
	close(release)
	_ = s.Close()
	_ = attacked.Close()
	if n := serving.most(); n > 5 {
		t.Errorf("%d streams were served at a time, want 5 at most", n)
	}
}

// gauge counts what is under way.
type gauge struct {
	mu       sync.Mutex
	now, max int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.max = max(g.max, g.now)
}

func (g *gauge) most() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.max
}

// Both sides of a refusal say why, in a line of their log.
func TestRefusalIsToldOnBothSides(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*transport.Config){
		`is of cluster \"other\"`:      func(c *transport.Config) { c.Cluster = "other" },
		`journal of history \"h2\"`:    func(c *transport.Config) { c.History = "h2" },
		"has 9 shards":                 func(c *transport.Config) { c.Shards = 9 },
		"expects former at 127.0.0.1:": nil,
	} {
		start := func(node string, log *logged, change func(*transport.Config)) *transport.Endpoint {
			cfg := slow(transport.Config{Node: node, Cluster: "c", Shards: 8, Logger: log.logger()})
			if change != nil {
				change(&cfg)
			}
			n, err := transport.Listen(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = n.Close() })
			return n
		}
		var here, there logged
		near, far := start("near", &here, change), start("far", &there, nil)
		to, kind := far.Self(), transport.ErrRefused
		if change == nil {
			to.Node, kind = "former", transport.ErrGone
		}
		a := transport.Ask(t.Context(), near, to, command(patience))
		wantKind(t, want, a, kind)
		there.has(want)
		_, _ = near.Close(), far.Close()
		for side, log := range map[string]string{"who asks": here.String(), "who is asked": there.String()} {
			if !strings.Contains(log, want) {
				t.Errorf("the log of %s has no %q:\n%s", side, want, log)
			}
		}
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := func() transport.Config { return transport.Config{Node: "n", Cluster: "c", Shards: 8} }
	for want, change := range map[string]func(*transport.Config){
		"Config.Node":            func(c *transport.Config) { c.Node = "" },
		"Config.Cluster":         func(c *transport.Config) { c.Cluster = "" },
		"Config.Shards":          func(c *transport.Config) { c.Shards = 0 },
		"Config.History":         func(c *transport.Config) { c.History = strings.Repeat("h", 300) },
		"Config.MaxCalls":        func(c *transport.Config) { c.MaxCalls = -1 },
		"Config.MaxMessageBytes": func(c *transport.Config) { c.MaxMessageBytes = 1 },
		"Config.MaxCallBytes":    func(c *transport.Config) { c.MaxCallBytes = 1 },
		"Config.DeadAfter":       func(c *transport.Config) { c.DeadAfter = 700 * time.Millisecond },
		"Config.SilentAfter":     func(c *transport.Config) { c.SilentAfter = -1 },
		"Config.PingEvery":       func(c *transport.Config) { c.PingEvery = -1 },
		"Config.MaxBackoff":      func(c *transport.Config) { c.MaxBackoff = 1 },
		"beyond loopback":        func(c *transport.Config) { c.Listen = "0.0.0.0:0" },
		"also beyond loopback":   func(c *transport.Config) { c.Listen = ":0" },
		"HOST:PORT":              func(c *transport.Config) { c.Listen = "nonsense" },
		"TLS":                    func(c *transport.Config) { c.TLS = &transport.TLS{CertFile: "nowhere"} },
	} {
		cfg := good()
		change(&cfg)
		n, err := transport.Listen(cfg)
		if err == nil {
			_ = n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(want, "also ")) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	cfg := good()
	cfg.Listen, cfg.Advertise, cfg.Plain = "0.0.0.0:0", "node-1.example:0", true
	n, err := transport.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if at := n.Self().Address; !strings.HasPrefix(at, "node-1.example:") || strings.HasSuffix(at, ":0") {
		t.Errorf("it is reached at %s, want node-1.example with the real port", at)
	}
	if fmt.Sprint(n.Self()) != "n at "+n.Self().Address || fmt.Sprint(transport.Peer{Address: "a:1"}) != "a:1" {
		t.Errorf("a peer prints as %s", n.Self())
	}
}
