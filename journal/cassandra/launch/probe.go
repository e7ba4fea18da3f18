package launch

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Opcodes of the CQL native protocol, version 4.
const (
	opError         = 0x00
	opStartup       = 0x01
	opReady         = 0x02
	opAuthenticate  = 0x03
	opAuthResponse  = 0x0f
	opAuthSuccess   = 0x10
	protocolVersion = 0x04
	headerBytes     = 9
	// maxProbeFrame limits what a probe reads as one answer.
	maxProbeFrame = 64 << 10
)

// probeTimeout bounds one look at a node that may not answer.
const probeTimeout = 2 * time.Second

// probe tells whether a node takes CQL now: nil when it let us in.
func (n *Node) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := n.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	return logIn(conn)
}

func (n *Node) dial(ctx context.Context) (net.Conn, error) {
	if !n.cluster.cfg.TLS {
		return new(net.Dialer).DialContext(ctx, "tcp", n.Address())
	}
	// Whether the node is who it says is the clients' business, not the probe's.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	return dialer.DialContext(ctx, "tcp", n.Address())
}

// logIn opens a CQL session, with the first login if the node asks for one.
func logIn(conn io.ReadWriter) error {
	startup := binary.BigEndian.AppendUint16(nil, 1)
	for _, text := range []string{"CQL_VERSION", "3.0.0"} {
		startup = binary.BigEndian.AppendUint16(startup, uint16(len(text)))
		startup = append(startup, text...)
	}
	op, body, err := exchange(conn, opStartup, startup)
	if err == nil && op == opAuthenticate {
		secret := "\x00" + User + "\x00" + Password
		response := binary.BigEndian.AppendUint32(nil, uint32(len(secret)))
		op, body, err = exchange(conn, opAuthResponse, append(response, secret...))
	}
	switch {
	case err != nil:
		return err
	case op == opReady, op == opAuthSuccess:
		return nil
	case op == opError:
		return fmt.Errorf("the node answers %q", body)
	}
	return fmt.Errorf("the node answers with opcode %d", op)
}

// exchange sends one frame and returns the answer to it.
func exchange(conn io.ReadWriter, op byte, body []byte) (byte, []byte, error) {
	frame := []byte{protocolVersion, 0, 0, 0, op}
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	if _, err := conn.Write(append(frame, body...)); err != nil {
		return 0, nil, err
	}
	var header [headerBytes]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(header[5:])
	if size > maxProbeFrame {
		return 0, nil, errors.New("not an answer in CQL")
	}
	answer := make([]byte, size)
	_, err := io.ReadFull(conn, answer)
	return header[4], answer, err
}
