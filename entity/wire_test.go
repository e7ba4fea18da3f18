package entity_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// wire stands between the driver and a node, on the node's own address (the driver dials the addresses that nodes
// tell of themselves), and counts what passes.
type wire struct {
	listener net.Listener
	target   string
	group    sync.WaitGroup
	queries  atomic.Int64
	bytes    atomic.Int64

	mu   sync.Mutex
	open []net.Conn
}

// wireCount is how many statements were sent, and the bytes of the answers.
type wireCount struct {
	Queries, Bytes int
}

func (c wireCount) less(before wireCount) wireCount {
	return wireCount{c.Queries - before.Queries, c.Bytes - before.Bytes}
}

func startWire(t *testing.T, target string) *wire {
	t.Helper()
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, target: target}
	w.group.Go(w.accept)
	t.Cleanup(w.stop)
	return w
}

func (w *wire) address() string { return w.listener.Addr().String() }

func (w *wire) count() wireCount { return wireCount{int(w.queries.Load()), int(w.bytes.Load())} }

// awaitQuiet returns when nothing has passed for many looks.
func (w *wire) awaitQuiet(t *testing.T) {
	t.Helper()
	const looks = 100
	last, same := w.count(), 0
	eventually(t, "the wire is quiet", func() bool {
		now := w.count()
		if same++; now != last {
			last, same = now, 0
		}
		return same >= looks
	})
}

func (w *wire) stop() {
	_ = w.listener.Close()
	w.mu.Lock()
	for _, conn := range w.open {
		_ = conn.Close()
	}
	w.mu.Unlock()
	w.group.Wait()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.open = append(w.open, client, server)
		w.mu.Unlock()
		w.group.Go(func() { w.pass(server, client, w.request) })
		w.group.Go(func() { w.pass(client, server, w.answer) })
	}
}

// Opcodes of the CQL native protocol.
const (
	opQuery   = 0x07
	opResult  = 0x08
	opExecute = 0x0a
	opBatch   = 0x0d
)

func (w *wire) request(opcode byte, _ int) {
	if opcode == opQuery || opcode == opExecute || opcode == opBatch {
		w.queries.Add(1)
	}
}

func (w *wire) answer(opcode byte, size int) {
	if opcode == opResult {
		w.bytes.Add(int64(size))
	}
}

// pass passes on whole frames until either side ends.
func (w *wire) pass(to, from net.Conn, seen func(opcode byte, size int)) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	for {
		var head [9]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		frame := make([]byte, len(head)+int(binary.BigEndian.Uint32(head[5:])))
		copy(frame, head[:])
		if _, err := io.ReadFull(from, frame[len(head):]); err != nil {
			return
		}
		seen(frame[4], len(frame))
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}
