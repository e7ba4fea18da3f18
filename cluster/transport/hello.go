package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"google.golang.org/protobuf/proto"

	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// versions is a range of protocol versions, inclusive.
type versions struct{ min, max uint32 }

// spoken are the versions of this release. The oldest is raised only when no release that a rolling update may come from needs it.
var spoken = versions{1, 1}

// common returns the newest version that both speak.
func (v versions) common(w versions) (uint32, bool) {
	newest := min(v.max, w.max)
	return newest, newest >= max(v.min, w.min)
}

// protocolName is what each hello begins with.
const protocolName = "skerry/transport"

// maxHelloBytes limits what is read from a connection before it has said who it is.
const maxHelloBytes = 4 << 10

// hello is what this node says of itself.
func (c *Config) hello(self Peer, expected string) *wirev1.Hello {
	return &wirev1.Hello{
		Protocol: protocolName, MinVersion: c.versions.min, MaxVersion: c.versions.max,
		Cluster: c.Cluster, History: c.History, Shards: uint32(c.Shards), //nolint:gosec // positive
		Node: self.Node, Address: self.Address, Expected: expected, MaxMessageBytes: uint32(c.MaxMessageBytes), //nolint:gosec // bounded
	}
}

// judge says why two nodes must not speak to each other, in words that fit both their logs; empty if they may.
func (c *Config) judge(self Peer, theirs *wirev1.Hello) string {
	_, common := c.versions.common(versions{theirs.GetMinVersion(), theirs.GetMaxVersion()})
	us, them := self.String(), Peer{theirs.GetNode(), theirs.GetAddress()}.String()
	say := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	switch {
	case theirs.GetProtocol() != protocolName:
		return say("%s is no node: it speaks %q", them, theirs.GetProtocol())
	case !common:
		return say("%s speaks versions %d to %d of the protocol, %s versions %d to %d: update the older one, by one release at a time",
			them, theirs.GetMinVersion(), theirs.GetMaxVersion(), us, c.versions.min, c.versions.max)
	case theirs.GetCluster() != c.Cluster:
		return say("%s is of cluster %q, %s of %q: correct the list of nodes to join", them, theirs.GetCluster(), us, c.Cluster)
	case theirs.GetHistory() != c.History:
		return say("%s has a journal of history %q, %s of %q: one of them uses another journal, or runs since before a restore", them, theirs.GetHistory(), us, c.History)
	case theirs.GetShards() != uint32(c.Shards): //nolint:gosec // positive
		return say("%s has %d shards, %s %d: give both the count of the journal", them, theirs.GetShards(), us, c.Shards)
	case theirs.GetNode() == "" || len(theirs.GetNode()) > MaxName || len(theirs.GetAddress()) > MaxName:
		return say("a node at %q has a name of %d bytes", cut(theirs.GetAddress()), len(theirs.GetNode()))
	case theirs.GetExpected() != "" && theirs.GetExpected() != self.Node:
		return another(Peer{theirs.GetNode(), theirs.GetAddress()}, Peer{theirs.GetExpected(), self.Address}, self.Node)
	case theirs.GetMaxMessageBytes() < minMessageBytes:
		return say("%s takes messages of %d bytes only, less than %d", them, theirs.GetMaxMessageBytes(), minMessageBytes)
	}
	return ""
}

// another says that who is expected at an address has ended, as another process is there.
func another(who, expected Peer, found string) string {
	return printable(fmt.Sprintf("%s expects %s, where %s is now: the former has ended", who, expected, found))
}

// introduction is what a hello ended with.
type introduction struct {
	peer       Peer
	version    uint32
	maxMessage int
}

// greet says hello on a connection that this node made. The connection has a deadline.
func (c *Config) greet(raw net.Conn, self Peer, to Peer) (introduction, error) {
	if err := writeMessage(raw, c.hello(self, to.Node)); err != nil {
		return introduction{}, err
	}
	var welcome wirev1.Welcome
	if err := readMessage(raw, &welcome); err != nil {
		return introduction{}, err
	}
	theirs := welcome.GetSelf()
	switch why := welcome.GetRefusal(); {
	case to.Node != "" && theirs.GetNode() != "" && theirs.GetNode() != to.Node:
		return introduction{}, fmt.Errorf("%w: %s", ErrGone, another(self, to, theirs.GetNode()))
	case why != "":
		return introduction{}, fmt.Errorf("%w by %s: %s", ErrRefused, to, printable(why))
	}
	if why := c.judge(self, theirs); why != "" {
		return introduction{}, fmt.Errorf("%w: %s", ErrRefused, printable(why))
	}
	if v := welcome.GetVersion(); v < c.versions.min || v > c.versions.max {
		return introduction{}, fmt.Errorf("%w: %s chose version %d of the protocol", ErrRefused, to, v)
	}
	return c.introduced(theirs, welcome.GetVersion()), nil
}

// receive takes in the hello of a connection that a peer made. The connection has a deadline.
func (c *Config) receive(raw net.Conn, self Peer) (introduction, error) {
	var theirs wirev1.Hello
	if err := readMessage(raw, &theirs); err != nil {
		return introduction{}, err
	}
	version, _ := c.versions.common(versions{theirs.GetMinVersion(), theirs.GetMaxVersion()})
	welcome := &wirev1.Welcome{Self: c.hello(self, ""), Version: version, Refusal: c.judge(self, &theirs)}
	if theirs.GetProtocol() != protocolName {
		return introduction{}, fmt.Errorf("%w: no hello", errGarbage)
	}
	if err := writeMessage(raw, welcome); err != nil {
		return introduction{}, err
	}
	if why := welcome.GetRefusal(); why != "" {
		return introduction{}, fmt.Errorf("%w: %s", ErrRefused, printable(why))
	}
	return c.introduced(&theirs, version), nil
}

func (c *Config) introduced(theirs *wirev1.Hello, version uint32) introduction {
	return introduction{
		peer: Peer{theirs.GetNode(), theirs.GetAddress()}, version: version,
		maxMessage: min(int(theirs.GetMaxMessageBytes()), c.MaxMessageBytes),
	}
}

// printable is a peer's text made fit for a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(cut(s), "?"))
}

func writeMessage(w io.Writer, m proto.Message) error {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, frameHeader), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-frameHeader)) //nolint:gosec // a hello is small
	_, err = w.Write(b)
	return err
}

func readMessage(r io.Reader, m proto.Message) error {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return noHello(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxHelloBytes {
		return fmt.Errorf("%w: it begins with % x (another program, or has only one side TLS?)", errGarbage, head)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return noHello(err)
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return fmt.Errorf("%w: no hello", errGarbage)
	}
	return nil
}

func noHello(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ended before it said who it is (has only one side TLS?): %w", err)
	}
	return fmt.Errorf("it does not say who it is: %w", err)
}
