package gossip

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// Network is a network in memory: the twin of sockets, for tests. It can be cut, in one
// direction too, can lose and delay; what is cut dies silently, as when a process is killed with its machine,
// paused, or behind a partition. A process that is closed refuses connections instead.
// It starts no goroutine that outlives a call or a delay, so it works inside testing/synctest.
//
// A Network is safe for concurrent use.
type Network struct {
	link Link

	mu    sync.Mutex
	ports int
	cut   map[[2]string]bool
	ends  map[string]*end // by address
	sent  map[string]Traffic
}

// Link decides about one packet, or one piece of a stream, from one address to another:
// how late it comes, and whether at all. It is called from many goroutines.
type Link func(from, to string) (delay time.Duration, passes bool)

// Traffic counts what one address has sent.
type Traffic struct {
	Packets, Streams, Bytes int
}

const (
	// maxQueue bounds what waits at an address; more packets are lost, more connections refused.
	maxQueue = 256
	// resendAfter is how long a stream waits for what was lost.
	resendAfter = 200 * time.Millisecond
	// firstPort is the port that the first listener on port 0 gets.
	firstPort = 10001
)

// NewNetwork makes a network. A nil link passes everything at once.
func NewNetwork(link Link) *Network {
	if link == nil {
		link = func(string, string) (time.Duration, bool) { return 0, true }
	}
	return &Network{link: link, ports: firstPort, cut: map[[2]string]bool{}, ends: map[string]*end{}, sent: map[string]Traffic{}}
}

// Cut lets nothing through from one address to another, until [Network.Mend].
func (n *Network) Cut(from, to string) { n.set(from, to, true) }

// Mend undoes a Cut.
func (n *Network) Mend(from, to string) { n.set(from, to, false) }

func (n *Network) set(from, to string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut {
		n.cut[[2]string{from, to}] = true
		return
	}
	delete(n.cut, [2]string{from, to})
}

// Sent is what an address has sent so far.
func (n *Network) Sent(address string) Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent[address]
}

// Inject sends a packet as if it came from an address.
func (n *Network) Inject(from, to string, packet []byte) { n.packet(from, to, packet) }

// Dial connects to an address as if from another one. Where nothing passes it waits until ctx ends.
func (n *Network) Dial(ctx context.Context, from, to string) (net.Conn, error) {
	if err := n.carry(from, to, ctx.Done()); err != nil {
		return nil, dialError(to, os.ErrDeadlineExceeded)
	}
	target := n.at(to)
	if target == nil {
		return nil, dialError(to, syscall.ECONNREFUSED)
	}
	n.count(from, Traffic{Streams: 1})
	near, far := net.Pipe()
	select {
	case target.streams <- newPipe(far, n, to, from):
		return newPipe(near, n, from, to), nil
	default:
		return nil, dialError(to, syscall.ECONNREFUSED)
	}
}

// carry waits until a piece of a stream is through: like TCP it sends a lost one again.
func (n *Network) carry(from, to string, ended <-chan struct{}) error {
	for {
		delay, passes := n.fate(from, to)
		if passes {
			return wait(delay, ended)
		}
		if err := wait(resendAfter, ended); err != nil {
			return err
		}
	}
}

// wait lets a delay pass, or returns an error because something ended before.
func wait(delay time.Duration, ended <-chan struct{}) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return net.ErrClosed
	}
}

func dialError(to string, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: err}
}

func (n *Network) fate(from, to string) (time.Duration, bool) {
	n.mu.Lock()
	cut := n.cut[[2]string{from, to}]
	n.mu.Unlock()
	if cut {
		return 0, false
	}
	return n.link(from, to)
}

func (n *Network) at(address string) *end {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ends[address]
}

func (n *Network) count(from string, more Traffic) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.sent[from]
	n.sent[from] = Traffic{t.Packets + more.Packets, t.Streams + more.Streams, t.Bytes + more.Bytes}
}

func (n *Network) packet(from, to string, b []byte) {
	n.count(from, Traffic{Packets: 1, Bytes: len(b)})
	delay, passes := n.fate(from, to)
	if !passes {
		return
	}
	p := &memberlist.Packet{Buf: append([]byte(nil), b...), From: address(from)}
	if delay <= 0 {
		n.deliver(to, p)
		return
	}
	time.AfterFunc(delay, func() { n.deliver(to, p) })
}

