package transport

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

var (
	anyText  = rapid.StringN(0, 20, 40)
	anyBytes = rapid.SliceOfN(rapid.Byte(), 0, 40)
)

// anyToken draws a token, perhaps none.
func anyToken(t *rapid.T) (of journal.Token) {
	if rapid.Bool().Draw(t, "has a token") {
		of.History = rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "history")
		for range rapid.IntRange(0, 5).Draw(t, "shards") {
			of = of.With(rapid.Uint32().Draw(t, "shard"), rapid.Uint64().Draw(t, "offset"))
		}
	}
	return of
}

func anyKey(t *rapid.T) (k entity.CommandKey) {
	switch rapid.IntRange(0, 2).Draw(t, "kind of key") {
	case 1:
		k = entity.CallerKey(anyText.Draw(t, "key"))
	case 2:
		k = entity.NewClientKeys().Open(journal.Entity{Type: "t", ID: "i"}, time.Unix(0, rapid.Int64().Draw(t, "issued")))
		k.Number, k.Oldest = rapid.Uint64().Draw(t, "number"), rapid.Uint64().Draw(t, "oldest")
	}
	return k
}

func anyEnvelope(t *rapid.T) *Envelope {
	e := &Envelope{
		Request: entity.Request{
			Type: anyText.Draw(t, "type"), ID: anyText.Draw(t, "id"), Command: anyText.Draw(t, "command"),
			Payload: anyBytes.Draw(t, "payload"), Key: anyKey(t), Attempt: rapid.IntRange(0, maxAttempt).Draw(t, "attempt"),
			Local: rapid.Bool().Draw(t, "local"), After: anyToken(t), Async: rapid.Bool().Draw(t, "async"),
			Lookup: rapid.Bool().Draw(t, "lookup"), Query: rapid.Bool().Draw(t, "query"),
			Principal: anyText.Draw(t, "principal"), Cause: anyText.Draw(t, "cause"), Trace: anyText.Draw(t, "trace"),
		},
		Subject: anyText.Draw(t, "subject"), Destination: anyText.Draw(t, "destination"), Origin: anyText.Draw(t, "origin"),
		Remaining: time.Duration(rapid.Int64Range(1, int64(maxRemaining)).Draw(t, "remaining")), Epoch: rapid.Uint64().Draw(t, "epoch"),
	}
	if rapid.Bool().Draw(t, "has a version") {
		v := rapid.Uint64().Draw(t, "version")
		e.Request.IfVersion = &v
	}
	if len(e.Request.Payload) == 0 {
		e.Request.Payload = nil
	}
	return e
}

// What is written by hand is what the generated code reads and writes, and comes back as it was.
func TestEnvelopeOnTheWireIsTheOneOfTheProtoFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anyEnvelope(t)
		b := appendEnvelope(nil, 7, e.Remaining, e)
		if len(b) > e.size() {
			t.Fatalf("%d bytes, more than the %d that were thought", len(b), e.size())
		}
		var generated wirev1.Envelope
		if err := proto.Unmarshal(b, &generated); err != nil {
			t.Fatal(err)
		}
		if len(generated.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("the proto file does not know % x", generated.ProtoReflect().GetUnknown())
		}
		again, err := proto.Marshal(&generated)
		if err != nil {
			t.Fatal(err)
		}
		in := &Incoming{}
		wrong, err := parseEnvelope(again, names{}, in)
		if err != nil || wrong != "" || in.number != 7 || !reflect.DeepEqual(&in.Envelope, e) {
			t.Fatalf("%v %q: came back as\n%+v, was\n%+v", err, wrong, in.Envelope, *e)
		}
	})
}

func TestAnswerOnTheWireIsTheOneOfTheProtoFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a Answer
		switch rapid.IntRange(0, 3).Draw(t, "outcome") {
		case 0:
			a.Response = &entity.Response{Payload: anyBytes.Draw(t, "payload"), Receipt: entity.Receipt{
				Version: rapid.Uint64().Draw(t, "version"), Token: anyToken(t), Repeated: rapid.Bool().Draw(t, "repeated"),
			}}
			if len(a.Response.Payload) == 0 {
				a.Response.Payload = nil
			}
			if tok := &a.Response.Receipt.Token; tok.History != "" && tok.Offsets == nil {
				tok.Offsets = []journal.ShardOffset{} // none, either way
			}
		case 1:
			a.Err = &entity.Rejection{Code: "c" + anyText.Draw(t, "code"), Message: anyText.Draw(t, "message"), Version: rapid.Uint64().Draw(t, "version")}
		case 2:
			kind := rapid.SampledFrom([]error{entity.ErrUnavailable, entity.ErrBusy, entity.ErrUnknownOutcome, entity.ErrFailed, entity.ErrRunning, entity.ErrNotKnown}).Draw(t, "kind")
			a.Err = &entity.Error{Kind: kind, Reason: anyText.Draw(t, "reason"), RetryAfter: time.Duration(rapid.Int64Range(0, int64(maxRemaining)).Draw(t, "after"))}
		case 3:
			a.Err = &Moved{Shard: rapid.Uint32().Draw(t, "shard"), Node: anyText.Draw(t, "node"), Epoch: rapid.Uint64().Draw(t, "epoch"), Reason: anyText.Draw(t, "reason")}
		}
		var generated wirev1.Answer
		if err := proto.Unmarshal(appendAnswer(nil, 9, &a), &generated); err != nil {
			t.Fatal(err)
		}
		again, err := proto.Marshal(&generated)
		if err != nil {
			t.Fatal(err)
		}
		number, got, err := parseAnswer(again, names{})
		if err != nil || number != 9 || !reflect.DeepEqual(got, a) {
			t.Fatalf("%v: came back as %+v, was %+v", err, got, a)
		}
	})
}

