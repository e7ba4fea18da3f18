package readside

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
)

// Event is one stored event as a handler gets it: read as its current type, with where it
// stands in the log and what led to it.
type Event[M proto.Message] struct {
	// Msg is shared with other processors and must not be changed.
	Msg M
	// EntityType and EntityID name the entity.
	EntityType, EntityID string
	// Version is the entity's after this event; rows of one entity compare by it.
	Version uint64
	// Shard, Offset and Epoch are the event's place; offsets are dense per shard.
	Shard         uint32
	Offset, Epoch uint64
	// Time is what the command's handler saw.
	Time time.Time
	// Command is the full name of the message that led to the event; Key told it from others.
	Command string
	Key     entity.CommandKey
	// Principal, Cause and Trace are what the caller said of it.
	Principal, Cause, Trace string

	history string
}

// ID names the event for ever, HISTORY/SHARD/OFFSET: sent along with what a handler
// does elsewhere, it lets the other side recognise a repeat.
func (e Event[M]) ID() string { return eventID(e.history, e.Shard, e.Offset) }

func eventID(history string, shard uint32, offset uint64) string {
	b := append(make([]byte, 0, len(history)+24), history...)
	b = strconv.AppendUint(append(b, '/'), uint64(shard), 10)
	return string(strconv.AppendUint(append(b, '/'), offset, 10))
}

// SQLRule is one rule of a processor; see [On].
type SQLRule struct {
	message    string // full name of the event's current type
	entityType string // empty: any
	fresh      func() proto.Message
	handle     func(context.Context, *sql.Tx, delivery) error
}

// delivery is one event on its way to a handler.
type delivery struct {
	history string
	epoch   uint64
	shard   uint32
	command *command
	event   *event
}

// RuleOption restricts a rule.
type RuleOption func(*SQLRule)

// OfType restricts a rule to the events of one type of entity.
func OfType(entityType string) RuleOption {
	return func(r *SQLRule) { r.entityType = entityType }
}

// On makes the rule for events whose current type is M, of entities of any type unless an
// option says otherwise. handle changes rows through tx, and nothing else: it may
// run again after a rollback, so what it does elsewhere may happen twice. An error rolls
// the transaction back and is retried. ctx ends when the transaction's time is up.
func On[M proto.Message](handle func(ctx context.Context, tx *sql.Tx, ev Event[M]) error, options ...RuleOption) SQLRule {
	var m M
	rule := SQLRule{message: string(m.ProtoReflect().Descriptor().FullName())}
	rule.fresh = func() proto.Message { return m.ProtoReflect().New().Interface() }
	rule.handle = func(ctx context.Context, tx *sql.Tx, d delivery) error {
		c := d.command
		return handle(ctx, tx, Event[M]{
			Msg: d.event.msg.(M), EntityType: c.of.Type, EntityID: c.of.ID, Version: d.event.version,
			Shard: d.shard, Offset: d.event.offset, Epoch: d.epoch, Time: c.time, Command: c.name, Key: c.key,
			Principal: c.principal, Cause: c.cause, Trace: c.trace, history: d.history,
		})
	}
	for _, o := range options {
		o(&rule)
	}
	return rule
}

// takes tells whether the rule is for such an event.
func (r *SQLRule) takes(entityType, message string) bool {
	return r.message == message && (r.entityType == "" || r.entityType == entityType)
}
