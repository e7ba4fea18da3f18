package transport

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The hot path writes and reads the messages of skerry.wire.v1 by hand: what the generated code
// would build for each envelope is thrown away at once. A test holds both against each other.

// errGarbage is wrapped by errors about bytes that are no message. The connection is given up: where the next begins
// is not known.
var errGarbage = errors.New("not a message of this protocol")

// cursor walks over the fields of an encoded message.
type cursor struct {
	rest   []byte
	number protowire.Number
	// value is that of a varint field, bytes that of a field with a length. A field of another form
	// than expected has the zero value.
	value uint64
	bytes []byte
	err   error
}

// next moves to the next field. It returns false at the end, and at what is no field: then err is set.
func (c *cursor) next() bool {
	if len(c.rest) == 0 {
		return false
	}
	number, typ, n := protowire.ConsumeTag(c.rest)
	if n < 0 {
		return c.fail(n)
	}
	c.rest = c.rest[n:]
	c.number, c.value, c.bytes = number, 0, nil
	switch typ {
	case protowire.VarintType:
		c.value, n = protowire.ConsumeVarint(c.rest)
	case protowire.BytesType:
		c.bytes, n = protowire.ConsumeBytes(c.rest)
	default:
		n = protowire.ConsumeFieldValue(number, typ, c.rest)
	}
	if n < 0 {
		return c.fail(n)
	}
	c.rest = c.rest[n:]
	return true
}

func (c *cursor) fail(n int) bool {
	c.err = fmt.Errorf("%w: %w", errGarbage, protowire.ParseError(n))
	return false
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendBool(b []byte, field protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return appendUint(b, field, 1)
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, s)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

// appendNested writes a field whose message body appends. The message is written behind room for a length of up to
// four bytes, and moved up if its length needs fewer.
func appendNested(b []byte, field protowire.Number, body func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	at := len(b)
	b = body(append(b, 0, 0, 0, 0))
	size := len(b) - at - 4
	var room [10]byte
	length := protowire.AppendVarint(room[:0], uint64(size))
	copy(b[at:], length)
	if len(length) < 4 {
		copy(b[at+len(length):], b[at+4:])
	}
	return b[:at+len(length)+size]
}

// names keeps the strings that come again and again, so that they are made once per connection.
type names map[string]string

// maxKnownNames bounds the strings that a connection keeps.
const maxKnownNames = 256

func (n names) of(b []byte) string {
	if known, ok := n[string(b)]; ok {
		return known
	}
	s := string(b)
	if len(n) < maxKnownNames && len(s) <= MaxName {
		n[s] = s
	}
	return s
}