func TestPartOnTheWireIsTheOneOfTheProtoFile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := part{
			stream: rapid.Uint64().Draw(t, "stream"), kind: partKind(rapid.IntRange(1, 5).Draw(t, "kind")),
			subject: anyText.Draw(t, "subject"), data: anyBytes.Draw(t, "data"), credit: rapid.IntRange(0, 1<<30).Draw(t, "credit"), reason: anyText.Draw(t, "reason"),
		}
		var generated wirev1.Part
		if err := proto.Unmarshal(appendPart(nil, &p), &generated); err != nil {
			t.Fatal(err)
		}
		again, err := proto.Marshal(&generated)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parsePart(again)
		got.data = append([]byte{}, got.data...)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Fatalf("%v: came back as %+v, was %+v", err, got, p)
		}
	})
}

// What a newer release adds is skipped, and what it adds as a kind of answer is an unknown outcome.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	e := &Envelope{Request: entity.Request{Type: "t", ID: "i"}, Remaining: 1}
	b := appendText(appendUint(appendEnvelope(nil, 1, 1, e), 4711, 5), 4712, "new")
	in := &Incoming{}
	if wrong, err := parseEnvelope(b, names{}, in); err != nil || wrong != "" || !reflect.DeepEqual(&in.Envelope, e) {
		t.Errorf("got %+v, %q, %v", in.Envelope, wrong, err)
	}
	for name, b := range map[string][]byte{
		"a new kind of answer":     appendText(appendUint(nil, answerNumber, 3), 4711, "new"),
		"a new kind of failure":    appendNested(appendUint(nil, answerNumber, 3), answerFailure, func(b []byte) []byte { return appendUint(b, failureKind, 99) }),
		"a rejection without code": appendNested(appendUint(nil, answerNumber, 3), answerRejection, func(b []byte) []byte { return appendText(b, rejectionMessage, "no") }),
	} {
		if number, a, err := parseAnswer(b, names{}); err != nil || number != 3 || !errors.Is(a.Err, entity.ErrUnknownOutcome) {
			t.Errorf("%s: got %d, %v, %v", name, number, a.Err, err)
		}
	}
}

func TestWhatCannotBeUnderstoodIsNamed(t *testing.T) {
	t.Parallel()
	token := func(history string, positions ...uint64) []byte {
		text, _ := proto.Marshal(&wirev1.Token{History: history, Positions: positions})
		return appendBytes(nil, envelopeAfter, text)
	}
	key, _ := proto.Marshal(&wirev1.NumberedKey{Client: []byte("short"), Number: 1})
	for want, b := range map[string][]byte{
		"shards do not ascend":   token("h", 3, 1, 3, 1),
		"beyond 32 bits":         token("h", 1<<40, 1),
		"is cut":                 token("h", 1),
		"a history of 0 bytes":   token("", 1, 1),
		"a history of 65 bytes":  token(strings.Repeat("h", 65), 1, 1),
		"more than 4096 shards":  token("h", manyPositions(4097)...),
		"a client of 5 bytes":    appendBytes(nil, envelopeNumberedKey, key),
		"its token cannot be re": appendBytes(nil, envelopeAfter, []byte{0xff}),
	} {
		if wrong, err := parseEnvelope(b, names{}, &Incoming{}); err != nil || !strings.Contains(wrong, want) {
			t.Errorf("got %q, %v, want %q", wrong, err, want)
		}
	}
	for _, b := range [][]byte{{0xff}, {0x0a, 0x05, 0x01}, {0x08}, {0x0b}} {
		if _, err := parseEnvelope(b, names{}, &Incoming{}); !errors.Is(err, errGarbage) {
			t.Errorf("% x is read as an envelope: %v", b, err)
		}
	}
}

func manyPositions(n int) []uint64 {
	var all []uint64
	for i := range n {
		all = append(all, uint64(i), 1)
	}
	return all
}

func TestNamesAreKeptUpToABound(t *testing.T) {
	t.Parallel()
	known := names{}
	for i := range 10 * maxKnownNames {
		known.of([]byte{byte(i), byte(i >> 8)})
	}
	known.of([]byte(strings.Repeat("x", MaxName+1)))
	if len(known) != maxKnownNames {
		t.Errorf("%d names are kept, want %d", len(known), maxKnownNames)
	}
}

func TestVersionsAreNegotiated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ours, theirs versions
		want         uint32
		ok           bool
	}{
		{versions{1, 1}, versions{1, 1}, 1, true},
		{versions{1, 3}, versions{2, 5}, 3, true},
		{versions{2, 5}, versions{1, 3}, 3, true},
		{versions{3, 4}, versions{1, 2}, 0, false},
		{versions{1, 2}, versions{3, 4}, 0, false},
		{versions{1, 1}, versions{5, 0}, 0, false},
	} {
		if got, ok := test.ours.common(test.theirs); ok != test.ok || ok && got != test.want {
			t.Errorf("%v with %v: got %d, %v", test.ours, test.theirs, got, ok)
		}
	}
}

func TestStrangersAreLoggedInAFewLines(t *testing.T) {
	t.Parallel()
	var q quietly
	at, logged, omitted := time.Unix(1000, 0), 0, 0
	for range 1000 {
		at = at.Add(50 * time.Millisecond)
		if n, ok := q.take(at); ok {
			logged++
			omitted += n
		}
	}
	if logged > 6*quietLines || logged < 5*quietLines || logged+omitted > 1000 || logged+omitted < 700 {
		t.Errorf("%d lines, which tell of %d others, in 50 s", logged, omitted)
	}
}
