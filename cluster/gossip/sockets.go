package gossip

import (
	"context"
	"log"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// maxStreams bounds the connections that a process has open at a time. More are closed at once.
const maxStreams = 128

// listen opens the sockets, or a place on a test's network.
func listen(c Config, logger *log.Logger) (*bounded, error) {
	bind, err := parseAddress("Bind", c.Bind)
	if err != nil {
		return nil, err
	}
	if c.Network != nil {
		e, err := c.Network.listen(bind)
		if err != nil {
			return nil, err
		}
		return newBounded(e, e.dial), nil
	}
	sockets, err := open(bind.Port, func() (*memberlist.NetTransport, error) {
		return memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{bind.IP.String()}, BindPort: bind.Port, Logger: logger,
		})
	})
	if err != nil {
		return nil, err
	}
	return newBounded(sockets, dialTCP), nil
}

// portTries is how many free ports are tried: one that is free for streams may be taken for packets.
const portTries = 10

// open opens sockets, with another port where any will do and the one that the system gave is taken.
func open(port int, sockets func() (*memberlist.NetTransport, error)) (s *memberlist.NetTransport, err error) {
	for try := 1; ; try++ {
		s, err = sockets()
		if err == nil || port != 0 || try == portTries || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			return s, err // memberlist's error wraps none
		}
	}
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// bounded is a transport whose connections are counted, and closed with it:
// memberlist neither bounds them nor closes them at its end.
type bounded struct {
	memberlist.NodeAwareTransport
	dial    func(ctx context.Context, address string) (net.Conn, error)
	streams chan net.Conn
	running context.Context //nolint:containedctx // memberlist's Transport has no context: its dials end with this one
	close   context.CancelFunc
	closed  chan struct{} // no connection comes any more
	accept  sync.WaitGroup
	end     sync.Once

	mu   sync.Mutex
	open map[*stream]bool // nil at the end
}

// stream leaves its transport's list when it is closed.
type stream struct {
	net.Conn
	of *bounded
}

func newBounded(inner memberlist.NodeAwareTransport, dial func(context.Context, string) (net.Conn, error)) *bounded {
	running, closeDials := context.WithCancel(context.Background())
	b := &bounded{
		running: running, close: closeDials,
		NodeAwareTransport: inner,
		dial:               dial,
		streams:            make(chan net.Conn),
		closed:             make(chan struct{}),
		open:               map[*stream]bool{},
	}
	b.accept.Go(b.pass)
	return b
}

// pass hands incoming connections on. The inner transport may wait for it until it is shut down.
func (b *bounded) pass() {
	for {
		select {
		case conn := <-b.NodeAwareTransport.StreamCh():
			if s := b.track(conn); s != nil {
				select {
				case b.streams <- s:
				case <-b.running.Done(): // Shutdown closes it
				}
			}
		case <-b.closed:
			return
		}
	}
}

// track returns nil, and closes the connection, when there are too many or the end has come.
func (b *bounded) track(conn net.Conn) *stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open == nil || len(b.open) >= maxStreams {
		_ = conn.Close()
		return nil
	}
	s := &stream{Conn: conn, of: b}
	b.open[s] = true
	return s
}

// Close ends the connection.
func (s *stream) Close() error {
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}

// StreamCh is where incoming connections come out.
func (b *bounded) StreamCh() <-chan net.Conn { return b.streams }

// DialTimeout connects to an address.
func (b *bounded) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return b.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout connects to an address; Shutdown ends it. The connection has the deadline from the
// start: memberlist writes its label before it sets one.
func (b *bounded) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	deadline := time.Now().Add(timeout)
	ctx, cancel := context.WithDeadline(b.running, deadline)
	defer cancel()
	conn, err := b.dial(ctx, a.Addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		_ = conn.Close()
		return nil, err
	}
	s := b.track(conn)
	if s == nil {
		return nil, net.ErrClosed
	}
	return s, nil
}

// Shutdown closes everything and waits for what listens. It may be called again.
func (b *bounded) Shutdown() (err error) {
	b.end.Do(func() {
		b.close()
		b.closeAll()
		err = b.NodeAwareTransport.Shutdown()
		close(b.closed)
		b.accept.Wait()
	})
	return err
}

func (b *bounded) closeAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.open {
		_ = s.Conn.Close()
	}
	b.open = nil
}
