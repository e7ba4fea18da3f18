package transport

import (
	"bytes"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// The folder testdata/v1 holds what nodes of version 1 of the protocol send, as it was when that was released. As long as a
// release speaks version 1 it reads these bytes to the same meaning. SKERRY_WRITE_GOLDEN=1 writes files that are not there; none is ever
// changed: a release that sends something else gets a folder of its own.

// golden returns what a file holds, which is what now is if it is written.
func golden(t *testing.T, name string, now []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", "v1", name+".hex")
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) && os.Getenv("SKERRY_WRITE_GOLDEN") != "" {
		text, err = []byte(hex.EncodeToString(now)+"\n"), nil
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recorder takes what a frame brings.
type recorder struct {
	calls    []Incoming
	answers  map[uint64]Answer
	parts    []part
	goodbyes int
}

func (r *recorder) takeEnvelope(in *Incoming, wrong string) error {
	r.calls = append(r.calls, Incoming{Envelope: in.Envelope, number: in.number})
	if wrong != "" {
		return errGarbage
	}
	return nil
}

func (r *recorder) takeAnswer(number uint64, a Answer) error {
	if r.answers == nil {
		r.answers = map[uint64]Answer{}
	}
	r.answers[number] = a
	return nil
}

func (r *recorder) takePart(p part) error {
	p.data = bytes.Clone(p.data)
	r.parts = append(r.parts, p)
	return nil
}

func (r *recorder) takeGoodbye() { r.goodbyes++ }
func (r *recorder) silent()      {}

var goldenBegan = time.Unix(1_700_000_000, 0)

func goldenKey() entity.CommandKey {
	key := entity.CommandKey{Kind: numberedKind, Number: 41, Oldest: 40, Issued: 1_700_000_000_000_000_000}
	copy(key.Client[:], "sixteen bytes...")
	return key
}

// goldenCalls are envelopes in which each field is set at least once.
func goldenCalls() []*call {
	version := uint64(6)
	envelopes := []Envelope{
		{
			Request: entity.Request{
				Type: "lot", ID: "42", Command: "auction.v1.PlaceBid", Payload: []byte("a bid"), Key: goldenKey(), Attempt: 2,
				IfVersion: &version, Async: true, Principal: "ann", Cause: "web", Trace: "00-1-2-01",
			},
			Remaining: 4 * time.Second, Epoch: 12, Destination: "n2-0011223344556677", Origin: "n1-8899aabbccddeeff",
		},
		{
			Request: entity.Request{
				Type: "lot", ID: "43", Command: "auction.v1.GetLot", Query: true, Local: true,
				After: journal.Token{History: "h1"}.With(3, 900).With(7, 1<<40),
			},
			Remaining: time.Second,
		},
		{Request: entity.Request{Type: "lot", ID: "44", Key: entity.CallerKey("k-1"), Lookup: true}, Remaining: time.Minute},
		{Request: entity.Request{Payload: []byte{8, 1}}, Subject: "skerry/owned", Remaining: time.Second},
	}
	calls := make([]*call, len(envelopes))
	for i := range envelopes {
		calls[i] = &call{number: uint64(i + 1), envelope: &envelopes[i], deadline: goldenBegan.Add(envelopes[i].Remaining)}
	}
	return calls
}

func goldenAnswers() []outAnswer {
	answers := []Answer{
		{Response: &entity.Response{Payload: []byte("a view"), Receipt: entity.Receipt{Version: 7, Repeated: true, Token: journal.Token{History: "h1"}.With(3, 901)}}},
		{Err: &entity.Rejection{Code: "low", Message: "bid 1 must exceed 2", Version: 7}},
		{Err: &Moved{Shard: 5, Node: "n3-1", Epoch: 13, Reason: "claimed"}},
	}
	for _, k := range kinds {
		answers = append(answers, Answer{Err: &entity.Error{Kind: k.kind, Reason: "why", RetryAfter: time.Second}})
	}
	out := make([]outAnswer, len(answers))
	for i, a := range answers {
		out[i] = outAnswer{Answer: a, number: uint64(i + 1)}
	}
	return out
}

func goldenParts() []part {
	return []part{
		{stream: 1, kind: partOpen, subject: "tail", data: []byte("request"), credit: StreamWindow},
		{stream: 1, kind: partData, data: []byte("bytes")},
		{stream: 1, kind: partCredit, credit: 4096},
		{stream: 1, kind: partEnd},
		{stream: 2, kind: partAbort, reason: "busy"},
	}
}

// sink is a connection that keeps what is written.
type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error)      { return s.Buffer.Write(b) }
func (s *sink) Read(b []byte) (int, error)       { return s.Buffer.Read(b) }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// written returns the frames of a batch, as they leave a node now.
func written(t *testing.T, b *batch) []byte {
	t.Helper()
	sink := &sink{}
	b.now = goldenBegan
	if err := (&wire{cfg: &Config{FrameTimeout: time.Second}, raw: sink}).send(b); err != nil {
		t.Fatal(err)
	}
	return sink.Bytes()
}

// read hands the content of one frame to a recorder; with more, as a later release may add to it.
func read(t *testing.T, frame, more []byte) *recorder {
	t.Helper()
	r := &recorder{}
	if err := parseFrame(append(bytes.Clone(frame[frameHeader:]), more...), names{}, r); err != nil {
		t.Fatalf("a frame of version 1 is not read: %v", err)
	}
	return r
}

// unknown is a field that this release does not know.
func unknown() []byte {
	b := protowire.AppendTag(nil, 1000, protowire.BytesType)
	return protowire.AppendString(b, "of a later release")
}

func TestFramesOfVersionOneAreRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		batch batch
		want  recorder
	}{
		"envelopes": {batch{calls: goldenCalls()}, recorder{calls: func() (all []Incoming) {
			for _, k := range goldenCalls() {
				all = append(all, Incoming{Envelope: *k.envelope, number: k.number})
			}
			return all
		}()}},
		"answers": {batch{answers: goldenAnswers()}, recorder{answers: func() map[uint64]Answer {
			all := map[uint64]Answer{}
			for _, a := range goldenAnswers() {
				all[a.number] = a.Answer
			}
			return all
		}()}},
		"parts":   {batch{parts: goldenParts()}, recorder{parts: goldenParts()}},
		"goodbye": {batch{goodbye: true}, recorder{goodbyes: 1}},
		"ping":    {batch{}, recorder{}},
	} {
		now := written(t, &test.batch)
		stored := golden(t, name, now)
		if !bytes.Equal(stored, now) {
			t.Errorf("%s: this release sends other bytes than version 1 did: keep testdata/v1, and add what is sent now beside it\n%x\n%x", name, stored, now)
		}
		for _, more := range [][]byte{nil, unknown()} {
			if got := read(t, stored, more); !reflect.DeepEqual(*got, test.want) {
				t.Errorf("%s, with %d bytes more:\n%+v, want\n%+v", name, len(more), *got, test.want)
			}
		}
	}
}

