package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/cluster/transport"
)

func streamParts() []part {
	return []part{
		{"a stream carries bytes both ways, to their ends", streamBothWays},
		{"a request is answered in chunks", streamPull},
		{"who writes waits for who reads, and nobody else does", streamFlow},
		{"a stream that is refused says why", streamRefused},
		{"a stream ends with its context, on both sides", streamContext},
		{"a stream ends with its connection", streamLost},
		{"there are no more streams than the limit", streamLimit},
		{"many streams at a time keep apart", streamMany},
	}
}

// content is n bytes that do not repeat soon.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

var echoStream = handler{deliver: echo.deliver, accept: func(_ context.Context, s *transport.Stream) error {
	_, err := io.Copy(struct{ io.Writer }{s}, s)
	return err
}}

func streamBothWays(t *testing.T, s Suite) {
	asks, answers := s.pair(t, echoStream)
	for _, n := range []int{0, 1, transport.StreamWindow, 3*transport.StreamWindow + 17} {
		stream, err := asks.Open(t.Context(), answers.Self(), "echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		sent := content(n)
		var work sync.WaitGroup
		work.Go(func() {
			if _, err := stream.Write(sent); err != nil {
				t.Errorf("write: %v", err)
			}
			if err := stream.CloseWrite(); err != nil {
				t.Errorf("end: %v", err)
			}
		})
		got, err := io.ReadAll(stream)
		work.Wait()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes came back of %d: %v", len(got), n, err)
		}
		if _, err := stream.Write([]byte("more")); err == nil {
			t.Errorf("a write after the end succeeds")
		}
		_ = stream.Close()
	}
}

