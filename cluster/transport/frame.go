package transport

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// Field numbers of skerry.wire.v1.Frame and Part.
const (
	frameEnvelopes = 1
	frameAnswers   = 2
	frameParts     = 3
	frameGoodbye   = 4

	partStream    = 1
	partKindField = 2
	partSubject   = 3
	partBytes     = 4
	partCredits   = 5
	partReason    = 6
)

const (
	// frameHeader is the length before each message.
	frameHeader = 4
	// gatherBytes is about how much of one sort a frame gathers.
	gatherBytes = 128 << 10
	// maxMessageBytes is the most that a message may be allowed to have.
	maxMessageBytes = 1 << 30
	// readBytes is the buffer of a connection, stepBytes how far a larger frame is trusted before it comes.
	readBytes = 64 << 10
	stepBytes = 256 << 10
	// maxKeptBytes is the most memory that a connection keeps for the next frame.
	maxKeptBytes = 1 << 20
)

// frameLimit is the largest frame that a node which takes messages of some size is sent.
func frameLimit(maxMessage int) int { return maxMessage + 2*gatherBytes }

// frameReader cuts a connection's bytes into frames.
type frameReader struct {
	r     *bufio.Reader
	limit int
	kept  []byte
}

// length waits for the next frame and returns its length.
func (f *frameReader) length() (int, error) {
	head, err := f.r.Peek(frameHeader)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head)
	if int64(n) > int64(f.limit) {
		return 0, fmt.Errorf("%w: a frame of %d bytes, more than %d", errGarbage, n, f.limit)
	}
	_, _ = f.r.Discard(frameHeader)
	return int(n), nil
}

// arrived tells whether n bytes are here already.
func (f *frameReader) arrived(n int) bool { return f.r.Buffered() >= n }

// body returns the n bytes of a frame; they are good until the next call. Memory is taken as they
// come: a length that lies costs its sender as much as the reader.
func (f *frameReader) body(n int) ([]byte, error) {
	if n <= f.r.Size() {
		b, err := f.r.Peek(n)
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		_, _ = f.r.Discard(n) // what was peeked stays until the next read
		return b, nil
	}
	b := f.kept[:0]
	for len(b) < n {
		at, step := len(b), min(n-len(b), max(stepBytes, len(b)))
		if cap(b) < at+step {
			b = append(make([]byte, 0, at+step), b...)
		}
		b = b[:at+step]
		if _, err := io.ReadFull(f.r, b[at:]); err != nil {
			return nil, err
		}
	}
	if f.kept = b; cap(b) > maxKeptBytes {
		f.kept = nil
	}
	return b, nil
}

// taker takes in what a connection brings. An error means that the peer breaks the protocol.
type taker interface {
	// takeEnvelope takes an envelope; wrong tells why it can never be taken.
	takeEnvelope(in *Incoming, wrong string) error
	takeAnswer(number uint64, a Answer) error
	// takePart takes a part, whose data it must not keep.
	takePart(p part) error
	// takeGoodbye takes in that the peer closes the connection and lives on.
	takeGoodbye()
	// silent is called when nothing has come for SilentAfter, and again while that lasts.
	silent()
}

// parseFrame hands the content of a frame to t, in order.
func parseFrame(b []byte, known names, t taker) error {
	c := cursor{rest: b}
	for c.next() {
		if err := parseItem(&c, known, t); err != nil {
			return err
		}
	}
	return c.err
}

func parseItem(c *cursor, known names, t taker) error {
	switch c.number {
	case frameEnvelopes:
		in := &Incoming{size: len(c.bytes)}
		wrong, err := parseEnvelope(c.bytes, known, in)
		if err != nil {
			return err
		}
		return t.takeEnvelope(in, wrong)
	case frameAnswers:
		number, a, err := parseAnswer(c.bytes, known)
		if err != nil {
			return err
		}
		return t.takeAnswer(number, a)
	case frameParts:
		p, err := parsePart(c.bytes)
		if err != nil {
			return err
		}
		return t.takePart(p)
	case frameGoodbye:
		t.takeGoodbye()
	}
	return nil
}

// partKinds are the names of kinds on the wire.
var partKinds = [...]wirev1.PartKind{
	partOpen:   wirev1.PartKind_PART_KIND_OPEN,
	partData:   wirev1.PartKind_PART_KIND_DATA,
	partCredit: wirev1.PartKind_PART_KIND_CREDIT,
	partEnd:    wirev1.PartKind_PART_KIND_END,
	partAbort:  wirev1.PartKind_PART_KIND_ABORT,
}

func appendPart(b []byte, p *part) []byte {
	b = appendUint(b, partStream, p.stream)
	b = appendUint(b, partKindField, uint64(partKinds[p.kind])) //nolint:gosec // never negative
	b = appendText(b, partSubject, p.subject)
	b = appendBytes(b, partBytes, p.data)
	b = appendUint(b, partCredits, uint64(p.credit)) //nolint:gosec // never negative
	return appendText(b, partReason, p.reason)
}

// parsePart reads a part, whose data is b's. A kind that is not known is 0.
func parsePart(b []byte) (p part, err error) {
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case partStream:
			p.stream = c.value
		case partKindField:
			for kind, named := range partKinds {
				if kind > 0 && uint64(named) == c.value { //nolint:gosec // never negative
					p.kind = partKind(kind) //nolint:gosec // one of five
				}
			}
		case partSubject:
			p.subject = string(c.bytes)
		case partBytes:
			p.data = c.bytes
		case partCredits:
			p.credit = int(min(c.value, math.MaxInt32)) //nolint:gosec // bounded
		case partReason:
			p.reason = string(c.bytes)
		}
	}
	return p, c.err
}
