package shard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// modelJournal is the journal of one shard, as unkind as its contract allows: what it says
// late, it may say about another moment; what it calls unknown may happen later or never.
type modelJournal struct {
	s    *sim
	log  []journal.Record
	full bool // the disk

	// acked is the newest slot that anybody was told is taken. A read may miss a record
	// that came after it.
	acked   uint64
	flushed uint64
	// pages and snapshots are by entity.
	pages     [][]journal.Page
	snapshots [][]journal.Snapshot
	timers    []journal.Timer
}

var (
	errNoAnswer = errors.New("no answer in time")
	errDiskFull = fmt.Errorf("%w: %w", journal.ErrRefused, journal.ErrFull)
)

// append plays one append of an owner.
func (j *modelJournal) append(o *simOwner, a *Append) {
	s, rec := j.s, a.Record
	answer := func(slot journal.Slot, err error) {
		o.input(func(now int64) {
			s.log("%s <- appended %d: %s", o.name, rec.Number, outcome(slot, err))
			o.m.Appended(now, slot, err)
		})
	}
	lands := s.pause(s.mix.latency)
	if s.chance(s.mix.stall) {
		lands += s.pause(100 * s.mix.latency)
	}
	switch {
	case j.full && !s.calm, s.chance(s.mix.refuse):
		s.counts["append refused"]++
		s.after(s.pause(s.mix.latency)+j.way(), func() { answer(journal.Slot{}, errDiskFull) })
	case s.chance(s.mix.unknownLost):
		s.counts["append unknown, lost"]++
		s.after(lands, func() { answer(journal.Slot{}, errNoAnswer) })
	case s.chance(s.mix.unknownStored):
		s.counts["append unknown, stored"]++
		s.after(lands, func() { j.land(o, rec); j.ambush() })
		s.after(s.pause(s.mix.latency), func() { answer(journal.Slot{}, errNoAnswer) })
	default:
		s.after(lands, func() {
			j.land(o, rec)
			s.after(j.way(), func() {
				j.acked = max(j.acked, rec.Number)
				answer(journal.Slot{Taken: true, Holder: j.log[rec.Number-1].Header}, nil)
			})
		})
	}
}

// way is how long an answer is under way. Much may happen meanwhile.
func (j *modelJournal) way() int64 {
	if j.s.chance(j.s.mix.lateAnswers) {
		j.s.counts["late answers of the journal"]++
		j.ambush()
		return j.s.pause(50 * j.s.mix.latency)
	}
	return j.s.pause(j.s.mix.latency / 4)
}

// ambush lets another owner come at the worst moment: when one has not heard of its append.
func (j *modelJournal) ambush() {
	if j.s.chance(j.s.mix.ambush) && len(j.s.alive()) < 3 && j.s.started < 20 {
		j.s.counts["ambush"]++
		j.s.startOwner()
	}
}

func outcome(slot journal.Slot, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case !slot.Taken:
		return "empty"
	}
	return fmt.Sprintf("record %d of %s, epoch %d, claim %v", slot.Holder.Number, slot.Holder.Writer, slot.Holder.Epoch, slot.Holder.Claim)
}

// land is the moment at which an append takes effect, if its slot is free.
func (j *modelJournal) land(o *simOwner, rec journal.Record) {
	end := uint64(len(j.log))
	switch {
	case rec.Number <= end:
		return
	case rec.Number > end+1:
		j.s.fail("%s appends record %d behind record %d: the log would not be dense", o.name, rec.Number, end)
	}
	j.log = append(j.log, rec)
	j.s.log("journal: record %d of %s, epoch %d, claim %v, flushed %d, timers from %d", rec.Number, rec.Writer, rec.Epoch, rec.Claim, rec.Flushed, rec.TimersFromHour)
	j.s.truth.take(rec)
}

// visible is a position up to which a read may see the log.
func (j *modelJournal) visible() uint64 {
	if j.s.coin() {
		return uint64(len(j.log))
	}
	return j.acked
}

