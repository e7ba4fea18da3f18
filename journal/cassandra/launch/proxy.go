package launch

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Faults says how often a Proxy spoils an answer: each field is a chance in a thousand,
// and together they are at most 1,000.
type Faults struct {
	// Drop swallows the answer: the driver waits until its timeout.
	Drop int
	// Cut closes the connection instead, so all answers under way on it are lost.
	Cut int
	// Delay holds the answer, and those behind it, for up to 30 ms.
	Delay int
}

const (
	maxDelay     = 30 * time.Millisecond
	dialPatience = 5 * time.Second // a node that is paused takes no connection
)

// Proxy stands between a driver and one node, on the node's own address (the driver dials
// the addresses that nodes tell of themselves) and another port. While it is unkind it
// spoils answers, after the node did the work. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener
	target   string
	faults   Faults
	unkind   atomic.Bool
	group    sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	open    map[net.Conn]bool
	stopped bool
	done    Faults
}

// NewProxy starts a proxy before the node at target. It is kind at first.
func NewProxy(target string, seed uint64, faults Faults) (*Proxy, error) {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		return nil, fmt.Errorf("launch: proxy: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("launch: proxy: %w", err)
	}
	p := &Proxy{listener: l, target: target, faults: faults, random: rand.New(rand.NewPCG(seed, 2)), open: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	return p, nil
}

// Address is where the driver connects to.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Spoil makes the proxy unkind, or kind again.
func (p *Proxy) Spoil(unkind bool) { p.unkind.Store(unkind) }

// Spoilt counts what was done to answers so far.
func (p *Proxy) Spoilt() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Stop closes all connections and returns when nothing runs any more.
func (p *Proxy) Stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.stopped = true
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		dialer := net.Dialer{Timeout: dialPatience}
		server, err := dialer.DialContext(context.Background(), "tcp", p.target)
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			continue
		}
		both := func() { _ = client.Close(); _ = server.Close() }
		p.group.Go(func() { defer both(); _, _ = io.Copy(server, client) })
		p.group.Go(func() {
			defer both()
			defer p.forget(client, server)
			p.answers(client, server)
		})
	}
}

// keep notes connections, so that Stop can end them; false once it has.
func (p *Proxy) keep(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		_ = server.Close()
		return false
	}
	p.open[client], p.open[server] = true, true
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.open, conn)
	}
}

type verdict int

const (
	pass verdict = iota
	drop
	cut
	delay
)

// judge decides over one answer.
func (p *Proxy) judge(opcode byte) (verdict, time.Duration) {
	const opResult = 0x08
	if !p.unkind.Load() || opcode != opResult {
		return pass, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := p.random.IntN(1000); {
	case n < p.faults.Drop:
		p.done.Drop++
		return drop, 0
	case n < p.faults.Drop+p.faults.Cut:
		p.done.Cut++
		return cut, 0
	case n < p.faults.Drop+p.faults.Cut+p.faults.Delay:
		p.done.Delay++
		return delay, time.Duration(p.random.Int64N(int64(maxDelay)))
	}
	return pass, 0
}

// answers passes on the node's frames of CQL, one by one.
func (p *Proxy) answers(client io.Writer, server io.Reader) {
	for {
		var header [9]byte
		if _, err := io.ReadFull(server, header[:]); err != nil {
			return
		}
		frame := make([]byte, 9+binary.BigEndian.Uint32(header[5:]))
		copy(frame, header[:])
		if _, err := io.ReadFull(server, frame[9:]); err != nil {
			return
		}
		what, wait := p.judge(header[4])
		switch what {
		case drop:
			continue
		case cut:
			return
		case delay:
			time.Sleep(wait)
		case pass:
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}
