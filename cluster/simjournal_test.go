package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/skerryhq/skerry/entity/shardtest"
	"github.com/skerryhq/skerry/journal"
)

// simJournal is the one journal of the cluster, as unkind as its contract allows: what it says late, it may say about
// another moment; what it calls unknown may happen later or never. For one place, or for all, it may be away.
type simJournal struct {
	s         *sim
	logs      []*simLog // by shard
	pages     map[journal.Entity][]journal.Page
	snapshots map[journal.Entity][]journal.Snapshot
	rows      map[string]Witness // by address
	orders    orders
	away      bool   // for all
	awayFrom  []bool // by place
	claims    int    // that ever landed
}

// simLog is one shard's. acked is the newest slot that anybody was told is taken: a read may miss a record that
// came after it.
type simLog struct {
	records []journal.Record
	acked   uint64
	flushed uint64
	timers  []journal.Timer
}

var errSimNoAnswer = errors.New("no answer in time")

func newSimJournal(s *sim) *simJournal {
	j := &simJournal{
		s: s, pages: map[journal.Entity][]journal.Page{}, snapshots: map[journal.Entity][]journal.Snapshot{},
		rows: map[string]Witness{}, awayFrom: make([]bool, s.plan.places),
	}
	for range s.plan.shards {
		j.logs = append(j.logs, &simLog{})
	}
	return j
}

// back ends all outages.
func (j *simJournal) back() { j.away, j.awayFrom = false, make([]bool, j.s.plan.places) }

func (j *simJournal) isAway(p *simProcess) bool { return j.away || j.awayFrom[p.place.number] }

// call plays a call of a process: work at some moment, what it returned a while later. It fails where the journal
// is away, and then the work may be done all the same, if it is a write and wild.
func (j *simJournal) call(p *simProcess, wild bool, work func() error, answer func(error)) {
	s := j.s
	if j.isAway(p) {
		s.counts["calls while the journal is away"]++
		if wild && s.chance(0.1) {
			s.after(s.pause(time.Second), func() { _ = work() })
		}
		p.after(s.between(100*time.Millisecond, time.Second), func() { answer(errSimNoAnswer) })
		return
	}
	s.after(p.takes(s.plan.journal), func() {
		err := errSimNoAnswer
		if gone := j.isAway(p); !gone || wild && s.coin() {
			err = work()
			if gone {
				err = errSimNoAnswer
			}
		}
		p.after(j.way(), func() { answer(err) })
	})
}

// way is how long an answer is under way. Much may happen meanwhile.
func (j *simJournal) way() int64 {
	if j.s.chance(j.s.plan.lateAnswers) {
		j.s.counts["late answers of the journal"]++
		return j.s.pause(50 * j.s.plan.journal)
	}
	return j.s.pause(j.s.plan.journal / 4)
}

// append plays one append of an owner.
func (j *simJournal) append(a *simShard, x shardtest.Append) {
	s, rec, l := j.s, x.Record, j.logs[a.number]
	lost, hidden := s.chance(s.plan.unknownLost), s.chance(s.plan.unknownStored)
	var slot journal.Slot
	j.call(a.p, true, func() error {
		if lost {
			return errSimNoAnswer
		}
		j.land(a, rec)
		if hidden {
			return errSimNoAnswer
		}
		l.acked = max(l.acked, rec.Number)
		slot = journal.Slot{Taken: true, Holder: l.records[rec.Number-1].Header}
		return nil
	}, func(err error) {
		a.input(func(now int64) {
			s.log("%s <- appended %d: %s", a, rec.Number, simOutcome(slot, err))
			a.m.Appended(now, slot, err)
		})
	})
}

func simOutcome(slot journal.Slot, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case !slot.Taken:
		return "empty"
	}
	return fmt.Sprintf("record %d of %s, epoch %d, claim %v", slot.Holder.Number, slot.Holder.Writer, slot.Holder.Epoch, slot.Holder.Claim)
}

// land is the moment at which an append takes effect, if its slot is free.
func (j *simJournal) land(a *simShard, rec journal.Record) {
	l := j.logs[a.number]
	end := uint64(len(l.records))
	switch {
	case rec.Number <= end:
		return
	case rec.Number > end+1:
		j.s.fail("%s appends record %d behind record %d: the log would not be dense", a, rec.Number, end)
	}
	l.records = append(l.records, rec)
	j.s.log("journal: record %d of shard %d by %s, epoch %d, claim %v", rec.Number, a.number, rec.Writer, rec.Epoch, rec.Claim)
	if rec.Claim {
		j.claims++
		j.s.counts["claims"]++
		j.s.claimed(a, rec)
	}
	j.s.truth.take(a.number, rec)
}

// visible is a position up to which a read may see the log.
func (j *simJournal) visible(l *simLog) uint64 {
	if j.s.coin() {
		return uint64(len(l.records))
	}
	return l.acked
}

func (j *simJournal) readFails() bool { return j.s.chance(j.s.plan.readFails) }

