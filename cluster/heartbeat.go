package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// Witness is what one node says of itself in the journal.
type Witness = journal.Witness

// heartbeat decides when this node's row is put, and what it says. It is a pure machine for one caller at a time; times
// are nanoseconds of any one clock of this node. Puts never overlap: the next is due only
// when the one under way has ended.
type heartbeat struct {
	self Member
	view []byte
	beat uint64

	putting  bool
	outdated bool  // view is not what the last put said
	began    int64 // the last put
	ended    int64
	failures int   // since the last success
	failing  int64 // when the first of them began, as far as that counts
	lost     bool
}

const (
	// beatPause is the time from one put to the next.
	beatPause = 500 * time.Millisecond
	// changePause is the least time between two puts: a new view does not wait for the beat.
	changePause = 100 * time.Millisecond
	// firstRetry is the pause after a put failed. It grows to beatPause and no further: when the journal is back,
	// others must see that this node lives before they take its silence for death.
	firstRetry = 125 * time.Millisecond
	// rowPatience bounds one put or reading.
	rowPatience = time.Second
	// lostAfter is how long puts must fail until the node says that it cannot reach the journal. Of the first not more
	// than rowPatience counts: if it took longer, this process was paused.
	lostAfter = 2 * time.Second
)

func newHeartbeat(self Member) *heartbeat {
	return &heartbeat{self: self, view: voiceOf(self, nil).encode(), outdated: true}
}

// hear takes in who the members are.
func (h *heartbeat) hear(members []Member) {
	if view := voiceOf(h.self, members).encode(); !bytes.Equal(view, h.view) {
		h.view, h.outdated = view, true
	}
}

// due tells when the row is to be put; false while a put is under way.
func (h *heartbeat) due() (at int64, ok bool) {
	switch {
	case h.putting:
		return 0, false
	case h.failures > 0:
		return h.ended + int64(min(firstRetry<<min(h.failures-1, 4), beatPause)), true
	case h.outdated:
		return h.began + int64(changePause), true
	}
	return h.began + int64(beatPause), true
}

// begin returns the row to put now.
func (h *heartbeat) begin(now int64) Witness {
	h.beat++
	h.began, h.putting, h.outdated = now, true, false
	return Witness{Address: h.self.Node, Incarnation: h.self.Incarnation, Beat: h.beat, View: h.view}
}

// end takes in what came of the put.
func (h *heartbeat) end(now int64, err error) {
	h.ended, h.putting = now, false
	if err == nil {
		h.failures, h.lost = 0, false
		return
	}
	if h.failures == 0 {
		h.failing = max(h.began, now-int64(rowPatience))
	}
	h.failures++
	h.lost = h.lost || now-h.failing >= int64(lostAfter)
}

// journalLost tells that the node cannot write to the journal. That it can read alone does not help: an owner must write.
func (h *heartbeat) journalLost() bool { return h.lost }

// pulse puts this node's row for as long as it runs, and reads the others' when asked. Its methods may be called concurrently.
type pulse struct {
	rows   journal.Witnesses
	log    *slog.Logger
	now    func() int64
	told   func(journalLost bool)
	cancel context.CancelFunc
	wait   sync.WaitGroup
	first  chan struct{} // closed when the row was stored for the first time
	signal chan struct{}
	asked  chan func(rowsRead)

	mu      sync.Mutex
	members []Member
}

// startPulse puts the row at once and then for as long as the pulse runs. Each time the journal is lost or found again
// it calls told, on the pulse's own goroutine; told must not block. Times are of the clock now.
func startPulse(rows journal.Witnesses, self Member, log *slog.Logger, now func() int64, told func(journalLost bool)) *pulse {
	ctx, cancel := context.WithCancel(context.Background())
	p := &pulse{
		rows: rows, log: log, now: now, told: told, cancel: cancel,
		first: make(chan struct{}), signal: make(chan struct{}, 1), asked: make(chan func(rowsRead), 1),
	}
	p.wait.Go(func() { p.run(ctx, newHeartbeat(self)) })
	p.wait.Go(func() { p.readAsked(ctx) })
	return p
}

// stored is closed when others can see this node in the journal: before that it must not claim.
func (p *pulse) stored() <-chan struct{} { return p.first }

// hear has the row say that these are the members. It does not block.
func (p *pulse) hear(members []Member) {
	p.mu.Lock()
	p.members = members
	p.mu.Unlock()
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *pulse) run(ctx context.Context, h *heartbeat) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		h.hear(p.heard())
		if at, ok := h.due(); ok && at <= p.now() {
			p.put(ctx, h)
			continue
		} else if ok {
			timer.Reset(time.Duration(at - p.now()))
		}
		select {
		case <-timer.C:
		case <-p.signal:
		case <-ctx.Done():
		}
	}
}

func (p *pulse) heard() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members
}

// put puts the row and tells when that changes whether the journal is lost.
func (p *pulse) put(ctx context.Context, h *heartbeat) {
	was := h.journalLost()
	bounded, cancel := context.WithTimeout(ctx, rowPatience)
	err := p.rows.PutWitness(bounded, h.begin(p.now()))
	cancel()
	if ctx.Err() != nil {
		return
	}
	h.end(p.now(), err)
	if err == nil && !isClosed(p.first) {
		close(p.first)
	}
	switch lost := h.journalLost(); {
	case lost && !was:
		p.log.Warn("the node cannot write to the journal", "node", h.self.Node, "failures", h.failures, "cause", err)
		p.told(true)
	case was && !lost:
		p.log.Info("the node can write to the journal again", "node", h.self.Node)
		p.told(false)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// errReading tells of a reading that was asked for while another waited.
var errReading = errors.New("cluster: the witness rows are being read already")

// rowsRead is what came of a reading.
type rowsRead struct {
	rows []Witness
	err  error
}

// read has the rows read and done called with them, on a goroutine of the pulse's; not if the pulse is closed before. It
// does not block. The next may be asked for when done was called.
func (p *pulse) read(done func(rowsRead)) {
	select {
	case p.asked <- done:
	default:
		done(rowsRead{err: errReading})
	}
}

func (p *pulse) readAsked(ctx context.Context) {
	for {
		select {
		case done := <-p.asked:
			p.readRows(ctx, done)
		case <-ctx.Done():
			return
		}
	}
}

func (p *pulse) readRows(ctx context.Context, done func(rowsRead)) {
	bounded, cancel := context.WithTimeout(ctx, rowPatience)
	defer cancel()
	rows, err := p.rows.Witnesses(bounded)
	if ctx.Err() == nil {
		done(rowsRead{rows, err})
	}
}

// close ends the pulse and waits for it. The row stays in the journal and stands still.
func (p *pulse) close() {
	p.cancel()
	p.wait.Wait()
}
