package cassandra

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

// Journal is a journal in Cassandra. It implements journal.Journal and
// journal.Limited; all methods may be called concurrently.
type Journal struct {
	cfg     Config
	session *gocql.Session
	// slots bounds the derived writes under way.
	slots chan struct{}
	// stamped is the newest timestamp that was given to a derived write, in Unix microseconds.
	stamped   atomic.Int64
	witnessed witnessStamps

	mu     sync.Mutex // guards closed, shards, and the start of calls
	closed bool
	calls  sync.WaitGroup
	shards map[uint32]*shard
}

var (
	_ journal.Journal = (*Journal)(nil)
	_ journal.Limited = (*Journal)(nil)
)

// Open opens the journal in a keyspace. It refuses a database that is not fit for it:
// see the errors of this package, journal.ErrFormat, and what they say. It waits for a
// database that cannot be reached, or has no time for a question, until ctx ends, 30 s at most each time.
func Open(ctx context.Context, cfg Config) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, cfg); err != nil {
		return nil, err
	}
	session, err := connect(ctx, cfg, cfg.Keyspace)
	if err != nil {
		return nil, err
	}
	j := &Journal{cfg: cfg, session: session, slots: make(chan struct{}, cfg.DerivedInFlight), shards: map[uint32]*shard{}}
	if err := j.check(ctx); err != nil {
		session.Close()
		return nil, err
	}
	return j, nil
}

// prepare makes or checks the schema, through a session of its own: the driver
// cannot connect to a keyspace that does not exist.
func prepare(ctx context.Context, cfg Config) error {
	cfg.Timeout = max(cfg.Timeout, schemaTimeout)
	session, err := connect(ctx, cfg, "")
	if err != nil {
		return err
	}
	defer session.Close()
	has := requireSchema
	if cfg.CreateSchema {
		has = createSchema
	}
	return patiently(ctx, func(ctx context.Context) error { return has(ctx, session, cfg) })
}

// schemaTimeout bounds one change of the schema, which waits for all nodes.
const schemaTimeout = 15 * time.Second

// MaxRecord implements journal.Limited.
func (j *Journal) MaxRecord() int { return j.cfg.MaxRecordBytes }

// Close implements journal.Journal.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return journal.ErrClosed
	}
	j.closed = true
	j.mu.Unlock()
	j.calls.Wait()
	j.session.Close()
	return nil
}

// enter begins a call, which must end with j.calls.Done.
func (j *Journal) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return journal.ErrClosed
	}
	j.calls.Add(1)
	return nil
}

// shard returns what is known of a shard's log, which is made on first use.
func (j *Journal) shard(number uint32) *shard {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.shards[number]
	if s == nil {
		s = &shard{number: number, hours: map[int64]bool{}}
		j.shards[number] = s
	}
	return s
}

// stamp returns a timestamp for a derived write, greater than any before it in this
// process: what is written later wins.
func (j *Journal) stamp() int64 {
	for {
		last := j.stamped.Load()
		next := max(time.Now().UnixMicro(), last+1)
		if j.stamped.CompareAndSwap(last, next) {
			return next
		}
	}
}

// query builds a read. Reads are asked twice if need be: a node that does not
// answer is asked last from then on.
func (j *Journal) query(ctx context.Context, statement string, values ...any) *gocql.Query {
	return j.session.Query(statement, values...).WithContext(ctx).Consistency(j.cfg.quorum())
}

// readAttempts is how often a read is sent before its error is passed on.
const readAttempts = 2

// again calls read until it succeeds or attempts are used up.
func again(ctx context.Context, read func() error) error {
	for attempt := 1; ; attempt++ {
		err := read()
		if err == nil || attempt == readAttempts || ctx.Err() != nil {
			return err
		}
	}
}
