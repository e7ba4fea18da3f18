package gateway

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// message is a command or a reply between the wire and the caller, which takes and gives
// encoded messages. Its type is known to the procedure only, at run time.
type message struct {
	payload []byte
	// empty makes an empty message of its type.
	empty func() proto.Message
	// wrong is what is wrong with what a client sent.
	wrong error
}

// take keeps a message in its one encoding, so that a repeat of a command is the same command however
// it is sent.
func (m *message) take(msg proto.Message) {
	payload, err := encoding.Marshal(msg)
	if err != nil {
		m.wrong = malformed("%s: %s", msg.ProtoReflect().Descriptor().FullName(), protoText(err))
	}
	m.payload = payload
}

// asMessage returns what connect passes to a codec for a command or reply.
func asMessage(v any) (*message, error) {
	m, ok := v.(*message)
	if !ok {
		return nil, fmt.Errorf("gateway: a %T is no message of an entity", v)
	}
	return m, nil
}

// binary is the codec of protobuf's binary form. What cannot be read is told by the procedure,
// which has the words for it.
type binary struct{}

func (binary) Name() string { return "proto" }

func (binary) Marshal(v any) ([]byte, error) {
	if status, ok := v.(proto.Message); ok { // of gRPC's own, with an error's details
		return proto.Marshal(status)
	}
	m, err := asMessage(v)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(m.payload), nil // connect keeps the buffer, and the caller's is shared with repeats
}

func (binary) Unmarshal(data []byte, v any) error {
	m, err := asMessage(v)
	if err != nil {
		return err
	}
	msg := m.empty()
	if err := proto.Unmarshal(data, msg); err != nil {
		m.wrong = malformed("the message is no %s: %s", msg.ProtoReflect().Descriptor().FullName(), protoText(err))
		return nil
	}
	m.take(msg)
	return nil
}

// textual is the codec of protobuf's JSON form, as strict and as stable as the paths of REST have it.
type textual struct{ name string }

func (t textual) Name() string { return t.name }

func (textual) Marshal(v any) ([]byte, error) {
	m, err := asMessage(v)
	if err != nil {
		return nil, err
	}
	msg := m.empty()
	if err := proto.Unmarshal(m.payload, msg); err != nil {
		return nil, err
	}
	return stableJSON(msg, complete)
}

func (textual) Unmarshal(data []byte, v any) error {
	m, err := asMessage(v)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	msg := m.empty()
	if err := protojson.Unmarshal(data, msg); err != nil {
		m.wrong = malformed("the JSON is no %s: %s", msg.ProtoReflect().Descriptor().FullName(), protoText(err)).
			remedied("See GET " + root + " for an example of each command.")
		return nil
	}
	m.take(msg)
	return nil
}
