package cassandra

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between the driver and one node, on the node's own address (the
// driver dials the addresses that nodes tell of themselves) and another port. While it is
// unkind it delays, drops and cuts answers after the node did the work.
type proxy struct {
	listener net.Listener
	target   string
	unkind   atomic.Bool
	group    sync.WaitGroup

	mu     sync.Mutex
	seen   func(frame []byte) // is shown each answer before the client gets it, if it is not nil
	random *rand.Rand
	open   map[net.Conn]bool
	done   spoilt
}

// spoilt counts answers that were dropped and delayed, and connections that were cut.
type spoilt struct{ dropped, cut, delayed int }

// startProxy starts a proxy before a node, on that port; 0 for a free one.
func startProxy(t testing.TB, target string, port int, seed uint64) *proxy {
	t.Helper()
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, random: rand.New(rand.NewPCG(seed, 2)), open: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// watch shows f all answers from now on.
func (p *proxy) watch(f func(frame []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = f
}

func (p *proxy) show(frame []byte) {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	if seen != nil {
		seen(frame)
	}
}

func (p *proxy) spoilt() spoilt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.group.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.open[client], p.open[server] = true, true
		p.mu.Unlock()
		both := func() { _ = client.Close(); _ = server.Close() }
		p.group.Go(func() { defer both(); _, _ = io.Copy(server, client) })
		p.group.Go(func() {
			defer both()
			defer p.forget(client, server)
			p.answers(client, server)
		})
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.open, conn)
	}
}

type verdict int

const (
	pass verdict = iota
	drop1
	cut
	delay
)

// judge decides over one answer.
func (p *proxy) judge(opcode byte) (verdict, time.Duration) {
	const opResult = 0x08
	if !p.unkind.Load() || opcode != opResult {
		return pass, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := p.random.IntN(1000); {
	case n < 40:
		p.done.dropped++
		return drop1, 0
	case n < 50:
		p.done.cut++
		return cut, 0
	case n < 150:
		p.done.delayed++
		return delay, time.Duration(p.random.Int64N(int64(30 * time.Millisecond)))
	}
	return pass, 0
}

// answers passes on the node's frames, one by one. A delay holds up those behind as well.
func (p *proxy) answers(client io.Writer, server io.Reader) {
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
		p.show(frame)
		what, wait := p.judge(header[4])
		switch what {
		case drop1:
			continue
		case cut:
			return
		case delay:
			time.Sleep(wait)
		}
		if _, err := client.Write(frame); err != nil {
			return
		}
	}
}
