package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is a bad network between the interfaces of a namespace: what comes in at one goes out at all others, but some of
// it is lost and some late, and may then arrive behind what was sent after it.
type wire struct {
	ports []port
	// lost is how many packets of a thousand are; late is how late the others may be, each by a time of its own.
	lost atomic.Int64
	late atomic.Int64
}

// port is a raw socket at one interface.
type port struct {
	fd    int
	index int
}

const (
	// everything is the protocol number of all packets, in the network's order of bytes.
	everything = 0x0300
	// Packets carry a header in front that tells what the sender has left for the network card to do: both ends are
	// virtual, so nobody ever does it, and we pass it on.
	solPacket, packetVnetHdr = 263, 15
	maxPacket                = 70 << 10
)

// wireMain is a program that is the wire between the interfaces it is told. Each line of its standard input says
// how many packets of a thousand are lost and how many milliseconds late they are at most, or "off": then it
// carries nothing. It ends with its input.
func wireMain() {
	w := &wire{}
	w.lost.Store(1000)
	for _, name := range os.Args[1:] {
		p, err := openPort(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		w.ports = append(w.ports, p)
	}
	for i := range w.ports {
		go w.carry(i) // to the end of the process
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var lost, late int64
		if _, err := fmt.Sscan(lines.Text(), &lost, &late); err != nil {
			lost = 1000
		}
		w.late.Store(late)
		w.lost.Store(lost)
		fmt.Println("done.")
	}
}

func openPort(name string) (port, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return port{}, err
	}
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, everything)
	if err != nil {
		return port{}, fmt.Errorf("a raw socket at %s: %w", name, err)
	}
	if err := syscall.SetsockoptInt(fd, solPacket, packetVnetHdr, 1); err != nil {
		return port{}, fmt.Errorf("a raw socket at %s: %w", name, err)
	}
	return port{fd, i.Index}, syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: everything, Ifindex: i.Index})
}

// carry takes what comes in at one port.
func (w *wire) carry(from int) {
	for {
		packet := make([]byte, maxPacket)
		n, sender, err := syscall.Recvfrom(w.ports[from].fd, packet, 0)
		if err == syscall.EINTR || err == syscall.ENETDOWN {
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "wire:", err)
			return
		}
		if link, ok := sender.(*syscall.SockaddrLinklayer); ok && link.Pkttype == syscall.PACKET_OUTGOING {
			continue // our own
		}
		if rand.Int64N(1000) < w.lost.Load() {
			continue
		}
		if late := w.late.Load(); late > 0 {
			time.AfterFunc(rand.N(time.Duration(late)*time.Millisecond), func() { w.send(from, packet[:n]) })
			continue
		}
		w.send(from, packet[:n])
	}
}

// send sends to all other ports. What cannot be sent is lost, as on any wire.
func (w *wire) send(from int, packet []byte) {
	for i, p := range w.ports {
		if i != from {
			_, _ = syscall.Write(p.fd, packet)
		}
	}
}