// tail answers a tail check: what is acknowledged when it is asked is seen.
func (j *modelJournal) tail(o *simOwner, c *Check) {
	s := j.s
	must := j.acked >= c.Number
	s.after(s.pause(s.mix.latency)+j.way(), func() {
		var slot journal.Slot
		var err error
		switch taken := uint64(len(j.log)) >= c.Number; {
		case s.chance(s.mix.readFails):
			err = errNoAnswer
			s.counts["check failed"]++
		case must, taken && s.coin():
			slot = journal.Slot{Taken: true, Holder: j.log[c.Number-1].Header}
			j.acked = max(j.acked, c.Number)
		}
		o.input(func(now int64) {
			s.log("%s <- checked %d: %s", o.name, c.Number, outcome(slot, err))
			o.m.Checked(now, c.Seq, slot, err)
		})
	})
}

// head answers with a hint.
func (j *modelJournal) head(o *simOwner) {
	s := j.s
	s.after(s.pause(s.mix.latency), func() {
		var head journal.Head
		var err error
		n := j.visible()
		if s.chance(s.mix.staleHead) && n > 0 {
			n -= min(n, s.rng.Uint64N(8))
			s.counts["stale head"]++
		}
		if n > 0 {
			head.Last = j.log[n-1].Header
		}
		head.Flushed = head.Last.Flushed
		if s.coin() {
			head.Flushed = max(head.Flushed, min(j.flushed, n))
		}
		if s.chance(s.mix.readFails) {
			head, err = journal.Head{}, errNoAnswer
			s.counts["head failed"]++
		}
		o.input(func(now int64) {
			s.log("%s <- head %d, flushed %d: %v", o.name, head.Last.Number, head.Flushed, err)
			o.m.HeadRead(now, head, err)
		})
	})
}

// read answers with some of the records asked for.
func (j *modelJournal) read(o *simOwner, r *LogRange) {
	s := j.s
	s.after(s.pause(s.mix.latency), func() {
		records, err := j.some(r.From)
		o.input(func(now int64) {
			s.log("%s <- read %d records from %d: %v", o.name, len(records), r.From, err)
			o.m.LogRead(now, records, err)
		})
	})
}

// some returns a run of records, cut anywhere.
func (j *modelJournal) some(from uint64) ([]journal.Record, error) {
	if j.s.chance(j.s.mix.readFails) {
		j.s.counts["read failed"]++
		return nil, errNoAnswer
	}
	n := j.visible()
	if from > n {
		return nil, nil
	}
	end := from + j.s.rng.Uint64N(n-from+1)
	j.acked = max(j.acked, end)
	return j.log[from-1 : end], nil
}

// readTimers reads the index at one moment.
func (j *modelJournal) readTimers(o *simOwner, h HourRange) {
	s := j.s
	s.after(s.pause(s.mix.latency), func() {
		var found []journal.Timer
		var err error
		if s.chance(s.mix.readFails) {
			s.counts["timers failed"]++
			err = errNoAnswer
		} else {
			for _, t := range j.timers {
				if hour := t.Hour(); hour >= h.From && hour < h.To {
					found = append(found, t)
				}
			}
		}
		s.after(s.pause(s.mix.latency/4), func() {
			o.input(func(now int64) {
				s.log("%s <- timers of hours %d to %d: %d, %v", o.name, h.From, h.To, len(found), err)
				o.m.TimersLoaded(now, h, found, err)
			})
		})
	})
}

// derive writes pages, index and snapshots: all, or nobody knows what of it and when.
func (j *modelJournal) derive(o *simOwner, d *Derive) {
	s := j.s
	s.truth.checkDerived(o, d)
	writes := j.writes(d)
	fails := s.chance(s.mix.deriveFails)
	done := func(err error) {
		o.input(func(now int64) {
			s.log("%s <- derived up to %d: %v", o.name, d.UpTo, err)
			o.m.Derived(now, err)
		})
	}
	if fails && s.coin() && j.derivePartly(o, d, done) {
		return
	}
	if fails {
		s.counts["derive failed"]++
		for _, w := range writes {
			if s.coin() {
				s.after(s.pause(4*s.mix.latency), w)
			}
		}
		s.after(s.pause(s.mix.latency), func() { done(errNoAnswer) })
		return
	}
	s.after(s.pause(s.mix.latency), func() {
		for _, w := range writes {
			w()
		}
		j.flushed = max(j.flushed, d.UpTo)
		failsLate := len(d.Snapshots) > 0 && s.chance(s.mix.deriveFails)
		s.after(s.pause(s.mix.latency/4), func() {
			if failsLate { // the pages were written, a snapshot was not
				done(errNoAnswer)
				return
			}
			done(nil)
		})
	})
}

