package shard

import (
	"time"

	"github.com/skerryhq/skerry/journal"
)

// Config says who runs a machine and within which limits. All fields are required.
type Config struct {
	Shard uint32
	// Node is the incarnation that claims.
	Node string
	// NewBatch makes batch ids.
	NewBatch func() journal.Batch
	// MaxRecordBytes limits the entries of one record.
	MaxRecordBytes int
	// FlushBytes and FlushAfter bound what is committed but not yet in pages before it
	// is written; StallBytes is where new commands wait for that.
	FlushBytes, StallBytes int
	FlushAfter             time.Duration
	// SnapshotBytes is what an entity must have stored since its last snapshot for another one.
	SnapshotBytes int
	// IdleAfter is when an entity without commands leaves memory.
	IdleAfter time.Duration
	// ResetTime makes the claim set the shard's time to the clock, even back.
	ResetTime bool
}

// Phase is where a machine is in its life.
type Phase uint8

// The phases of a machine.
const (
	// Starting: claiming and reading the log's tail. Commands wait.
	Starting Phase = iota
	// Serving is the normal phase.
	Serving
	// Fenced: another owner's claim is in the log.
	Fenced
	// Halted: the log breaks a promise, or the host gave up. Nothing is answered any more.
	Halted
)

// String names the phase for operators.
func (p Phase) String() string {
	return [...]string{"starting", "serving", "fenced", "halted"}[p]
}

// Machine is the logic of one shard. It is used by one goroutine at a time.
type Machine struct {
	cfg    Config
	phase  Phase
	reason string // why it is fenced or halted
	owner  string // writer of the newest claim known
	bug    bug    // planted by tests

	out      Ready
	now      int64
	time     int64 // of the newest command
	draining bool

	// The log. What is gathered becomes record last.Number+1, or +2 while one is in flight.
	last     journal.Header // newest committed record
	inflight *inflight
	gathered []batch // each fits a record
	gatherSz int
	offset   uint64 // of the newest event, gathered ones included
	wantSlot bool
	refused  refusal
	claim    claim

	// Confirmation.
	sent      uint64 // appends and checks sent so far
	confirmed uint64 // the newest of them that showed the shard is ours
	check     check
	waiters   fifo[waiter]
	locals    []waiter

	// Commands and entities.
	entities  map[journal.Entity]*Entity
	peak      int        // most entities that the map held since it was made
	waiting   []*Command // while starting
	stalled   []*Entity
	commands  list // all unanswered ones
	pending   int
	expireAt  int64 // no unanswered command's deadline is before it; 0 if there is none
	live      int
	liveBytes int
	evictions int // entities that are to leave once the pages hold what they hold
	troubled  fifo[*Entity]
	lru       lru

	timers timers
	derive derive
}

// Ready is what the host has to do. Its slices are valid until the next Ready.
type Ready struct {
	// Answers leave now.
	Answers []Answer
	// Stops end the actors of these entities.
	Stops []Stop
	// Recovers rebuild entities and report Recovered.
	Recovers []Recover
	// Awaits are about recoveries under way, those of Recovers included.
	Awaits []Await
	// Handles run commands at the entities' actors and report Handled.
	Handles []Handle
	// Encodes ask the entities' actors for their states, behind the Handles before them, and
	// report Encoded.
	Encodes []Encode
	// NeedSlot asks for one Slot call when the node has room for one more append.
	NeedSlot bool
	// Append goes to the journal; its outcome to Appended.
	Append *Append
	// Check goes to the journal's Tail; its outcome to Checked.
	Check *Check
	// ReadHead asks for HeadRead, ReadLog for LogRead, LoadTimers for TimersLoaded.
	ReadHead   bool
	ReadLog    *LogRange
	LoadTimers *HourRange
	// Derive goes to the journal's derived tables; its outcome to Derived.
	Derive *Derive
	// Committed are records that have just become part of the log for good, in order. They
	// are not told again.
	Committed []journal.Record
	// Failures are for the host's log.
	Failures []string
}

// New returns a machine that has done nothing yet.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg, entities: map[journal.Entity]*Entity{}}
}

// Ready returns what is to be done and forgets it.
func (m *Machine) Ready() *Ready { return &m.out }

