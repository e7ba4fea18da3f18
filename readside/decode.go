package readside

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// record is a journal's record with its events read. It never changes, so that
// processors share it.
type record struct {
	journal.Header
	size int // bytes of its body
	// commands are those with events that a processor takes, in order.
	commands []command
}

// command is one stored command and those of its events that a processor takes.
type command struct {
	shard                   uint32
	of                      journal.Entity
	name                    string
	key                     entity.CommandKey
	principal, cause, trace string
	time                    time.Time
	// first and last are the offsets of its events, all of them.
	first, last uint64
	events      []event
}

// event is one event that a processor takes.
type event struct {
	kind    *kind
	offset  uint64
	version uint64
	msg     proto.Message
	// err tells why it could not be read; msg is nil then.
	err error
}

// kind is one type of event of one type of entity.
type kind struct {
	entityType, stored, current string
	definition                  entity.Definition
	fresh                       func() proto.Message // of a rule that takes it
	taken                       bool
	err                         error // of all events of this kind
}

// errBroken is wrapped when a log breaks one of its promises.
var errBroken = errors.New("the log breaks its promise")

// decoder reads records. One goroutine at a time may use it.
type decoder struct {
	types  map[string]entity.Definition
	rules  []SQLRule // of all processors
	kinds  map[[2]string]*kind
	reader entity.StoredReader
	shards map[uint32]*versions
	// remembered counts the entities in shards, and those forgotten since they were counted.
	remembered int
}

func newDecoder(types []entity.Definition, processors []Processor) *decoder {
	d := &decoder{types: map[string]entity.Definition{}, kinds: map[[2]string]*kind{}, shards: map[uint32]*versions{}}
	for _, t := range types {
		d.types[t.Name()] = t
	}
	for _, p := range processors {
		d.rules = append(d.rules, p.rules...)
	}
	return d
}

// record reads one record and checks what its header says of it.
func (d *decoder) record(shard uint32, rec journal.Record) (*record, error) {
	r := &record{Header: rec.Header, size: len(rec.Body)}
	seen := d.versions(shard, rec.Number)
	offset := rec.FirstOffset
	err := d.reader.Each(rec, func(s *entity.Stored) error {
		if err := d.check(seen, s); err != nil {
			return err
		}
		d.command(shard, r, s, offset)
		offset += uint64(len(s.Events))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: record %d: %w", errBroken, rec.Number, err)
	}
	if offset != rec.FirstOffset+rec.Events {
		return nil, fmt.Errorf("%w: record %d holds %d events, its header says %d", errBroken, rec.Number, offset-rec.FirstOffset, rec.Events)
	}
	return r, nil
}

// command adds a stored command to a record, if a processor takes any of its events.
func (d *decoder) command(shard uint32, r *record, s *entity.Stored, first uint64) {
	var events []event
	for i := range s.Events {
		stored := &s.Events[i]
		k := d.kind(s.Type, stored.Type)
		if !k.taken {
			continue
		}
		if events == nil {
			events = make([]event, 0, len(s.Events)-i)
		}
		e := event{kind: k, offset: first + uint64(i), version: s.Version - uint64(len(s.Events)-1-i), err: k.err}
		if e.err == nil {
			e.msg, e.err = k.decode(stored.Payload)
		}
		events = append(events, e)
	}
	if events == nil {
		return
	}
	r.commands = append(r.commands, command{
		shard: shard, of: journal.Entity{Type: s.Type, ID: s.ID}, name: s.Command, key: s.Key, principal: s.Principal, cause: s.Cause, trace: s.Trace,
		time: s.Time, first: first, last: first + uint64(len(s.Events)) - 1, events: events,
	})
}

// kind finds out once what becomes of a type of event.
func (d *decoder) kind(entityType, stored string) *kind {
	key := [2]string{entityType, stored}
	if k, ok := d.kinds[key]; ok {
		return k
	}
	k := &kind{entityType: entityType, stored: stored, current: stored, definition: d.types[entityType]}
	if k.definition != nil {
		k.current = k.definition.Current(stored)
	}
	for i := range d.rules {
		r := &d.rules[i]
		switch {
		case r.takes(entityType, k.current):
			k.taken, k.fresh = true, r.fresh
		case k.current == "" && (r.entityType == "" || r.entityType == entityType):
			// It may be one that the rule is for, under a name that this program does not know.
			k.taken = true
			k.err = fmt.Errorf("the type %q has no rule that applies the stored event %s: this program is older than the log, or an entity.Apply was removed", entityType, stored)
		}
	}
	d.kinds[key] = k
	return k
}

// decode reads an event as its current type. Of a type of entity that the program no longer
// has, only the rules' own messages can be read, and those are found by the stored name.
func (k *kind) decode(payload []byte) (proto.Message, error) {
	var msg proto.Message
	var err error
	if k.definition != nil {
		msg, err = k.definition.Decode(k.stored, payload)
	} else {
		msg = k.fresh()
		err = proto.Unmarshal(payload, msg)
	}
	if err != nil {
		return nil, fmt.Errorf("read a stored %s of type %q: %w", k.stored, k.entityType, err)
	}
	return msg, nil
}

// versions checks that an entity's version has no gaps, as far as it remembers them.
type versions struct {
	next uint64 // the record that continues what is known
	of   map[journal.Entity]uint64
}

// maxVersions bounds the entities that one decoder remembers, of all shards. Past it, it begins anew.
const maxVersions = 1 << 16

func (d *decoder) versions(shard uint32, record uint64) *versions {
	v := d.shards[shard]
	if v == nil {
		v = &versions{of: map[journal.Entity]uint64{}}
		d.shards[shard] = v
	}
	if v.next != record {
		clear(v.of)
	}
	v.next = record + 1
	return v
}

func (d *decoder) check(v *versions, s *entity.Stored) error {
	of, n := journal.Entity{Type: s.Type, ID: s.ID}, uint64(len(s.Events))
	known, ok := v.of[of]
	if (ok && s.Version != known+n) || s.Version < n {
		return fmt.Errorf("entry %d of %s %s has %d events and version %d after version %d", s.Entry, of.Type, of.ID, n, s.Version, known)
	}
	if !ok {
		d.remember()
	}
	v.of[of] = s.Version
	return nil
}

// remember makes room for one more entity. What is forgotten is given back, as a map never shrinks.
func (d *decoder) remember() {
	if d.remembered++; d.remembered > maxVersions {
		clear(d.shards)
		d.remembered = 1
	}
}
