package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// tcp makes and takes the connections of an endpoint.
type tcp struct {
	t        *Endpoint
	cfg      *Config
	listener net.Listener
	secure   *secure

	mu sync.Mutex
	// hellos are the connections that have not said who they are, oldest first.
	hellos []net.Conn
}

// Listen starts a transport over TCP. It listens when Listen returns; [Endpoint.Close] ends it.
func Listen(cfg Config) (*Endpoint, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &tcp{listener: cfg.Listener}
	if cfg.TLS != nil {
		if n.secure, err = newSecure(*cfg.TLS, cfg.Logger); err != nil {
			return nil, err
		}
	}
	if n.listener == nil {
		if err := cfg.checkExposure(); err != nil {
			return nil, err
		}
		if n.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("transport: listen: %w", err)
		}
	}
	n.t = newEndpoint(cfg, advertised(cfg.Advertise, n.listener.Addr().String()))
	n.cfg = &n.t.cfg
	n.t.reach, n.t.leave = n.reach, n.leave
	n.t.work.Go(n.accept)
	if n.secure != nil {
		n.t.work.Go(n.watchFiles)
	}
	return n.t, nil
}

// watchFiles takes in new certificates and authorities.
func (n *tcp) watchFiles() {
	for pause(n.t.life, ReloadEvery) {
		n.secure.look(time.Now())
		now := n.secure.current()
		n.t.review(func(m medium) (current bool, distrusted error) {
			w, ok := m.(*wire)
			if !ok || w.by == now {
				return true, nil
			}
			if w.judged != now {
				w.judged, w.verdict = now, n.secure.verify(now, w.chain())
			}
			return false, w.verdict
		})
	}
}

// checkExposure refuses to listen for the world without TLS.
func (c *Config) checkExposure() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("transport: Config.Listen is %q: give HOST:PORT: %w", c.Listen, err)
	}
	if ip := net.ParseIP(host); c.TLS != nil || c.Plain || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("transport: Config.Listen is %q, beyond loopback, and whoever reaches it could send commands: give Config.TLS, or Config.Plain where the network is trusted", c.Listen)
}

// advertised is what peers are told: the wish, with the real port where it leaves that open.
func advertised(wish, bound string) string {
	if wish == "" {
		return bound
	}
	host, port, err := net.SplitHostPort(wish)
	if err != nil || port != "0" {
		return wish
	}
	_, port, _ = net.SplitHostPort(bound)
	return net.JoinHostPort(host, port)
}

// leave ends the listener and all that has not said who it is.
func (n *tcp) leave() error {
	err := n.listener.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, raw := range n.hellos {
		_ = raw.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// reach makes a connection to a peer and says hello. ctx bounds all of it.
func (n *tcp) reach(ctx context.Context, to Peer) (medium, introduction, error) {
	raw, err := n.dial(ctx, to.Address)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, introduction{}, fmt.Errorf("%w: %w", ErrGone, err)
	case err != nil:
		return nil, introduction{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	w, with, err := n.greet(ctx, raw, to)
	if err == nil && !stop() {
		err = fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
	}
	if err != nil {
		_ = raw.Close()
		return nil, introduction{}, err
	}
	return w, with, nil
}

func (n *tcp) dial(ctx context.Context, address string) (net.Conn, error) {
	if n.cfg.Dial != nil {
		return n.cfg.Dial(ctx, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// greet proves both sides of a connection to each other.
func (n *tcp) greet(ctx context.Context, raw net.Conn, to Peer) (*wire, introduction, error) {
	if at, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(at)
	}
	secured, by, err := n.secure.client(ctx, raw)
	if err != nil {
		return nil, introduction{}, fmt.Errorf("%w: TLS with %s: %w", ErrRefused, to, err)
	}
	with, err := n.cfg.greet(secured, n.t.self, to)
	var alert *net.OpError
	switch {
	case errors.As(err, &alert) && alert.Op == "remote error": // so TLS 1.3 tells that our certificate is refused
		return nil, introduction{}, fmt.Errorf("%w by %s: TLS: %w: our certificate is not one that its CAFile allows", ErrRefused, to, alert)
	case err != nil && !errors.Is(err, ErrUnreachable) && n.secure != nil:
		return nil, introduction{}, fmt.Errorf("%w: hello to %s, perhaps because our certificate is not one that its CAFile allows: %w", ErrUnreachable, to, err)
	case err != nil && !errors.Is(err, ErrUnreachable):
		return nil, introduction{}, fmt.Errorf("%w: hello to %s: %w", ErrUnreachable, to, err)
	case err != nil:
		return nil, introduction{}, err
	}
	_ = secured.SetDeadline(time.Time{})
	return &wire{cfg: n.cfg, raw: secured, by: by}, with, nil
}

// accept takes in connections until the transport is closed.
func (n *tcp) accept() {
	for {
		raw, err := n.listener.Accept()
		switch {
		case err == nil:
			n.admit(raw)
		case n.t.life.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			n.t.logs.say(n.cfg.Logger, "no connection can be accepted; trying again", "error", err.Error())
			if !pause(n.t.life, acceptPause) {
				return
			}
		}
	}
}

// acceptPause is how long a node that has no file descriptors left waits for one.
const acceptPause = 50 * time.Millisecond

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admit gives a connection its place among those that have not said who they are. If there are too many the oldest
// goes: a node says hello within milliseconds, so who floods hurts only itself.
func (n *tcp) admit(raw net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.t.life.Err() != nil {
		_ = raw.Close()
		return
	}
	if len(n.hellos) >= n.cfg.MaxHellos {
		_ = n.hellos[0].Close()
		n.hellos = slices.Delete(n.hellos, 0, 1)
	}
	n.hellos = append(n.hellos, raw)
	n.t.work.Go(func() { n.welcome(raw) })
}

// welcome serves a connection that a peer made, to its end.
func (n *tcp) welcome(raw net.Conn) {
	w, with, err := n.introduce(raw)
	if !n.introduced(raw) && err == nil {
		err = fmt.Errorf("%w: it was the oldest of many that had not said who they are", ErrRefused)
	}
	if err == nil {
		err = n.t.serve(w, with)
	}
	_ = raw.Close()
	if err != nil && n.t.life.Err() == nil {
		n.t.logs.say(n.cfg.Logger, "a connection is refused", "from", raw.RemoteAddr().String(), "error", err.Error())
	}
}

// introduce learns who made a connection.
func (n *tcp) introduce(raw net.Conn) (*wire, introduction, error) {
	_ = raw.SetDeadline(time.Now().Add(n.cfg.HelloTimeout))
	secured, by, err := n.secure.server(n.t.life, raw)
	if err != nil {
		return nil, introduction{}, fmt.Errorf("%w: TLS: %w", ErrRefused, err)
	}
	with, err := n.cfg.receive(secured, n.t.self)
	if err != nil {
		return nil, introduction{}, err
	}
	_ = secured.SetDeadline(time.Time{})
	return &wire{cfg: n.cfg, raw: secured, by: by}, with, nil
}

// introduced takes a connection from those that have not said who they are. It returns false if it was thrown out.
func (n *tcp) introduced(raw net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := slices.Index(n.hellos, raw)
	if at >= 0 {
		n.hellos = slices.Delete(n.hellos, at, at+1)
	}
	return at >= 0
}
