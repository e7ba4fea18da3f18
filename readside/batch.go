package readside

import (
	"cmp"
	"slices"
)

// batch is what one transaction carries: shares of lanes, ascending by shard.
type batch struct {
	shares []*share
	events int
	bytes  int
}

// share is a run of one lane's commands.
type share struct {
	lane *lane
	life uint64
	// steps are the commands with where the lane stands after each; end is after all of them,
	// and after records behind them that nobody takes.
	steps []step
	end   place
	// park: the only command is parked, not handled.
	park bool
	to   stored // once its transaction commits
}

// step is one command of a share.
type step struct {
	lane    *lane
	record  *record
	command *command
	after   place
}

// place is where a lane stands: a position, and the same within its todo list.
type place struct {
	position
	records  int // of todo that are done
	commands int // of the record behind them
}

// take makes a batch of what is offered.
func (w *worker) take() *batch {
	b := &batch{}
	w.steps = w.steps[:0]
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle() {
		return b
	}
	for len(w.offers) > 0 && b.events < w.cfg.MaxEvents && b.bytes < w.cfg.MaxBytes {
		l := w.offers[0]
		w.absorb(l)
		if l.alone() && len(b.shares) > 0 {
			break
		}
		w.offers = w.offers[1:]
		l.offered = false
		if s := w.share(b, l); s != nil {
			b.shares = append(b.shares, s)
		} else {
			w.nothingOf(l)
		}
		if l.alone() && len(b.shares) > 0 {
			break
		}
	}
	slices.SortFunc(b.shares, func(s, t *share) int { return cmp.Compare(s.lane.shard, t.lane.shard) })
	return b
}

// nothingOf sees to a lane that has no share in a batch: it waits, or there is more to read. The lock is held.
func (w *worker) nothingOf(l *lane) {
	switch {
	case l.phase == blocked:
		w.shed(l)
	case len(l.todo) == 0:
		w.stir(l)
	}
}

// shed gives back the room of a lane that waits, so that no number of waiting shards stops the others: what was
// read is read again, one record at a time until the lane has moved. The lock is held, and no batch has the lane.
func (w *worker) shed(l *lane) {
	w.bytes -= l.bytes
	l.tied, l.ready = true, nil
	l.todo, l.done = nil, 0
	l.ahead = l.at.ahead()
	w.roomAgain()
}

// absorb takes over what the feeder has read. The lock is held.
func (w *worker) absorb(l *lane) {
	if l.seen != l.life {
		l.todo, l.done, l.seen = nil, 0, l.life
	}
	first := len(l.todo) == 0
	l.todo = append(l.todo, l.ready...)
	clear(l.ready)
	l.ready = l.ready[:0]
	if !first || len(l.todo) == 0 {
		return
	}
	l.done = 0
	for _, c := range l.todo[0].commands {
		if c.last <= l.stored.offset {
			l.done++ // before the restart
		}
	}
}

// alone tells that the lane's next command goes without company.
func (l *lane) alone() bool {
	c := l.nextCommand()
	if c == nil {
		return false
	}
	return (l.trouble != nil && l.trouble.offset == c.first) || c.last <= l.careful
}

// nextCommand is the first that is not handled; nil if there is none.
func (l *lane) nextCommand() *command {
	done := l.done
	for _, r := range l.todo {
		if done < len(r.commands) {
			return &r.commands[done]
		}
		done = 0
	}
	return nil
}

// share takes as much of a lane as the batch has room for; nil if there is nothing to do.
// The lock is held.
func (w *worker) share(b *batch, l *lane) *share {
	if l.phase != following || !l.until.IsZero() || len(l.todo) == 0 {
		return nil
	}
	if !w.followed(l) { // the feeder may be busy reading when a shard goes
		w.giveUp(l)
		return nil
	}
	s := &share{lane: l, life: l.life, steps: w.steps[len(w.steps):], end: l.start()}
	alone, rows := l.alone(), l.rows
	from := l.done
	for i, r := range l.todo {
		for j := from; j < len(r.commands); j++ {
			c := &r.commands[j]
			switch {
			case alone && len(s.steps) > 0, b.events >= w.cfg.MaxEvents, b.bytes >= w.cfg.MaxBytes, l.trouble != nil && !alone && l.trouble.offset == c.first:
				return w.cut(s)
			case l.parked[c.of] > 0 && rows >= w.cfg.MaxParked:
				if len(s.steps) == 0 {
					w.block(l)
				}
				return w.cut(s)
			case l.parked[c.of] > 0:
				rows++
			}
			s.steps = append(s.steps, step{l, r, c, after(i, j, r, c)})
			s.end = s.steps[len(s.steps)-1].after
			b.events += len(c.events)
		}
		from = 0
		b.bytes += r.size
		s.end = whole(i, r)
	}
	return w.cut(s)
}

// cut ends a share: nothing is left of it if the lane would not move.
func (w *worker) cut(s *share) *share {
	l := s.lane
	if len(s.steps) == 0 && s.end.offset == l.stored.offset && s.end.record < l.stored.record+quietRecords {
		w.pass(l, s.end)
		if s.end.records > 0 && len(l.todo) > 0 {
			w.offer(l) // the batch was full of records that nobody takes
		}
		return nil
	}
	s.park = len(s.steps) == 1 && l.trouble != nil && l.trouble.offset == s.steps[0].command.first && w.cfg.MaxAttempts > 0 && l.trouble.attempts >= w.cfg.MaxAttempts
	if s.park && l.rows >= w.cfg.MaxParked {
		w.block(l)
		return nil
	}
	w.keepSteps(s)
	return s
}

// keepSteps gives a share the steps that it has; the next goes behind them.
func (w *worker) keepSteps(s *share) {
	w.steps = append(w.steps, s.steps...) // in place, unless the share outgrew the room
	s.steps = slices.Clip(w.steps[len(w.steps)-len(s.steps):])
}

// start is where a lane stands now.
func (l *lane) start() place { return place{position: l.at, commands: l.done} }

// pass moves a lane on within its todo list. The lock is held.
func (w *worker) pass(l *lane, to place) {
	freed := 0
	for _, r := range l.todo[:to.records] {
		freed += r.size
	}
	clear(l.todo[:to.records])
	l.todo, l.done, l.at = l.todo[to.records:], to.commands, to.position
	l.bytes -= freed
	w.bytes -= freed
	w.roomAgain()
}

// quietRecords is how many records without events may pass before the store is told.
const quietRecords = 1024

// after is where a lane stands behind a command.
func after(i, j int, r *record, c *command) place {
	if j == len(r.commands)-1 {
		return whole(i, r)
	}
	return place{position{r.Number - 1, c.last, r.Epoch, r.Batch}, i, j + 1}
}

// whole is where a lane stands behind a record.
func whole(i int, r *record) place {
	return place{position{r.Number, r.FirstOffset + r.Events - 1, r.Epoch, r.Batch}, i + 1, 0}
}

// forget drops what the last batch referred to: an idle worker holds no record.
func (w *worker) forget() {
	clear(w.steps[:cap(w.steps)])
	w.steps = w.steps[:0]
}

// leave takes a share out of a batch.
func (b *batch) leave(s *share) {
	b.shares = slices.DeleteFunc(b.shares, func(other *share) bool { return other == s })
}