func (n *Network) deliver(to string, p *memberlist.Packet) {
	target := n.at(to)
	if target == nil {
		return
	}
	p.Timestamp = time.Now()
	select {
	case target.packets <- p:
	default: // full, so lost: as a socket's buffer would
	}
}

// listen takes an address that is free.
func (n *Network) listen(bind *net.TCPAddr) (*end, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	port := bind.Port
	if port == 0 {
		port = n.ports
		n.ports++
	}
	at := net.JoinHostPort(bind.IP.String(), strconv.Itoa(port))
	if n.ends[at] != nil {
		return nil, fmt.Errorf("%s: address already in use", at)
	}
	e := &end{
		network: n, address: at, ip: bind.IP, port: port,
		packets: make(chan *memberlist.Packet, maxQueue), streams: make(chan net.Conn, maxQueue),
	}
	n.ends[at] = e
	return e, nil
}

// end is the transport of one process.
type end struct {
	network *Network
	address string
	ip      net.IP
	port    int
	packets chan *memberlist.Packet
	streams chan net.Conn
}

var _ memberlist.NodeAwareTransport = (*end)(nil)

// FinalAdvertiseAddr is what others are told.
func (e *end) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	if given := net.ParseIP(ip); given != nil {
		return given, port, nil
	}
	return e.ip, e.port, nil
}

// WriteTo sends a packet.
func (e *end) WriteTo(b []byte, to string) (time.Time, error) {
	e.network.packet(e.address, to, b)
	return time.Now(), nil
}

// WriteToAddress sends a packet.
func (e *end) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return e.WriteTo(b, a.Addr)
}

// PacketCh is where packets come out.
func (e *end) PacketCh() <-chan *memberlist.Packet { return e.packets }

func (e *end) dial(ctx context.Context, to string) (net.Conn, error) {
	return e.network.Dial(ctx, e.address, to)
}

// DialTimeout connects.
func (e *end) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return e.dial(ctx, to)
}

// DialAddressTimeout connects.
func (e *end) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return e.DialTimeout(a.Addr, timeout)
}

// StreamCh is where incoming connections come out.
func (e *end) StreamCh() <-chan net.Conn { return e.streams }

// Shutdown frees the address. Connections that nobody took are closed.
func (e *end) Shutdown() error {
	e.network.mu.Lock()
	delete(e.network.ends, e.address)
	e.network.mu.Unlock()
	for {
		select {
		case conn := <-e.streams:
			_ = conn.Close()
		default:
			return nil
		}
	}
}

// pipe is one side of a stream.
type pipe struct {
	net.Conn
	network  *Network
	from, to string
	open     context.Context //nolint:containedctx // net.Conn has no context: writes end with this one, at Close
	end      context.CancelFunc

	mu       sync.Mutex
	deadline time.Time // zero: none
}

func newPipe(conn net.Conn, n *Network, from, to string) *pipe {
	open, end := context.WithCancel(context.Background())
	return &pipe{Conn: conn, network: n, from: from, to: to, open: open, end: end}
}

// Write sends a piece. It returns when the other side has read it, or at the deadline.
func (p *pipe) Write(b []byte) (int, error) {
	p.network.count(p.from, Traffic{Bytes: len(b)})
	ctx, cancel := p.limited()
	defer cancel()
	if err := p.network.carry(p.from, p.to, ctx.Done()); err != nil {
		return 0, &net.OpError{Op: "write", Net: "tcp", Addr: address(p.to), Err: os.ErrDeadlineExceeded}
	}
	return p.Conn.Write(b)
}

func (p *pipe) limited() (context.Context, context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deadline.IsZero() {
		return p.open, func() {}
	}
	return context.WithDeadline(p.open, p.deadline)
}

// SetDeadline bounds reads and writes from now on.
func (p *pipe) SetDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	return p.Conn.SetDeadline(t)
}

// Close ends the stream.
func (p *pipe) Close() error {
	p.end()
	return p.Conn.Close()
}

// LocalAddr is that of this side.
func (p *pipe) LocalAddr() net.Addr { return address(p.from) }

// RemoteAddr is that of the other side.
func (p *pipe) RemoteAddr() net.Addr { return address(p.to) }

// address is one of the network's.
type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }
