package gossip_test

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/gossip"
)

// hostileMessages are made to break a reader: noise behind each type of memberlist's, with and without
// its label, cut and stretched, and well-formed messages with absurd fields.
func hostileMessages(r *rand.Rand) [][]byte {
	var list [][]byte
	for kind := range 256 {
		for _, size := range []int{0, 1, 3, 40, 1400} {
			noise := make([]byte, size)
			for i := range noise {
				noise[i] = byte(r.Uint32())
			}
			list = append(list, append([]byte{byte(kind)}, noise...))
		}
	}
	const alive, pushPull, compound, user, compressed, suspect = 4, 6, 7, 8, 9, 2
	absurd := []any{-1, 0, 1 << 30, uint64(1 << 63), "", strings.Repeat("x", 600), []byte(nil), []byte{1}, make([]byte, 600)}
	for _, a := range absurd {
		for _, b := range absurd {
			list = append(list,
				message(alive, "Incarnation", 1, "Node", a, "Addr", b, "Port", a, "Meta", b, "Vsn", a),
				message(alive, "Incarnation", b, "Node", "ghost", "Addr", []byte{10, 0, 0, 9}, "Port", 1, "Meta", a, "Vsn", []byte{1, 5, 2, 0, 0, 0}),
				message(suspect, "Incarnation", a, "Node", b, "From", a),
				append(message(pushPull, "Nodes", a, "UserStateLen", b, "Join", true), packed("Name", a, "Addr", b, "State", a)...),
				append(message(pushPull, "Nodes", 1, "UserStateLen", 0, "Join", true), packed("Name", "ghost", "Addr", a, "State", 0, "Vsn", b)...),
				message(user, "UserMsgLen", a),
				message(compressed, "Algo", 0, "Buf", a),
			)
		}
	}
	list = append(list, []byte{compound, 255}, []byte{compound, 2, 0, 1, 255, 255, 0}, []byte{})
	for _, m := range list[:len(list):len(list)] {
		list = append(list, append([]byte("\xf4\x06skerry"), m...))
	}
	return append(list, []byte("\xf4"), []byte("\xf4\x00"), []byte("\xf4\xffshort"))
}

// message is one of memberlist's: a type, then a map in msgpack.
func message(kind byte, fields ...any) []byte { return append([]byte{kind}, packed(fields...)...) }

func packed(fields ...any) []byte {
	b := []byte{0x80 | byte(len(fields)/2)}
	for _, f := range fields {
		switch v := f.(type) {
		case string:
			b = append(binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(v))), v...)
		case []byte:
			b = append(binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(len(v))), v...)
		case int:
			b = binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
		case uint64:
			b = binary.BigEndian.AppendUint64(append(b, 0xcf), v)
		case bool:
			b = append(b, 0xc3)
		}
	}
	return b
}

func TestHostilePacketsAndStreamsHarmNobody(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]func(*testing.T) *gossip.Keys{
		"without keys": func(*testing.T) *gossip.Keys { return nil },
		"with keys":    func(t *testing.T) *gossip.Keys { return ring(t, key('a')) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T) { attack(t, keys) })
		})
	}
}

func attack(t *testing.T, keys func(*testing.T) *gossip.Keys) {
	const attacker = "10.0.0.66:666"
	network := gossip.NewNetwork(nil)
	config := configOf(network, 1)
	config.Keys = keys(t)
	victim := start(t, config)
	for i, m := range hostileMessages(rand.New(rand.NewPCG(1, 1))) {
		network.Inject(attacker, victim.Address(), m)
		if i%4 == 0 {
			stream(t, network, attacker, victim.Address(), m)
		}
		synctest.Wait() // it has been read
	}
	if keys(t) == nil && !strings.Contains(victim.log.String(), "ignoring alive message") {
		t.Errorf("no hostile message got as far as to be refused:\n%s", victim.log)
	}
	config = configOf(network, 2)
	config.Keys = keys(t)
	friend := start(t, config)
	if _, err := friend.Join(context.Background(), []string{victim.Address()}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*process{victim, friend} {
		p.await(t, "two members and nobody else", func(m cluster.Membership) bool { return len(m.Members) == 2 })
	}
	if lines := strings.Count(victim.log.String(), "\n"); lines > 110 {
		t.Errorf("the attack wrote %d lines into the log", lines)
	}
}

// stream sends a message over a connection and waits until the victim closes it.
func stream(t *testing.T, network *gossip.Network, from, to string, m []byte) {
	t.Helper()
	conn, err := network.Dial(context.Background(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Write(m)
	_, _ = io.Copy(io.Discard, conn)
}

// TestStreamsThatSayNothingAreBounded: half-open connections neither keep others out for
// longer than the time limit of a stream, nor add up.
func TestStreamsThatSayNothingAreBounded(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		network := gossip.NewNetwork(nil)
		victim := start(t, configOf(network, 1))
		for range 200 {
			conn, err := network.Dial(context.Background(), "10.0.0.66:666", victim.Address())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			time.Sleep(time.Millisecond)
		}
		friend := start(t, configOf(network, 2))
		if _, err := friend.Join(context.Background(), []string{victim.Address()}); err == nil {
			t.Error("the friend joined although all streams are taken: there is no bound")
		}
		friend.await(t, "the friend is let in after all", func(m cluster.Membership) bool { return len(m.Members) == 2 })
	})
}

// realPatience bounds what real sockets are waited for.
const realPatience = 3 * time.Minute

// TestRealSockets is what the memory network cannot tell: ports, packets and streams of the system.
func TestRealSockets(t *testing.T) {
	t.Parallel()
	open := func(i int) *process {
		c := configOf(nil, i)
		c.Bind, c.Keys, c.StreamTimeout = "", ring(t, key('a')), time.Minute
		c.ProbeInterval, c.ProbeTimeout = 2*time.Second, time.Second // a machine that is slow is missed no sooner
		return start(t, c)
	}
	first, second := open(1), open(2)
	if host, port, err := net.SplitHostPort(first.Address()); err != nil || host != "127.0.0.1" || port == "0" {
		t.Errorf("it listens on %s; want a port on loopback", first.Address())
	}
	garble(t, first.Address())
	byName := "localhost" + first.Address()[strings.LastIndex(first.Address(), ":"):]
	if n, err := second.Join(context.Background(), []string{first.Address(), second.Address(), byName}); n != 1 || err != nil {
		t.Fatalf("joined %d: %v", n, err)
	}
	for _, p := range []*process{first, second} {
		p.awaitFor(t, realPatience, "two members", func(m cluster.Membership) bool { return len(m.Members) == 2 })
	}
	taken := configOf(nil, 3)
	taken.Bind = first.Address()
	if _, err := gossip.Start(taken); err == nil || !strings.Contains(err.Error(), first.Address()) {
		t.Errorf("two processes on one address: %v", err)
	}
	if err := second.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.awaitFor(t, realPatience, "one member", func(m cluster.Membership) bool { return len(m.Members) == 1 && len(m.Lost) == 0 })
}

func garble(t *testing.T, address string) {
	t.Helper()
	packets, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for i, m := range hostileMessages(rand.New(rand.NewPCG(2, 2))) {
		_, _ = packets.Write(m)
		if i%200 == 0 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(m)
			_ = conn.Close()
		}
	}
}