// derivePartly fails for some of the entities: their pages are written or not, all else is written.
func (j *modelJournal) derivePartly(o *simOwner, d *Derive, done func(error)) bool {
	s := j.s
	failed := map[journal.Entity]bool{}
	behind := &journal.BehindError{Err: errNoAnswer}
	for _, p := range d.Pages {
		if _, seen := failed[p.Of]; seen {
			continue
		}
		if failed[p.Of] = s.chance(0.3); failed[p.Of] {
			behind.Entities = append(behind.Entities, p.Of)
		}
	}
	if len(behind.Entities) == 0 {
		return false
	}
	s.counts["derive failed for some"]++
	kept := *d
	kept.Pages = slices.DeleteFunc(slices.Clone(d.Pages), func(p journal.Page) bool { return failed[p.Of] && s.coin() })
	s.after(s.pause(s.mix.latency), func() {
		for _, w := range j.writes(&kept) {
			w()
		}
		done(behind)
	})
	return true
}

// writes returns the rows of a job, in the order in which they are written.
func (j *modelJournal) writes(d *Derive) []func() {
	var out []func()
	for _, p := range d.Pages {
		out = append(out, func() { j.addPage(p) })
	}
	for _, t := range d.Arms {
		out = append(out, func() { j.addTimer(t) })
	}
	for _, t := range d.Disarms {
		out = append(out, func() { j.removeTimer(t) })
	}
	for _, x := range d.Snapshots {
		out = append(out, func() { j.addSnapshot(x) })
	}
	return out
}

func (j *modelJournal) addPage(p journal.Page) {
	j.s.truth.covered(p)
	i := indexOfEntity(p.Of)
	at, found := slices.BinarySearchFunc(j.pages[i], p, func(a, b journal.Page) int {
		return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.First, b.First))
	})
	if !found {
		j.pages[i] = slices.Insert(j.pages[i], at, p)
	}
}

func (j *modelJournal) addTimer(t journal.Timer) {
	j.s.truth.indexed(t)
	if at, found := slices.BinarySearchFunc(j.timers, t, journal.Timer.Compare); !found {
		j.timers = slices.Insert(j.timers, at, t)
	}
}

func (j *modelJournal) removeTimer(t journal.Timer) {
	if at, found := slices.BinarySearchFunc(j.timers, t, journal.Timer.Compare); found {
		j.timers = slices.Delete(j.timers, at, at+1)
	}
}

// sweep deletes the index's hours behind the one that the newest header tells.
func (j *modelJournal) sweep() {
	if n := len(j.log); n > 0 {
		from := j.log[n-1].TimersFromHour
		j.timers = slices.DeleteFunc(j.timers, func(t journal.Timer) bool { return t.Hour() < from })
	}
	if !j.s.calm {
		j.s.after(j.s.pause(time.Minute), j.sweep)
	}
}

func (j *modelJournal) addSnapshot(x journal.Snapshot) {
	i := indexOfEntity(x.Of)
	found := slices.IndexFunc(j.snapshots[i], func(y journal.Snapshot) bool { return y.Entry == x.Entry })
	if found >= 0 {
		j.snapshots[i][found] = x
		return
	}
	kept := append(j.snapshots[i], x)
	slices.SortFunc(kept, func(a, b journal.Snapshot) int { return cmp.Compare(b.Entry, a.Entry) })
	j.snapshots[i] = kept[:min(len(kept), journal.KeptSnapshots)]
}
