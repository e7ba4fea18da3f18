package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// relay takes connections at one address and passes what they carry on to another, both ways. An address that begins
// with / is a Unix socket: those are reached from any network namespace. Its methods may be called concurrently.
type relay struct {
	listener net.Listener
	target   string
	cut      atomic.Bool
	delay    atomic.Int64
	working  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil when it is closed
}

func networkOf(address string) string {
	if strings.HasPrefix(address, "/") {
		return "unix"
	}
	return "tcp"
}

func startRelay(address, target string) (*relay, error) {
	l, err := net.Listen(networkOf(address), address)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, target: target, open: map[net.Conn]bool{}}
	r.working.Go(r.accept)
	return r, nil
}

// sever ends all connections, and those that come, until it is mended.
func (r *relay) sever(severed bool) {
	r.cut.Store(severed)
	if !severed {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close()
	}
}

// late holds up whatever comes by so much.
func (r *relay) late(by time.Duration) { r.delay.Store(int64(by)) }

func (r *relay) stop() {
	_ = r.listener.Close()
	r.sever(true)
	r.mu.Lock()
	r.open = nil
	r.mu.Unlock()
	r.working.Wait()
}

func (r *relay) accept() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.working.Go(func() { r.pass(from) })
	}
}

func (r *relay) pass(from net.Conn) {
	defer func() { _ = from.Close() }()
	if r.cut.Load() {
		return
	}
	to, err := net.DialTimeout(networkOf(r.target), r.target, 2*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	if !r.keep(from, to) {
		return
	}
	defer r.forget(from, to)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			defer func() { _, _ = way[0].Close(), way[1].Close() }()
			r.copy(way[1], way[0])
		})
	}
	both.Wait()
}

func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil || r.cut.Load() {
		return false
	}
	for _, c := range conns {
		r.open[c] = true
	}
	return true
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.open, c)
	}
}

func (r *relay) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if d := time.Duration(r.delay.Load()); d > 0 {
			time.Sleep(d)
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// relayMain is a program of relays, for a network namespace: each argument is ADDRESS=TARGET. It ends with its standard input.
func relayMain() {
	for _, pair := range os.Args[1:] {
		address, target, _ := strings.Cut(pair, "=")
		if _, err := startRelay(address, target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