// Done tells that the host has taken all of Ready.
func (m *Machine) Done() {
	r := &m.out
	clear(r.Answers)
	clear(r.Stops)
	clear(r.Recovers)
	clear(r.Awaits)
	clear(r.Handles)
	clear(r.Encodes)
	clear(r.Committed)
	*r = Ready{
		Answers: r.Answers[:0], Stops: r.Stops[:0], Recovers: r.Recovers[:0], Awaits: r.Awaits[:0],
		Handles: r.Handles[:0], Encodes: r.Encodes[:0], Committed: r.Committed[:0],
	}
}

// Wake returns when Tick is to be called next, in Unix nanoseconds; 0 means never.
func (m *Machine) Wake() int64 {
	if m.phase >= Fenced {
		return 0
	}
	at := earliest(m.expireAt, m.claim.retryAt, m.check.retryAt, m.refused.until)
	if m.inflight != nil {
		at = earliest(at, m.inflight.retryAt)
	}
	if m.phase == Serving {
		at = earliest(at, m.derive.wake(m), m.lru.wake(m.cfg.IdleAfter))
		if !m.draining {
			at = earliest(at, m.timers.wake())
		}
	}
	return at
}

// Tick lets pass what time brings: deadlines, retries, timers, flushes, passivation.
func (m *Machine) Tick(now int64) {
	m.observe(now)
	if m.phase >= Fenced {
		return
	}
	if m.expireAt != 0 && m.expireAt <= m.now {
		m.expire()
	}
	if m.refused.until <= m.now {
		m.refused.until = 0
	}
	m.retryClaim()
	m.retryAppend()
	m.retryCheck()
	if m.phase == Serving {
		m.resume()
		m.fireTimers()
		m.maybeDerive()
		m.passivateIdle()
		m.forgetTroubles()
	}
	m.advance()
}

// observe takes the host's clock, which never runs backwards here.
func (m *Machine) observe(now int64) { m.now = max(m.now, now) }

// advance asks for whatever the shard needs next to go on.
func (m *Machine) advance() {
	if m.phase != Serving {
		return
	}
	if len(m.gathered) > 0 && m.inflight == nil && !m.wantSlot {
		m.wantSlot = true
		m.out.NeedSlot = true
	}
	m.maybeCheck()
}

// Drain makes the machine refuse new commands and write all that is derived.
func (m *Machine) Drain(now int64) {
	m.observe(now)
	m.draining = true
	m.maybeDerive()
	m.advance()
}

// Drained tells that a draining machine has nothing left to do.
func (m *Machine) Drained() bool {
	if m.phase >= Fenced {
		return true
	}
	return m.draining && m.phase == Serving && m.pending == 0 && m.inflight == nil && len(m.gathered) == 0 && m.derive.idle()
}

// Info is what an operator sees.
type Info struct {
	Phase          Phase
	Refusing       bool
	Reason, Owner  string
	Epoch          uint64
	Head, Flushed  uint64
	Offset         uint64
	Live, Pending  int
	LiveBytes      int
	UnflushedBytes int
	// Late counts the entities whose pages cannot be written while others' can.
	Late int
}

// Info returns what is known now.
func (m *Machine) Info() Info {
	i := Info{
		Phase: m.phase, Reason: m.reason, Owner: m.owner, Epoch: m.last.Epoch, Head: m.last.Number,
		Flushed: m.derive.flushed, Offset: m.last.NextOffset() - 1, Live: m.live, LiveBytes: m.liveBytes,
		Pending: m.pending, UnflushedBytes: m.derive.bytes, Late: len(m.derive.late.entities),
	}
	if m.refused.until > m.now {
		i.Refusing, i.Reason = true, m.refused.reason
	}
	return i
}

// Trouble says what a machine that serves waits for, if its journal does not answer.
func (m *Machine) Trouble() string {
	if m.phase != Serving {
		return ""
	}
	return m.reason
}

// Owner is who wrote the newest claim known.
func (m *Machine) Owner() string { return m.owner }

// Phase returns where the machine is in its life.
func (m *Machine) Phase() Phase { return m.phase }

// Live returns how many entities are in memory, and about how many bytes.
func (m *Machine) Live() (entities, bytes int) { return m.live, m.liveBytes }

func earliest(times ...int64) int64 {
	var first int64
	for _, t := range times {
		if t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	return first
}