// tail answers a tail check: what is acknowledged when it is asked is seen.
func (j *simJournal) tail(a *simShard, c shardtest.Check) {
	s, l := j.s, j.logs[a.number]
	must := l.acked >= c.Number
	var slot journal.Slot
	j.call(a.p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		if taken := uint64(len(l.records)) >= c.Number; must || taken && s.coin() {
			slot = journal.Slot{Taken: true, Holder: l.records[c.Number-1].Header}
			l.acked = max(l.acked, c.Number)
		}
		return nil
	}, func(err error) {
		a.input(func(now int64) {
			s.log("%s <- checked %d: %s", a, c.Number, simOutcome(slot, err))
			a.m.Checked(now, c.Seq, slot, err)
		})
	})
}

// head answers with a hint.
func (j *simJournal) head(a *simShard) {
	s, l := j.s, j.logs[a.number]
	var head journal.Head
	j.call(a.p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		n := j.visible(l)
		if s.chance(s.plan.staleHead) && n > 0 {
			n -= min(n, s.rng.Uint64N(8))
		}
		if n > 0 {
			head.Last = l.records[n-1].Header
		}
		head.Flushed = head.Last.Flushed
		if s.coin() {
			head.Flushed = max(head.Flushed, min(l.flushed, n))
		}
		return nil
	}, func(err error) {
		a.input(func(now int64) {
			s.log("%s <- head %d, flushed %d: %v", a, head.Last.Number, head.Flushed, err)
			a.m.HeadRead(now, head, err)
		})
	})
}

// read answers with some of the records asked for, cut anywhere.
func (j *simJournal) read(a *simShard, r shardtest.LogRange) {
	s, l := j.s, j.logs[a.number]
	var records []journal.Record
	j.call(a.p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		n := j.visible(l)
		if r.From > n {
			return nil
		}
		end := r.From + s.rng.Uint64N(n-r.From+1)
		l.acked = max(l.acked, end)
		records = l.records[r.From-1 : end]
		return nil
	}, func(err error) {
		a.input(func(now int64) {
			s.log("%s <- read %d records from %d: %v", a, len(records), r.From, err)
			a.m.LogRead(now, records, err)
		})
	})
}

// readTimers reads the index at one moment.
func (j *simJournal) readTimers(a *simShard, h shardtest.HourRange) {
	l := j.logs[a.number]
	var found []journal.Timer
	j.call(a.p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		for _, t := range l.timers {
			if hour := t.Hour(); hour >= h.From && hour < h.To {
				found = append(found, t)
			}
		}
		return nil
	}, func(err error) {
		a.input(func(now int64) { a.m.TimersLoaded(now, h, found, err) })
	})
}

// derive writes pages, index and snapshots: all, or nobody knows what of it.
func (j *simJournal) derive(a *simShard, d *shardtest.Derive) {
	s, l := j.s, j.logs[a.number]
	fails := s.chance(s.plan.deriveFails)
	j.call(a.p, true, func() error {
		for _, w := range j.writes(d) {
			if !fails || s.coin() {
				w()
			}
		}
		if fails {
			return errSimNoAnswer
		}
		l.flushed = max(l.flushed, d.UpTo)
		return nil
	}, func(err error) {
		a.input(func(now int64) {
			s.log("%s <- derived up to %d: %v", a, d.UpTo, err)
			a.m.Derived(now, err)
		})
	})
}

// writes returns the rows of a job, in the order in which they are written.
func (j *simJournal) writes(d *shardtest.Derive) []func() {
	var out []func()
	l := j.logs[d.Shard]
	for _, p := range d.Pages {
		out = append(out, func() { j.addPage(p) })
	}
	for _, t := range d.Arms {
		out = append(out, func() {
			if at, found := slices.BinarySearchFunc(l.timers, t, journal.Timer.Compare); !found {
				l.timers = slices.Insert(l.timers, at, t)
			}
		})
	}
	for _, t := range d.Disarms {
		out = append(out, func() {
			if at, found := slices.BinarySearchFunc(l.timers, t, journal.Timer.Compare); found {
				l.timers = slices.Delete(l.timers, at, at+1)
			}
		})
	}
	return out
}

func (j *simJournal) addPage(p journal.Page) {
	list := j.pages[p.Of]
	at, found := slices.BinarySearchFunc(list, p, func(a, b journal.Page) int {
		return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.First, b.First))
	})
	if !found {
		j.pages[p.Of] = slices.Insert(list, at, p)
	}
}

// putRow stores a process's row. What an ended process sent may land behind the next one's.
func (j *simJournal) putRow(p *simProcess, row Witness, done func(error)) {
	j.call(p, true, func() error {
		if old, found := j.rows[row.Address]; found && old.Incarnation == row.Incarnation && old.Beat > row.Beat {
			return nil // a process's calls win in their order
		}
		j.rows[row.Address] = row
		return nil
	}, done)
}

func (j *simJournal) readRows(p *simProcess, done func(rowsRead)) {
	var rows []Witness
	j.call(p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		for _, address := range slices.Sorted(maps.Keys(j.rows)) {
			rows = append(rows, j.rows[address])
		}
		return nil
	}, func(err error) { done(rowsRead{rows, err}) })
}

func (j *simJournal) readOrders(p *simProcess, done func(orders, error)) {
	var read orders
	j.call(p, false, func() error {
		if j.readFails() {
			return errSimNoAnswer
		}
		read = orders{pins: slices.Clone(j.orders.pins), drains: slices.Clone(j.orders.drains)}
		return nil
	}, func(err error) { done(read, err) })
}
