package archive

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/journal"
)

// entry is what derived data needs of a stored skerry.log.v1.Entry. It is read by hand: ids may be any
// bytes, which the generated code refuses, and most of an entry is not looked at. A test
// holds this file against the generated code.
type entry struct {
	of              journal.Entity
	number, version uint64
	events          uint64
	key             []byte // an encoded skerry.log.v1.Key
	arms            []arm
	cancels         []string
}

type arm struct {
	name string
	due  int64 // Unix nanoseconds
}

// Field numbers of skerry.log.v1.Entry, Key, TimerKey, Arm and Page.
const (
	entryType    = 1
	entryID      = 2
	entryNumber  = 3
	entryVersion = 4
	entryKey     = 5
	entryEvents  = 14
	entryArms    = 15
	entryCancels = 16

	keyTimer   = 3
	timerName  = 1
	timerArmed = 2
	armName    = 1
	armDue     = 2

	pageEntries = 1
)

func parseEntry(b []byte) (entry, error) {
	var e entry
	var problem error
	err := eachField(b, func(field protowire.Number, v uint64, b []byte) {
		switch field {
		case entryType:
			e.of.Type = string(b)
		case entryID:
			e.of.ID = string(b)
		case entryNumber:
			e.number = v
		case entryVersion:
			e.version = v
		case entryKey:
			e.key = b
		case entryEvents:
			e.events++
		case entryArms:
			a, err := parseArm(b)
			if err != nil {
				problem = err
			}
			e.arms = append(e.arms, a)
		case entryCancels:
			e.cancels = append(e.cancels, string(b))
		}
	})
	if err == nil {
		err = problem
	}
	if err != nil {
		return e, fmt.Errorf("%w: an entry: %w", journal.ErrCorrupt, err)
	}
	if e.of.Check() != nil || e.number == 0 {
		return e, fmt.Errorf("%w: an entry %d of %s %q", journal.ErrCorrupt, e.number, e.of.Type, e.of.ID)
	}
	return e, nil
}

func parseArm(b []byte) (a arm, err error) {
	err = eachField(b, func(field protowire.Number, v uint64, b []byte) {
		switch field {
		case armName:
			a.name = string(b)
		case armDue:
			a.due = int64(v)
		}
	})
	return a, err
}

// fired returns the timer whose command the entry is.
func (e *entry) fired() (name string, armed uint64, ok bool) {
	err := eachField(e.key, func(field protowire.Number, _ uint64, b []byte) {
		if field != keyTimer {
			return
		}
		ok = eachField(b, func(field protowire.Number, v uint64, b []byte) {
			switch field {
			case timerName:
				name = string(b)
			case timerArmed:
				armed = v
			}
		}) == nil
	})
	return name, armed, ok && err == nil
}

// eachField visits the fields of a message that are numbers or bytes.
func eachField(b []byte, visit func(field protowire.Number, v uint64, b []byte)) error {
	for len(b) > 0 {
		field, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		var text []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(field, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		visit(field, v, text)
		b = b[n:]
	}
	return nil
}

// eachPaged visits the encoded entries of a page.
func eachPaged(page []byte, visit func([]byte) error) error {
	for len(page) > 0 {
		field, typ, n := protowire.ConsumeTag(page)
		if n < 0 || field != pageEntries || typ != protowire.BytesType {
			return fmt.Errorf("%w: a page that is not one", journal.ErrCorrupt)
		}
		b, m := protowire.ConsumeBytes(page[n:])
		if m < 0 {
			return fmt.Errorf("%w: a cut page", journal.ErrCorrupt)
		}
		if err := visit(b); err != nil {
			return err
		}
		page = page[n+m:]
	}
	return nil
}
