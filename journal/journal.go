package journal

import "context"

// Journal is the durable memory of a service: the logs of its shards, what is
// derived from them, and the few facts that every node must agree on.
//
// All methods may be called concurrently, except where one says otherwise.
type Journal interface {
	Log
	Store

	// Settle stores value under name unless name is settled already, and
	// returns what is stored now: the caller compares. Durable when it returns.
	Settle(ctx context.Context, name, value string) (string, error)

	// Settled calls visit with each settled fact whose name begins with prefix, ordered by the
	// bytes of the names. It shows all that was settled when it was called; what
	// is settled meanwhile may be missing. A journal may have facts of its own
	// among them, with names without a slash.
	Settled(ctx context.Context, prefix string, visit func(name, value string) error) error

	// Close waits for appends under way and releases the journal. Calls after
	// it return ErrClosed.
	Close() error
}

// Log is the append-only, fenced log of each shard. It is the only truth.
type Log interface {
	// Head returns the newest record's header (zero for an empty log) and how
	// far derived writes are known to reach. It may be behind the truth: the
	// next Append decides.
	Head(ctx context.Context, shard uint32) (Head, error)

	// Append stores rec in slot rec.Number of the shard's log if that slot is
	// free and the slot before it is taken. At most one Append per shard and
	// owner is under way at a time; owners in conflict may race.
	//
	// A nil error means that the slot is taken for good and durably, and
	// Slot says by whom: by this append, or by a record with the header Slot.Holder.
	// An error that wraps ErrRefused means that rec is not stored and will not be.
	// Any other error leaves the outcome unknown: rec may be stored, now or
	// later. Append the same record again to learn it.
	Append(ctx context.Context, shard uint32, rec Record) (Slot, error)

	// Tail looks at one slot, linearizably: if the slot is reported empty,
	// no append to it had succeeded when Tail was called.
	Tail(ctx context.Context, shard uint32, number uint64) (Slot, error)

	// Read returns committed records in order, beginning with slot from: at
	// least one if that slot is taken, and no more than about maxBytes. An
	// empty result means that from is beyond the end.
	Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]Record, error)
}

// Store holds what is derived from the logs. All of it can be rebuilt; it is
// written from committed records only, and two owners may write the same.
type Store interface {
	// Derive writes pages and changes of the timer index. Nothing is promised about
	// which part is stored when it fails; the caller repeats it. A journal that knows more returns a *BehindError.
	Derive(ctx context.Context, d Derived) error

	// Pages calls visit with each page of an entity that holds an entry after
	// the given one, ordered by last and then first entry. Pages may overlap:
	// two owners may have cut them differently. visit must not keep the page's body.
	Pages(ctx context.Context, of Entity, after uint64, visit func(Page) error) error

	// SaveSnapshot stores s beside the newest one before it, and drops older ones.
	SaveSnapshot(ctx context.Context, s Snapshot) error

	// Snapshots returns the stored snapshots of an entity, newest first.
	Snapshots(ctx context.Context, of Entity) ([]Snapshot, error)

	// Timers calls visit with the shard's indexed timers due from fromHour up
	// to but not including toHour (Unix hours), ordered by the time they are due.
	Timers(ctx context.Context, shard uint32, fromHour, toHour int64, visit func(Timer) error) error
}

// Limited is met by journals that limit a record. Whoever appends stays
// at or below half of it, so that headers and keys fit too.
type Limited interface {
	// MaxRecord returns the largest body, in bytes.
	MaxRecord() int
}

// Head is what an owner needs to go on where the last one stopped.
type Head struct {
	Last Header
	// Flushed is the record up to which derived writes are complete; at least Last.Flushed.
	Flushed uint64
}

// Slot tells who holds a slot of a log.
type Slot struct {
	// Taken tells that a record holds the slot.
	Taken bool
	// Holder is the header of that record.
	Holder Header
}

// Entity names an entity. Type and id are at most MaxName bytes each, not empty.
type Entity struct {
	Type, ID string
}

// MaxName limits the bytes of an entity's type, of its id and of a timer's name.
const MaxName = 1024

// Page is a run of one entity's entries.
type Page struct {
	Of          Entity
	First, Last uint64
	// Body is a skerry.log.v1.Page.
	Body []byte
}

// Snapshot is an entity's state after one entry.
type Snapshot struct {
	Of    Entity
	Entry uint64
	// Body is a skerry.log.v1.Snapshot.
	Body []byte
}

// Timer is one row of the timer index. It says where to look, not what to do:
// the entity knows whether this arming is still pending.
type Timer struct {
	Of   Entity
	Name string
	// Armed is the entry that armed it.
	Armed uint64
	// Due is in Unix nanoseconds.
	Due int64
}

// Hour returns the Unix hour under which the index files the timer.
func (t Timer) Hour() int64 { return HourOf(t.Due) }

// HourOf returns the Unix hour of a time in Unix nanoseconds, rounded down.
func HourOf(ns int64) int64 {
	const hour = int64(3600 * 1e9)
	h := ns / hour
	if ns%hour < 0 {
		h--
	}
	return h
}

// Derived is one write of what follows from records of one shard.
type Derived struct {
	Shard uint32
	// UpTo is the record up to which pages and timer index are complete once
	// this is written. Journals that can store it with the rest do.
	UpTo    uint64
	Pages   []Page
	Arms    []Timer
	Disarms []Timer
}
