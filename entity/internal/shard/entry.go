package shard

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// Event is one encoded event.
type Event struct {
	Type    string
	Payload []byte
}

// Outcome is what a handler decided, encoded.
type Outcome struct {
	Reply     []byte
	Rejection *Rejection
	Events    []Event
	Arms      []Arm
	Cancels   []string
}

// Field numbers of skerry.log.v1.Entry and its parts. Entries are written by hand
// because every command pays for it; they are read with the generated code,
// and a test holds the two together.
const (
	entryType      = 1
	entryID        = 2
	entryEntry     = 3
	entryVersion   = 4
	entryKey       = 5
	entryHash      = 6
	entryCommand   = 7
	entryPrincipal = 8
	entryCause     = 9
	entryTrace     = 10
	entryTime      = 11
	entryReply     = 12
	entryRejection = 13
	entryEvents    = 14
	entryArms      = 15
	entryCancels   = 16
)

// EncodeEntry returns the skerry.log.v1.Entry of a command that is stored.
func EncodeEntry(h *Handle, o *Outcome) []byte {
	c := h.Command
	b := make([]byte, 0, entrySize(c, o))
	b = appendString(b, entryType, c.To.Type)
	b = appendString(b, entryID, c.To.ID)
	b = appendUint(b, entryEntry, h.Entry)
	b = appendUint(b, entryVersion, h.Version+uint64(len(o.Events)))
	b = appendKey(b, entryKey, &c.Key)
	b = protowire.AppendTag(b, entryHash, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, c.Hash)
	b = appendString(b, entryCommand, c.Name)
	b = appendString(b, entryPrincipal, c.Principal)
	b = appendString(b, entryCause, c.Cause)
	b = appendString(b, entryTrace, c.Trace)
	b = appendUint(b, entryTime, uint64(h.Time))
	if o.Rejection != nil {
		b = appendRejection(b, o.Rejection)
	} else {
		b = appendBytes(b, entryReply, o.Reply)
	}
	for i := range o.Events {
		b = appendEvent(b, &o.Events[i])
	}
	for i := range o.Arms {
		b = appendArm(b, &o.Arms[i])
	}
	for _, name := range o.Cancels {
		b = appendBytes(b, entryCancels, []byte(name))
	}
	return b
}

// entrySize is an upper bound, so that an entry is one allocation.
func entrySize(c *Command, o *Outcome) int {
	const fixed, perPart = 160, 32
	n := fixed + len(c.To.Type) + len(c.To.ID) + len(c.Name) + len(c.Principal) + len(c.Cause) + len(c.Trace) + len(c.Key.Name) + len(o.Reply)
	if o.Rejection != nil {
		n += len(o.Rejection.Code) + len(o.Rejection.Message)
	}
	for i := range o.Events {
		n += perPart + len(o.Events[i].Type) + len(o.Events[i].Payload)
	}
	for i := range o.Arms {
		n += perPart + len(o.Arms[i].Name) + len(o.Arms[i].Command) + len(o.Arms[i].Payload)
	}
	for _, name := range o.Cancels {
		n += perPart + len(name)
	}
	return n
}

func appendUint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// appendBytes writes the field also when it is empty: in a oneof or a list that says something.
func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendRejection(b []byte, r *Rejection) []byte {
	size := sizeString(1, r.Code) + sizeString(2, r.Message)
	b = protowire.AppendVarint(protowire.AppendTag(b, entryRejection, protowire.BytesType), uint64(size))
	return appendString(appendString(b, 1, r.Code), 2, r.Message)
}

func appendEvent(b []byte, e *Event) []byte {
	size := sizeString(1, e.Type) + sizeBytes(2, e.Payload)
	b = protowire.AppendVarint(protowire.AppendTag(b, entryEvents, protowire.BytesType), uint64(size))
	return appendPayload(appendString(b, 1, e.Type), 2, e.Payload)
}

func appendArm(b []byte, a *Arm) []byte {
	size := sizeString(1, a.Name) + sizeUint(2, uint64(a.Due)) + sizeString(3, a.Command) + sizeBytes(4, a.Payload)
	b = protowire.AppendVarint(protowire.AppendTag(b, entryArms, protowire.BytesType), uint64(size))
	b = appendUint(appendString(b, 1, a.Name), 2, uint64(a.Due))
	return appendPayload(appendString(b, 3, a.Command), 4, a.Payload)
}

func appendPayload(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return appendBytes(b, field, v)
}

func appendKey(b []byte, field protowire.Number, k *Key) []byte {
	var scratch [128]byte
	var key []byte
	switch k.Kind {
	case ClientKey:
		var part [64]byte
		p := appendBytes(part[:0], 1, k.Client[:])
		p = appendUint(appendUint(appendUint(p, 2, k.Number), 3, k.Oldest), 4, uint64(k.Issued))
		key = appendBytes(scratch[:0], 1, p)
	case CallerKey:
		key = protowire.AppendString(protowire.AppendTag(scratch[:0], 2, protowire.BytesType), k.Name)
	case TimerKey:
		var part [64]byte
		key = appendBytes(scratch[:0], 3, appendUint(appendString(part[:0], 1, k.Name), 2, k.Armed))
	default:
		return b
	}
	return appendBytes(b, field, key)
}

func sizeString(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(s))
}

func sizeBytes(field protowire.Number, v []byte) int {
	if len(v) == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(len(v))
}

func sizeUint(field protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(v)
}

// keyFrom reads a stored key. An unknown kind, written by a newer release, is NoKey.
func keyFrom(pb *logv1.Key) Key {
	switch k := pb.GetKind().(type) {
	case *logv1.Key_Client:
		key := Key{Kind: ClientKey, Number: k.Client.GetNumber(), Oldest: k.Client.GetOldest(), Issued: k.Client.GetIssuedNs()}
		copy(key.Client[:], k.Client.GetClient())
		return key
	case *logv1.Key_Caller:
		return Key{Kind: CallerKey, Name: k.Caller}
	case *logv1.Key_Timer:
		return Key{Kind: TimerKey, Name: k.Timer.GetName(), Armed: k.Timer.GetArmed()}
	}
	return Key{}
}

// String shows a key to people.
func (k Key) String() string {
	switch k.Kind {
	case ClientKey:
		return fmt.Sprintf("client %x #%d", k.Client[:6], k.Number)
	case CallerKey:
		return k.Name
	case TimerKey:
		return fmt.Sprintf("timer %s @%d", k.Name, k.Armed)
	}
	return ""
}