func TestGreetingsOfVersionOneAreRead(t *testing.T) {
	t.Parallel()
	c := &Config{Node: "n1-1", Cluster: "harbour", History: "h1", Shards: 64, MaxMessageBytes: 4 << 20, versions: versions{1, 1}}
	self := Peer{Node: "n1-1", Address: "10.0.0.1:7947"}
	for name, now := range map[string]proto.Message{
		"hello":   c.hello(self, "n2-1"),
		"welcome": &wirev1.Welcome{Self: c.hello(self, ""), Version: 1, Refusal: "why"},
	} {
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		stored := golden(t, name, encoded)
		for _, more := range [][]byte{nil, unknown()} {
			got := now.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(append(bytes.Clone(stored), more...), got); err != nil {
				t.Fatal(err)
			}
			got.ProtoReflect().SetUnknown(nil)
			if !proto.Equal(got, now) {
				t.Errorf("%s is read as %v, want %v", name, got, now)
			}
		}
	}
	var hello wirev1.Hello
	if err := proto.Unmarshal(golden(t, "hello", nil), &hello); err != nil {
		t.Fatal(err)
	}
	hello.Expected = ""
	later := &Config{Node: "n2-1", Cluster: "harbour", History: "h1", Shards: 64, versions: versions{1, 2}}
	if why := later.judge(Peer{Node: "n2-1"}, &hello); why != "" {
		t.Errorf("a later release that still speaks version 1 refuses it: %s", why)
	}
}
