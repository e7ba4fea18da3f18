package entity

import (
	"time"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Stored is one command as the log holds it: what readers of logs see of an entity.
type Stored struct {
	// Type and ID name the entity.
	Type, ID string
	// Entry is the command's number within its entity, Version the entity's version after it.
	Entry, Version uint64
	// Command is the full name of its message.
	Command string
	// Key tells the command from others of its entity; its String is for people.
	Key CommandKey
	// Principal, Cause and Trace are what its caller said of it.
	Principal, Cause, Trace string
	// Time is what the handler saw.
	Time time.Time
	// Events are in order; the last has Version.
	Events []StoredEvent
}

// StoredEvent is one event, encoded as it was stored. See [Definition.Decode].
type StoredEvent struct {
	// Type is the full name of its message.
	Type    string
	Payload []byte
}

// StoredReader reads records. It keeps names that it has met, so that a long log
// costs little; one goroutine at a time may use it. The zero value is ready.
type StoredReader struct {
	names  map[string]string
	entry  shard.Entry
	stored Stored
}

// maxNames bounds the names kept; a service has a few dozen types.
const maxNames = 4096

// Each calls visit with each stored command of a record, in order. The value
// is overwritten by the next; payloads belong to the record.
func (r *StoredReader) Each(rec journal.Record, visit func(*Stored) error) error {
	return rec.EachEntry(func(b []byte) error {
		if err := r.entry.Decode(b); err != nil {
			return err
		}
		r.fill()
		return visit(&r.stored)
	})
}

func (r *StoredReader) fill() {
	e, s := &r.entry, &r.stored
	*s = Stored{
		Type: r.name(e.Type), ID: string(e.ID), Entry: e.Number, Version: e.Version,
		Command: r.name(e.Command), Key: e.Key, Principal: string(e.Principal), Cause: string(e.Cause),
		Trace: string(e.Trace), Time: time.Unix(0, e.Time).UTC(), Events: s.Events[:0],
	}
	for _, ev := range e.Events {
		s.Events = append(s.Events, StoredEvent{r.name(ev.Type), ev.Payload})
	}
}

// name returns b as a string that is made once.
func (r *StoredReader) name(b []byte) string {
	if s, ok := r.names[string(b)]; ok {
		return s
	}
	if r.names == nil || len(r.names) >= maxNames {
		r.names = map[string]string{}
	}
	s := string(b)
	r.names[s] = s
	return s
}
