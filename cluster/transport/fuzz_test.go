package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// script is a connection whose peer sends given bytes and reads nothing.
type script struct{ *bytes.Reader }

func (script) Write(p []byte) (int, error)      { return len(p), nil }
func (script) Close() error                     { return nil }
func (script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (script) SetDeadline(time.Time) error      { return nil }
func (script) SetReadDeadline(time.Time) error  { return nil }
func (script) SetWriteDeadline(time.Time) error { return nil }

// taking answers what comes and reads streams to their end.
type taking struct{}

func (taking) Deliver(in *Incoming) {
	in.Answer(Answer{Response: &entity.Response{Payload: in.Request.Payload}})
}

func (taking) Accept(_ context.Context, s *Stream) error {
	_, err := io.Copy(io.Discard, struct{ io.Reader }{s})
	return err
}

// frame is content with its length.
func frame(content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), content...)
}

func seeds() [][]byte {
	e := &Envelope{
		Request: entity.Request{
			Type: "lot", ID: "7", Command: "Bid", Payload: []byte("p"), Key: entity.CallerKey("k"), Attempt: 2,
			After: journal.Token{History: "h"}.With(2, 9),
		},
		Remaining: time.Second, Destination: "other", Subject: "offer",
	}
	a := &Answer{Response: &entity.Response{Payload: []byte("p"), Receipt: entity.Receipt{Token: journal.Token{History: "h"}.With(2, 9)}}}
	no := &Answer{Err: &entity.Rejection{Code: "low"}}
	var parts []byte
	for _, p := range []part{
		{stream: 1, kind: partOpen, subject: "tail", data: []byte("r"), credit: StreamWindow},
		{stream: 1, kind: partData, data: []byte("x")},
		{stream: 1, kind: partCredit, credit: 9},
		{stream: 1, kind: partEnd},
		{stream: 1, kind: partAbort, reason: "r"},
	} {
		parts = appendBytes(parts, frameParts, appendPart(nil, &p))
	}
	return [][]byte{
		nil, frame(nil), frame(parts),
		frame(appendBytes(nil, frameEnvelopes, appendEnvelope(nil, 1, time.Second, e))),
		frame(appendBytes(nil, frameAnswers, appendAnswer(nil, 1, a))),
		frame(appendBytes(nil, frameAnswers, appendAnswer(nil, 1, no))),
		{0xff, 0xff, 0xff, 0xff, 1},
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0, 0, 0, 9, 1, 2},
	}
}

// Whatever a peer sends, on either side of a connection, the connection ends without harm.
func FuzzConnection(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, sent []byte, asks bool) {
		m := NewMemory() // it only gives the endpoint something to listen on
		node, err := m.Listen(Config{Node: "n", Cluster: "c", Shards: 8, Logger: slog.New(slog.DiscardHandler), MaxCalls: 4, MaxStreams: 4, MaxMessageBytes: minMessageBytes})
		if err != nil {
			t.Fatal(err)
		}
		node.Serve(taking{})
		with := introduction{peer: Peer{Node: "x"}, maxMessage: minMessageBytes}
		raw := &wire{cfg: &node.cfg, raw: script{bytes.NewReader(sent)}}
		if asks {
			p := &peer{t: node, to: Peer{Node: "x"}, waiting: map[uint64]*call{}}
			newConn(node, raw, with, p).run()
		} else if err := node.serve(raw, with); err != nil {
			t.Fatal(err)
		}
		if err := node.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// An envelope that can be read is the same when it is written and read again.
func FuzzEnvelope(f *testing.F) {
	f.Add(appendEnvelope(nil, 1, time.Second, &Envelope{Request: entity.Request{Type: "lot", ID: "7", Payload: []byte("p"), After: journal.Token{History: "h"}.With(2, 9)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, second := &Incoming{}, &Incoming{}
		if wrong, err := parseEnvelope(b, names{}, first); err != nil || wrong != "" {
			return
		}
		wrong, err := parseEnvelope(appendEnvelope(nil, first.number, first.Remaining, &first.Envelope), names{}, second)
		if len(first.Request.Payload) == 0 {
			first.Request.Payload = nil
		}
		if err != nil || wrong != "" || !reflect.DeepEqual(first, second) {
			t.Fatalf("%q, %v: %+v became %+v", wrong, err, first.Envelope, second.Envelope)
		}
	})
}

// A hello of any form is accepted or refused, and never more is read of it than the limit.
func FuzzHello(f *testing.F) {
	cfg, err := Config{Node: "n", Cluster: "c", Shards: 8}.withDefaults()
	if err != nil {
		f.Fatal(err)
	}
	self := Peer{"n", "a"}
	var hello bytes.Buffer
	_ = writeMessage(&hello, cfg.hello(Peer{"x", "b"}, "n"))
	f.Add(hello.Bytes())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := bytes.NewReader(sent)
		with, err := cfg.receive(script{r}, self)
		if read := len(sent) - r.Len(); read > frameHeader+maxHelloBytes {
			t.Errorf("%d bytes were read", read)
		}
		if err == nil && (with.peer.Node == "" || with.version != 1 || with.maxMessage < minMessageBytes) {
			t.Errorf("accepted %+v", with)
		}
	})
}
