package transport_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// pipes is a network of connections made in the process, so that their time can be faked. It can stop in silence.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once

	mu    sync.Mutex
	dials []time.Time
	fail  error
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	fail := p.fail
	p.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// wired returns two nodes that are joined by pipes, of which the second serves h.
func wired(t *testing.T, h transport.Handler, change func(*transport.Config)) (asks, answers *transport.Endpoint, net *pipes) {
	t.Helper()
	p := newPipes()
	listener, unused := p, newPipes()
	cfg := func(l *pipes) transport.Config {
		c := transport.Config{Dial: p.dial, Listener: l, Logger: slog.New(slog.DiscardHandler)}
		if change != nil {
			change(&c)
		}
		return c
	}
	asks, answers = twoNodes(t, transport.Listen, cfg(unused), cfg(listener))
	answers.Serve(h)
	return asks, answers, p
}

// mute takes everything and answers nothing.
type mute struct{}

func (mute) Deliver(*transport.Incoming)                           {}
func (mute) Accept(ctx context.Context, _ *transport.Stream) error { <-ctx.Done(); return ctx.Err() }

var pong = answering{&entity.Response{Payload: []byte("pong")}}

func command(remaining time.Duration) *transport.Envelope {
	return &transport.Envelope{Request: entity.Request{Type: "lot", ID: "7", Command: "Bid"}, Remaining: remaining}
}

func wantKind(t *testing.T, what string, a transport.Answer, kind error) {
	t.Helper()
	if !errors.Is(a.Err, kind) {
		t.Errorf("%s: %v, want %v", what, a.Err, kind)
	}
}

// A quiet peer is kept for as long as it lives: pings go both ways.
func TestSlowAnswerIsWaitedForWhileThePeerLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks, answers, _ := wired(t, mute{}, nil)
		began := time.Now()
		a := transport.Ask(t.Context(), asks, answers.Self(), command(20*time.Second))
		wantKind(t, "a peer that never answers", a, entity.ErrUnknownOutcome)
		if took := time.Since(began); took < 20*time.Second || took > 20*time.Second+transport.Tardiness {
			t.Errorf("it took %v, want 20 s and at most %v more", took, transport.Tardiness)
		}
	})
}

// frozen is a connection that stops in silence, as that of a stopped process or behind a cut wire.
type frozen struct {
	net.Conn
	ice chan struct{}
}

func (f frozen) Write(p []byte) (int, error) {
	select {
	case <-f.ice:
		return len(p), nil // into the void
	default:
		return f.Conn.Write(p)
	}
}

func TestSilentPeerFailsItsCallersAfterDeadAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ice := make(chan struct{})
		asks, answers, _ := wired(t, mute{}, func(c *transport.Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				raw, err := dial(ctx, address)
				return frozen{raw, ice}, err
			}
		})
		var told transport.Answer
		var at time.Time
		began := time.Now()
		asks.Send(answers.Self(), command(time.Minute), func(a transport.Answer) { told, at = a, time.Now() })
		time.Sleep(10 * time.Second)
		close(ice) // the peer hears nothing from now on, and gives the connection up
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantKind(t, "a peer behind a cut wire", told, entity.ErrUnknownOutcome)
		if took := at.Sub(began); took < 12*time.Second || took > 13*time.Second+time.Millisecond {
			t.Errorf("it was told after %v, want 3 s after the last ping", took)
		}
	})
}

// The pause after a failure doubles up to its bound, and who sends meanwhile is told at once.
func TestUnreachablePeerIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks, answers, p := wired(t, pong, nil)
		p.refuse(errors.New("connection refused"))
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
			sent := time.Now()
			a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second))
			wantKind(t, "nobody there", a, transport.ErrUnreachable)
			if took := time.Since(sent); took > 0 {
				t.Fatalf("it was told after %v, want at once", took)
			}
		}
		if n := len(p.dials); n < 50 || n > 150 {
			t.Errorf("%d attempts in a minute, want about one a second", n)
		}
		for i, at := range p.dials[1:] {
			pause, most := at.Sub(p.dials[i]), min(25*time.Millisecond<<min(i, 10), time.Second)
			if pause < most/2 || pause > most+5*time.Millisecond {
				t.Errorf("the pause before attempt %d is %v, want %v to %v", i+2, pause, most/2, most)
			}
		}
		p.refuse(nil)
		time.Sleep(time.Second)
		if a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second)); a.Err != nil {
			t.Errorf("when it is back: %v", a.Err)
		}
	})
}