func streamPull(t *testing.T, s Suite) {
	asks, answers := s.pair(t, handler{accept: func(_ context.Context, s *transport.Stream) error {
		if s.Subject != "log" || string(s.Request) != "from 7" || s.Peer.Node != "asks" {
			return fmt.Errorf("got %q %q of %v", s.Subject, s.Request, s.Peer)
		}
		for i := range 1000 {
			if _, err := fmt.Fprintf(s, "record %d\n", i); err != nil {
				return err
			}
		}
		return nil
	}})
	stream, err := asks.Open(t.Context(), answers.Self(), "log", []byte("from 7"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(stream)
	if err != nil || strings.Count(string(got), "\n") != 1000 {
		t.Errorf("%d records: %v", strings.Count(string(got), "\n"), err)
	}
	_ = stream.Close()
	if _, err := asks.Open(t.Context(), answers.Self(), "log", make([]byte, transport.MaxOpenBytes)); err == nil {
		t.Errorf("a request over the limit is taken")
	}
}

func streamFlow(t *testing.T, s Suite) {
	read := make(chan struct{})
	asks, answers := s.pair(t, handler{deliver: echo.deliver, accept: func(_ context.Context, s *transport.Stream) error {
		<-read
		_, err := io.Copy(io.Discard, struct{ io.Reader }{s})
		return err
	}})
	stream, err := asks.Open(t.Context(), answers.Self(), "tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	var written atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		for range 4 * transport.StreamWindow / 1024 {
			n, err := stream.Write(make([]byte, 1024))
			written.Add(int64(n))
			if err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
		_ = stream.CloseWrite()
	})
	for i := range 500 { // commands pass the stream that stands
		mustReply(t, asks, answers.Self(), fmt.Sprint(i))
	}
	if n := written.Load(); n > transport.StreamWindow {
		t.Errorf("%d bytes were written that nobody reads; the window is %d", n, transport.StreamWindow)
	}
	close(read)
	work.Wait()
	if _, err := io.ReadAll(stream); err != nil || written.Load() != 4*transport.StreamWindow {
		t.Errorf("%d bytes were written in the end: %v", written.Load(), err)
	}
}

func streamRefused(t *testing.T, s Suite) {
	asks, answers := s.pair(t, handler{accept: func(context.Context, *transport.Stream) error {
		return errors.New("shard 3 is not here")
	}})
	stream, err := asks.Open(t.Context(), answers.Self(), "tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stream); !errors.Is(err, transport.ErrAborted) || !strings.Contains(err.Error(), "shard 3 is not here") {
		t.Errorf("read: %v, want the reason", err)
	}
	if _, err := stream.Write([]byte("x")); !errors.Is(err, transport.ErrAborted) {
		t.Errorf("write: %v, want aborted", err)
	}
}

func streamContext(t *testing.T, s Suite) {
	accepted, ended := make(chan struct{}), make(chan error, 1)
	asks, answers := s.pair(t, handler{accept: func(ctx context.Context, s *transport.Stream) error {
		close(accepted)
		_, err := io.ReadAll(s)
		<-ctx.Done()
		ended <- err
		return err
	}})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := asks.Open(ctx, answers.Self(), "tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	cancel()
	if _, err := io.ReadAll(stream); err == nil {
		t.Errorf("the opener reads to an end although its context ended")
	}
	if err := <-ended; !errors.Is(err, transport.ErrAborted) {
		t.Errorf("the acceptor reads %v, want aborted", err)
	}
}

func streamLost(t *testing.T, s Suite) {
	accepted, ended := make(chan struct{}), make(chan error, 1)
	asks, answers := s.pair(t, handler{accept: func(_ context.Context, s *transport.Stream) error {
		close(accepted)
		_, err := io.ReadAll(s)
		ended <- err
		return err
	}})
	stream, err := asks.Open(t.Context(), answers.Self(), "tail", nil)
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	_ = answers.Close()
	if _, err := io.ReadAll(stream); !errors.Is(err, transport.ErrLost) {
		t.Errorf("the opener reads %v, want lost", err)
	}
	if err := <-ended; !errors.Is(err, transport.ErrLost) {
		t.Errorf("the acceptor reads %v, want lost", err)
	}
}

func streamLimit(t *testing.T, s Suite) {
	for _, limited := range []string{"asks", "answers"} {
		one, other := config("asks"), config("answers")
		one.MaxStreams, other.MaxStreams = 100, 100
		if limited == "asks" {
			one.MaxStreams = 3
		} else {
			other.MaxStreams = 3
		}
		asks, answers := s.start(t, one, nil), s.start(t, other, echoStream)
		var open []*transport.Stream
		for range 5 {
			if stream, ok := opened(t, asks, answers.Self()); ok {
				open = append(open, stream)
			}
		}
		if len(open) != 3 {
			t.Errorf("limit of %s: %d streams are open, with 3 allowed", limited, len(open))
		}
		for _, stream := range open {
			_ = stream.CloseWrite()
			if got, err := io.ReadAll(stream); string(got) != "x" || err != nil {
				t.Errorf("limit of %s: an open stream reads %q, %v", limited, got, err)
			}
		}
		_, _ = asks.Close(), answers.Close()
	}
}

// opened opens a stream and writes to it, unless it is refused.
func opened(t *testing.T, from transport.Transport, to transport.Peer) (*transport.Stream, bool) {
	t.Helper()
	stream, err := from.Open(t.Context(), to, "echo", nil)
	if err == nil {
		_, err = stream.Write([]byte("x"))
	}
	return stream, err == nil
}

func streamMany(t *testing.T, s Suite) {
	asks, answers := s.pair(t, echoStream)
	var work sync.WaitGroup
	for i := range 20 {
		work.Go(func() {
			stream, err := asks.Open(t.Context(), answers.Self(), "echo", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = stream.Close() }()
			sent := bytes.Repeat([]byte{byte(i)}, 100_000+i)
			var writing sync.WaitGroup
			writing.Go(func() {
				for chunk := range slices.Chunk(sent, 777) {
					if _, err := stream.Write(chunk); err != nil {
						t.Errorf("stream %d: %v", i, err)
					}
				}
				_ = stream.CloseWrite()
			})
			if got, err := io.ReadAll(stream); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("stream %d: %d bytes of %d came back: %v", i, len(got), len(sent), err)
			}
			writing.Wait()
		})
	}
	work.Wait()
}
