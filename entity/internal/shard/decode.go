package shard

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/journal"
)

// Entry is a stored entry as recovery needs it: the generated code would copy
// every name and payload, which is most of the time of a recovery. Its bytes belong to the encoding.
type Entry struct {
	Type, ID        []byte
	Number, Version uint64
	Key             Key
	Hash            uint64
	Command         []byte
	Principal       []byte
	Cause, Trace    []byte
	Time            int64 // Unix nanoseconds
	Reply           []byte
	Rejection       *Rejection
	Events          []StoredEvent
	Arms            []Arm
	Cancels         []string
}

// StoredEvent is one event of an entry.
type StoredEvent struct{ Type, Payload []byte }

// Decode reads a skerry.log.v1.Entry. It may be called again and reuses the memory.
func (e *Entry) Decode(b []byte) error {
	*e = Entry{Events: e.Events[:0]}
	err := eachField(b, e.field)
	if err != nil {
		return fmt.Errorf("%w: an entry: %w", journal.ErrCorrupt, err)
	}
	return nil
}

// value is one field's: a number, or bytes.
type value struct {
	number uint64
	bytes  []byte
}

func (e *Entry) field(n protowire.Number, v value) (err error) {
	switch n {
	case entryType:
		e.Type = v.bytes
	case entryID:
		e.ID = v.bytes
	case entryEntry:
		e.Number = v.number
	case entryVersion:
		e.Version = v.number
	case entryKey:
		err = eachField(v.bytes, e.Key.kind)
	case entryHash:
		e.Hash = v.number
	case entryCommand:
		e.Command = v.bytes
	case entryPrincipal:
		e.Principal = v.bytes
	case entryCause:
		e.Cause = v.bytes
	case entryTrace:
		e.Trace = v.bytes
	case entryTime:
		e.Time = int64(v.number)
	case entryReply:
		e.Reply, e.Rejection = v.bytes, nil
	case entryRejection:
		e.Reply, e.Rejection = nil, &Rejection{}
		err = eachField(v.bytes, e.Rejection.field)
	case entryEvents:
		var ev StoredEvent
		err = eachField(v.bytes, ev.field)
		e.Events = append(e.Events, ev)
	case entryArms:
		var a Arm
		err = eachField(v.bytes, a.field)
		e.Arms = append(e.Arms, a)
	case entryCancels:
		e.Cancels = append(e.Cancels, string(v.bytes))
	}
	return err
}

// kind reads the one field of a key's oneof.
func (k *Key) kind(n protowire.Number, v value) error {
	switch n {
	case 1:
		*k = Key{Kind: ClientKey}
		return eachField(v.bytes, k.client)
	case 2:
		*k = Key{Kind: CallerKey, Name: string(v.bytes)}
	case 3:
		*k = Key{Kind: TimerKey}
		return eachField(v.bytes, k.timer)
	}
	return nil
}

func (k *Key) client(n protowire.Number, v value) error {
	switch n {
	case 1:
		k.Client = [16]byte{}
		copy(k.Client[:], v.bytes)
	case 2:
		k.Number = v.number
	case 3:
		k.Oldest = v.number
	case 4:
		k.Issued = int64(v.number)
	}
	return nil
}

func (k *Key) timer(n protowire.Number, v value) error {
	switch n {
	case 1:
		k.Name = string(v.bytes)
	case 2:
		k.Armed = v.number
	}
	return nil
}

func (r *Rejection) field(n protowire.Number, v value) error {
	switch n {
	case 1:
		r.Code = string(v.bytes)
	case 2:
		r.Message = string(v.bytes)
	}
	return nil
}

func (e *StoredEvent) field(n protowire.Number, v value) error {
	switch n {
	case 1:
		e.Type = v.bytes
	case 2:
		e.Payload = v.bytes
	}
	return nil
}

func (a *Arm) field(n protowire.Number, v value) error {
	switch n {
	case 1:
		a.Name = string(v.bytes)
	case 2:
		a.Due = int64(v.number)
	case 3:
		a.Command = string(v.bytes)
	case 4:
		a.Payload = v.bytes
	}
	return nil
}

// eachField visits the fields of a message, unknown ones too.
func eachField(b []byte, visit func(protowire.Number, value) error) error {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v value
		switch typ {
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			v.number, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := visit(number, v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Take takes one entry into an image. Entries come in order. Nothing of the
// entry's memory is kept.
func (i *Image) Take(e *Entry) error {
	if e.Number != i.Entry+1 {
		return fmt.Errorf("%w: entry %d follows entry %d", journal.ErrCorrupt, e.Number, i.Entry)
	}
	if want := i.Version + uint64(len(e.Events)); e.Version != want {
		return fmt.Errorf("%w: entry %d has version %d, its events lead to %d", journal.ErrCorrupt, e.Number, e.Version, want)
	}
	i.Entry, i.Version = e.Number, e.Version
	if e.Key.Kind == TimerKey {
		i.disarm(e.Key.Name, e.Key.Armed)
	}
	for _, name := range e.Cancels {
		i.disarm(name, 0)
	}
	for _, a := range e.Arms {
		a.Payload = append([]byte(nil), a.Payload...)
		i.arm(a, i.Entry)
	}
	i.window.remember(&e.Key, string(e.Principal), answer{
		hash: e.Hash, entry: i.Entry, version: i.Version, time: e.Time,
		reply: append([]byte(nil), e.Reply...), rejection: e.Rejection,
	})
	return nil
}