// What was asked while the connection is made fails as unavailable when it cannot be, and not later.
func TestPeerThatDoesNotSayHelloIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := newPipes()
		asks, answers, _ := wired(t, pong, func(c *transport.Config) { c.Dial = silent.dial })
		var work sync.WaitGroup
		work.Go(func() {
			for {
				c, err := silent.Accept()
				if err != nil {
					return
				}
				work.Go(func() { _, _ = io.Copy(io.Discard, c) })
			}
		})
		began := time.Now()
		a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Minute))
		wantKind(t, "a peer that does not say hello", a, transport.ErrUnreachable)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it was told after %v, want 2 s", took)
		}
		_ = asks.Close()
		_ = silent.Close()
		work.Wait()
	})
}

func TestIdleConnectionIsGivenUpAndMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks, answers, p := wired(t, pong, nil)
		for i := range 3 {
			if a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second)); a.Err != nil {
				t.Fatal(a.Err)
			}
			if len(p.dials) != i+1 {
				t.Errorf("%d connections after %d rests, want one more each", len(p.dials), i)
			}
			time.Sleep(30 * time.Second)
			if a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second)); a.Err != nil || len(p.dials) != i+1 {
				t.Errorf("after a short rest: %v, %d connections", a.Err, len(p.dials))
			}
			time.Sleep(2 * time.Minute)
		}
	})
}

// A stream keeps its connection, however quiet.
func TestConnectionWithAStreamIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks, answers, p := wired(t, mute{}, nil)
		s, err := asks.Open(t.Context(), answers.Self(), "tail", nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := s.Write([]byte("x")); err != nil || len(p.dials) != 1 {
			t.Errorf("after 10 min: %v, %d connections", err, len(p.dials))
		}
		_ = s.Close()
	})
}

// stranger speaks the protocol by hand.
type stranger struct {
	t *testing.T
	net.Conn
}

func (p *pipes) stranger(t *testing.T) stranger {
	t.Helper()
	c, err := p.dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return stranger{t, c}
}

func (s stranger) send(m proto.Message) {
	s.t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
		s.t.Errorf("send %T: %v", m, err)
	}
}

func (s stranger) receive(m proto.Message) error {
	var head [4]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(s, b); err != nil {
		return err
	}
	return proto.Unmarshal(b, m)
}

// goodHello is one that twoNodes' nodes accept.
func goodHello() *wirev1.Hello {
	return &wirev1.Hello{
		Protocol: "skerry/transport", MinVersion: 1, MaxVersion: 1, Cluster: "c", Shards: 8,
		Node: "stranger", Address: "nowhere", MaxMessageBytes: 1 << 20,
	}
}

// greet says hello and wants to be welcome.
func (s stranger) greet() stranger {
	s.t.Helper()
	s.send(goodHello())
	var welcome wirev1.Welcome
	if err := s.receive(&welcome); err != nil || welcome.GetRefusal() != "" || welcome.GetVersion() != 1 {
		s.t.Fatalf("welcomed with %v, %v", &welcome, err)
	}
	return s
}

// ended waits until the other side ends the connection, and returns when that was.
func (s stranger) ended() time.Time {
	_, _ = io.Copy(io.Discard, s)
	return time.Now()
}

