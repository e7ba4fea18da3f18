package pebble

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/skerryhq/skerry/journal"
)

// Every key begins with the byte of its kind. Numbers are big-endian, so that
// the order of keys is the order of numbers; signed ones have their sign bit
// flipped. Names are escaped (see appendName): any bytes are safe, and no
// name's encoding is the prefix of another's.
//
//	e type id s entry               snapshot
//	e type id p last first          page
//	f shard                         flushed position
//	l shard number                  record
//	m name                          settled fact
//	r space partition name          register
//	t shard hour due type id name armed   timer
//	w address                       witness
//
// Snapshots and pages of an entity share a prefix: one filter probe per table
// tells that a new entity has neither.
const (
	kindEntity   = 'e'
	kindFlushed  = 'f'
	kindLog      = 'l'
	kindMeta     = 'm'
	kindRegister = 'r'
	kindTimer    = 't'
	kindWitness  = 'w'

	subPage     = 'p'
	subSnapshot = 's'
)

const logKeySize = 1 + 4 + 8

func logKey(shard uint32, number uint64) []byte {
	return appendLogKey(make([]byte, 0, logKeySize), shard, number)
}

func appendLogKey(b []byte, shard uint32, number uint64) []byte {
	b = append(b, kindLog)
	b = binary.BigEndian.AppendUint32(b, shard)
	return binary.BigEndian.AppendUint64(b, number)
}

// parseLogKey returns the shard and number of a record's key.
func parseLogKey(key []byte) (shard uint32, number uint64, err error) {
	if len(key) != logKeySize || key[0] != kindLog {
		return 0, 0, fmt.Errorf("%w: %x is no key of a record", journal.ErrCorrupt, key)
	}
	return binary.BigEndian.Uint32(key[1:]), binary.BigEndian.Uint64(key[5:]), nil
}

func flushedKey(shard uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kindFlushed}, shard)
}

func metaKey(name string) []byte {
	return append([]byte{kindMeta}, name...)
}

// entityKey is the common prefix of all that is stored of an entity.
func entityKey(of journal.Entity) []byte {
	b := make([]byte, 0, len(of.Type)+len(of.ID)+32)
	b = append(b, kindEntity)
	return appendName(appendName(b, of.Type), of.ID)
}

func snapshotKey(of journal.Entity, entry uint64) []byte {
	return binary.BigEndian.AppendUint64(append(entityKey(of), subSnapshot), entry)
}

// pageKey orders pages by last and then first entry.
func pageKey(of journal.Entity, last, first uint64) []byte {
	b := binary.BigEndian.AppendUint64(append(entityKey(of), subPage), last)
	return binary.BigEndian.AppendUint64(b, first)
}

func timerKey(shard uint32, t journal.Timer) []byte {
	b := make([]byte, 0, len(t.Of.Type)+len(t.Of.ID)+len(t.Name)+40)
	b = appendTimerHour(b, shard, t.Hour())
	b = appendSigned(b, t.Due)
	b = appendName(appendName(appendName(b, t.Of.Type), t.Of.ID), t.Name)
	return binary.BigEndian.AppendUint64(b, t.Armed)
}

// appendTimerHour appends where a shard's timers of an hour begin.
func appendTimerHour(b []byte, shard uint32, hour int64) []byte {
	b = append(b, kindTimer)
	b = binary.BigEndian.AppendUint32(b, shard)
	return appendSigned(b, hour)
}

func parseTimerKey(key []byte) (t journal.Timer, err error) {
	const before = 1 + 4 + 8
	corrupt := fmt.Errorf("%w: %x is no key of a timer", journal.ErrCorrupt, key)
	if len(key) < before+8 {
		return t, corrupt
	}
	t.Due = parseSigned(key[before:])
	rest := key[before+8:]
	for _, name := range []*string{&t.Of.Type, &t.Of.ID, &t.Name} {
		var ok bool
		if *name, rest, ok = cutName(rest); !ok {
			return t, corrupt
		}
	}
	if len(rest) != 8 {
		return t, corrupt
	}
	t.Armed = binary.BigEndian.Uint64(rest)
	return t, nil
}

const signBit = 1 << 63

func appendSigned(b []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(v)^signBit)
}

func parseSigned(b []byte) int64 {
	return int64(binary.BigEndian.Uint64(b) ^ signBit)
}

// A name is its bytes with each 0x00 written as 0x00 0xff, ended by 0x00 0x01.
// Order is kept, and the end is never found inside.
const (
	nameEscape  = 0x00
	nameZero    = 0xff
	nameEnd     = 0x01
	nameEndSize = 2
)

func appendName(b []byte, name string) []byte {
	for i := range len(name) {
		b = append(b, name[i])
		if name[i] == nameEscape {
			b = append(b, nameZero)
		}
	}
	return append(b, nameEscape, nameEnd)
}

// cutName reads the name that begins b and returns what is behind it.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	end := nameSize(b)
	if end < 0 {
		return "", nil, false
	}
	escaped := b[:end-nameEndSize]
	return string(bytes.ReplaceAll(escaped, []byte{nameEscape, nameZero}, []byte{nameEscape})), b[end:], true
}

// nameSize returns how many bytes of b its first name takes, its end included;
// negative if it does not end.
func nameSize(b []byte) int {
	for i := 0; ; {
		zero := bytes.IndexByte(b[i:], nameEscape)
		if zero < 0 || i+zero+1 >= len(b) {
			return -1
		}
		i += zero + nameEndSize
		if b[i-1] == nameEnd {
			return i
		}
	}
}

// comparer orders keys by their bytes, and tells Pebble which prefix its
// filters hold: the entity of snapshots and pages, the shard of records (a
// filter entry for each record would cost memory and answer nothing).
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "skerry.journal.v1"
	c.Split = splitKey
	return &c
}()

func splitKey(key []byte) int {
	if len(key) == 0 {
		return 0
	}
	switch key[0] {
	case kindLog:
		return min(len(key), 1+4)
	case kindEntity:
		return splitEntityKey(key)
	}
	return len(key)
}

func splitEntityKey(key []byte) int {
	typeSize := nameSize(key[1:])
	if typeSize < 0 {
		return len(key)
	}
	idSize := nameSize(key[1+typeSize:])
	if idSize < 0 {
		return len(key)
	}
	return 1 + typeSize + idSize
}
