package transport_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// A peer that stops in silence is told of each second, from the first one on, until its connection is given up.
func TestSilenceIsToldBeforeTheConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ice, w := make(chan struct{}), &watched{}
		asks, answers, _ := wired(t, mute{}, func(c *transport.Config) {
			dial := c.Dial
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				raw, err := dial(ctx, address)
				return frozen{raw, ice}, err
			}
			c.Silent, c.Gone = w.note("is silent"), w.note("is gone")
		})
		asks.Send(answers.Self(), command(time.Minute), func(transport.Answer) {})
		time.Sleep(10*time.Second + 10*time.Millisecond) // just after a ping
		w.began = time.Now()
		close(ice)
		time.Sleep(2900 * time.Millisecond)
		if got := w.all(); got != "1s asks is silent, 2s asks is silent" {
			t.Errorf("who hears nothing is told: %q", got)
		}
	})
}

// A peer whose connections do not last is connected to a few times, and then only as often as its pause allows.
func TestPeerThatBreaksEachConnectionIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		flaky := newPipes()
		asks, err := transport.Listen(transport.Config{Node: "near", Cluster: "c", Shards: 8, Listener: newPipes(), Dial: flaky.dial, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for c, err := flaky.Accept(); err == nil; c, err = flaky.Accept() {
				s := stranger{t, c}
				if s.receive(&wirev1.Hello{}) == nil {
					s.send(&wirev1.Welcome{Self: goodHello(), Version: 1})
				}
				_ = c.Close()
			}
		}()
		asks.Send(transport.Peer{Node: "stranger", Address: "nowhere"}, command(time.Minute), func(transport.Answer) {})
		time.Sleep(time.Minute)
		_, _ = asks.Close(), flaky.Close()
		if n := len(flaky.dials); n < 2 || n > 5 {
			t.Errorf("%d connections in a minute in which nobody sends, want the first and a few looks", n)
		}
	})
}
