package readside

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// lane is one shard as one processor follows it. The feeder reads records ahead, the
// worker handles them.
type lane struct {
	shard uint32
	// stirred tells that the feeder will look at the lane, so that one change needs one look.
	stirred atomic.Bool

	// The rest is guarded by the worker's lock.
	phase  phase
	reason string // why it is halted or waits
	// life is raised when what was read ahead is thrown away.
	life uint64
	ahead
	ready    []*record // read, not yet seen by the worker
	offered  bool      // the worker knows that there is something to do
	stalled  bool      // the feeder waits for room to read it
	tied     bool      // its next command failed or is blocked: it is read one record at a time
	until    time.Time // it rests until then
	readFail int       // reads that failed in a row
	shown    shown
	reached  uint64 // offset committed
	waiters  []waiter

	// readAt is the feeder's alone: a read failed, and none is tried before.
	readAt time.Time

	// What follows is the worker's alone.
	stored stored
	// at is beyond stored by records without events: they are not worth a transaction.
	at      position
	seen    uint64    // the life that todo is of
	todo    []*record // taken over from ready, not committed
	done    int       // commands of todo[0] that are handled
	parked  map[journal.Entity]int
	rows    int // parked commands
	trouble *trouble
	full    bool // it was told that too much is parked
	// careful is the offset up to which commands go one by one, after a commit that failed.
	careful  uint64
	setbacks int // in a row, that were no command's fault
}

type phase int

const (
	// passive: another node follows the shard.
	passive phase = iota
	// loading: the worker has yet to read where it stopped.
	loading
	following
	// blocked: too many commands are parked.
	blocked
	// halted: a promise of the log is broken or the position is impossible.
	halted
)

func (p phase) String() string {
	return [...]string{"elsewhere", "loading", "following", "blocked", "halted"}[p]
}

// reads tells that the lane follows and does not wait. The lock is held.
func (l *lane) reads() bool { return l.phase == following && l.until.IsZero() }

// ahead is where the feeder reads on, and what must hold for the next record.
type ahead struct {
	next   uint64 // number of the next record
	offset uint64 // that it begins with
	epoch  uint64 // at least
	// within tells that the record may begin earlier: it is partly done.
	within bool
	bytes  int // of records read and not committed
}

// shown is what operators see of a lane.
type shown struct {
	position
	handled, errors, slow uint64
	parkedEntities        int
	parkedCommands        int
	lastError             string
	lastErrorAt           time.Time
	failing               string // the error of the command that is tried again
	retryAt               time.Time
	oldest                time.Time // time of the oldest event read and not handled
}

// trouble is a command that failed.
type trouble struct {
	offset   uint64 // of its first event
	attempts int
	err      error
}

// check tells whether a record may follow.
func (a *ahead) check(r *record) error {
	begins := r.FirstOffset == a.offset || (a.within && r.FirstOffset < a.offset && a.offset <= r.FirstOffset+r.Events)
	switch {
	case r.Number != a.next:
		return fmt.Errorf("%w: record %d stands where record %d must be", errBroken, r.Number, a.next)
	case !begins:
		return fmt.Errorf("%w: record %d begins with offset %d, not %d", errBroken, r.Number, r.FirstOffset, a.offset)
	case r.Epoch < a.epoch:
		return fmt.Errorf("%w: record %d has epoch %d after epoch %d", errBroken, r.Number, r.Epoch, a.epoch)
	}
	return nil
}

// accept moves on past records that were checked.
func (a *ahead) accept(r *record) {
	a.next, a.offset, a.epoch, a.within = r.Number+1, r.FirstOffset+r.Events, r.Epoch, false
	a.bytes += r.size
}

// ahead is where to read on behind a position.
func (p position) ahead() ahead {
	return ahead{next: p.record + 1, offset: p.offset + 1, epoch: p.epoch, within: true}
}