// Whoever says nothing, or says it slowly, is given up: before the hello, within a frame, between frames.
func TestSlowPeersAreGivenUp(t *testing.T) {
	t.Parallel()
	trickle := func(s stranger, content []byte, every time.Duration) {
		for _, b := range content {
			if _, err := s.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
	hello, _ := proto.Marshal(goodHello())
	for name, test := range map[string]struct {
		greets bool
		attack func(stranger)
		want   time.Duration
	}{
		"no hello":                 {false, func(stranger) {}, 3 * time.Second},
		"a hello that trickles":    {false, func(s stranger) { trickle(s, append([]byte{0, 0, 0, byte(len(hello))}, hello...), time.Second) }, 3 * time.Second},
		"half a header":            {true, func(s stranger) { trickle(s, []byte{0, 0}, 0) }, 3 * time.Second},
		"a header and no frame":    {true, func(s stranger) { trickle(s, []byte{0, 0, 1, 0}, 0) }, 15 * time.Second},
		"a large frame, slowly":    {true, func(s stranger) { trickle(s, []byte{0, 4, 0, 0}, 0); trickle(s, make([]byte, 1000), 2*time.Second) }, 15 * time.Second},
		"one that never says more": {true, func(stranger) {}, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				asks, answers, p := wired(t, pong, nil)
				s := p.stranger(t)
				if test.greets {
					s.greet()
				}
				began := time.Now()
				var work sync.WaitGroup
				work.Go(func() { test.attack(s) })
				if took := s.ended().Sub(began); took != test.want {
					t.Errorf("given up after %v, want %v", took, test.want)
				}
				_ = s.Close()
				work.Wait()
				if a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second)); a.Err != nil {
					t.Errorf("another node is answered %v", a.Err)
				}
			})
		})
	}
}

// A peer that sends and never reads cannot fill the node's memory, nor stop it.
func TestPeerThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asks, answers, p := wired(t, pong, func(c *transport.Config) { c.MaxMessageBytes, c.MaxCallBytes = 64<<10, 1<<20 })
		s := p.stranger(t).greet()
		began := time.Now()
		envelopes := &wirev1.Frame{}
		for i := range 1000 {
			envelopes.Envelopes = append(envelopes.Envelopes, &wirev1.Envelope{Number: uint64(i), RemainingNs: 1e9, Type: "lot", Id: "7"})
		}
		b, _ := proto.Marshal(envelopes)
		b = append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
		sent := 0
		for ; sent < 100_000; sent++ {
			if _, err := s.Write(b); err != nil {
				break
			}
		}
		if took := time.Since(began); sent == 100_000 || took > 0 {
			t.Errorf("%d frames were taken in %v", sent, took)
		}
		if a := transport.Ask(t.Context(), asks, answers.Self(), command(time.Second)); a.Err != nil {
			t.Errorf("another node is answered %v", a.Err)
		}
	})
}

// stubborn serves streams until it is released, whatever becomes of them.
type stubborn struct {
	serving *gauge
	release chan struct{}
}

func (stubborn) Deliver(in *transport.Incoming) { pong.Deliver(in) }

func (s stubborn) Accept(context.Context, *transport.Stream) error {
	s.serving.add(1)
	defer s.serving.add(-1)
	<-s.release
	return nil
}

// patient answers commands, and waits in streams without reading.
type patient struct{}

func (patient) Deliver(in *transport.Incoming) { pong.Deliver(in) }

func (patient) Accept(ctx context.Context, _ *transport.Stream) error {
	<-ctx.Done()
	return nil
}

// talkative writes streams as fast as it may.
type talkative struct{}

func (talkative) Deliver(in *transport.Incoming) { pong.Deliver(in) }

func (talkative) Accept(_ context.Context, s *transport.Stream) error {
	_, err := s.Write(make([]byte, transport.StreamWindow/2))
	return err
}

// What a stream has ready does not hold an answer up: it comes after 64 KiB of it, not after all.
func TestAnswersOvertakeStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, p := wired(t, talkative{}, nil)
		s := p.stranger(t).greet()
		s.send(&wirev1.Frame{Parts: []*wirev1.Part{{Stream: 1, Kind: wirev1.PartKind_PART_KIND_OPEN, Credit: transport.StreamWindow}}})
		bytes, asked := 0, false
		for {
			synctest.Wait() // all that the stream may send is ready, and part of it being written
			var f wirev1.Frame
			if err := s.receive(&f); err != nil {
				t.Fatal(err)
			}
			if len(f.GetAnswers()) > 0 {
				break
			}
			for _, part := range f.GetParts() {
				bytes += len(part.GetData())
			}
			if bytes > 0 && !asked {
				asked = true
				s.send(&wirev1.Frame{Envelopes: []*wirev1.Envelope{{Number: 1, Type: "lot", Id: "7", RemainingNs: 1e9}}})
			}
		}
		if bytes == 0 || bytes > 160<<10 {
			t.Errorf("the answer came after %d bytes of a stream", bytes)
		}
		_ = s.Close()
	})
}
