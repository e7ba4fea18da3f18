package readside

import (
	"errors"
	"time"
)

// This file says what becomes of lanes after a transaction.

// committed moves the lanes on.
func (w *worker) committed(b *batch) {
	w.setBack()
	for _, s := range b.shares {
		w.settle(s)
	}
}

func (w *worker) settle(s *share) {
	l := s.lane
	l.stored, l.setbacks, l.full = s.to, 0, false
	events := 0
	for i := range s.steps {
		c := s.steps[i].command
		events += len(c.events)
		if s.park || l.parked[c.of] > 0 {
			l.parked[c.of]++
			l.rows++
		}
	}
	if s.park {
		w.log.Error("an entity is parked: its later events wait behind the failed command, all others go on",
			"processor", w.name, "shard", l.shard, "entity_type", s.steps[0].command.of.Type, "entity_id", s.steps[0].command.of.ID,
			"offset", s.steps[0].command.first, "attempts", l.trouble.attempts, "err", l.trouble.err)
	}
	if l.trouble != nil && l.trouble.offset <= l.stored.offset {
		l.trouble = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.life != s.life {
		return // it was given up meanwhile
	}
	w.pass(l, s.end)
	w.untie(l)
	l.shown.position, l.shown.parkedEntities, l.shown.parkedCommands = l.stored.position, len(l.parked), l.rows
	l.shown.handled += uint64(events) //nolint:gosec // a count
	w.showNext(l)
	w.reach(l, l.stored.offset)
	if len(l.todo) > 0 || len(l.ready) > 0 {
		w.offer(l)
	}
}

// untie lets a lane that has moved read ahead again, unless it waits for more. The lock is held.
func (w *worker) untie(l *lane) {
	switch {
	case l.phase == blocked:
		w.shed(l)
	case l.tied:
		l.tied = l.trouble != nil
		w.stir(l)
	}
}

// showNext notes what waits next. The lock is held.
func (w *worker) showNext(l *lane) {
	l.shown.retryAt = l.until
	l.shown.oldest = time.Time{}
	if c := l.nextCommand(); c != nil {
		l.shown.oldest = c.time
	}
	if l.trouble == nil {
		l.shown.failing = ""
	} else {
		l.shown.failing = l.trouble.err.Error()
	}
}

// failed takes what failed out of the batch, so that the rest may run again.
func (w *worker) failed(b *batch, f *failure) {
	if isDamaged(f.err) {
		w.putBack(b)
		w.setAway(f.err)
		return
	}
	switch f.kind {
	case ofCommand:
		b.leave(f.share)
		w.commandFailed(f)
	case ofShard:
		b.leave(f.share)
		w.overtaken(f.share.lane, f.err)
	case ofPause:
		w.putBack(b)
		w.notePaused(true)
	case ofDatabase:
		w.putBack(b)
		w.setAway(f.err)
	case ofCommit:
		w.commitFailed(b, f.err)
	}
}

// putBack gives up a batch of which nothing was committed.
func (w *worker) putBack(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range b.shares {
		w.offer(s.lane)
	}
	b.shares = nil
}

// maxDuel bounds the wait of a worker that was overtaken: the other one is most likely left over, and may be gone any moment.
const maxDuel = 250 * time.Millisecond

// overtaken gives a shard up to whoever moves its offset, or holds it, and looks again later.
func (w *worker) overtaken(l *lane, why error) {
	l.setbacks++
	if l.setbacks&(l.setbacks-1) == 0 { // the 1st, 2nd, 4th, … in a row: two nodes may follow one shard for long
		w.log.Warn("another worker has a processor's offset; this one drops what it knew and reads it again",
			"processor", w.name, "shard", l.shard, "offset", l.stored.offset, "in_a_row", l.setbacks, "cause", why)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(l, why)
	w.reload(l, min(w.backoff(l.setbacks), maxDuel))
}

// commandFailed lets the lane try again: what stands before the command goes first, then the
// command alone after a wait, and after too many attempts it is parked.
func (w *worker) commandFailed(f *failure) {
	l, c := f.share.lane, f.share.steps[f.step].command
	l.suspect(c, f.err)
	wait := time.Duration(0)
	if isUnavailable(f.err) && !errors.Is(f.err, errSlow) {
		wait = w.pause(l, f.err)
	} else {
		wait = w.attempted(l.trouble)
	}
	if f.step > 0 {
		wait = 0 // what stands before it can go
	}
	what := "a handler failed; the transaction was rolled back and its command is tried again"
	if w.outside {
		what = "a call failed; nothing is stored of it, and it is tried again"
	}
	w.log.Warn(what,
		"processor", w.name, "shard", l.shard, "offset", c.first, "entity_type", c.of.Type, "entity_id", c.of.ID, "wait", wait, "err", f.err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(l, f.err)
	if errors.Is(f.err, errSlow) {
		l.shown.slow++
	}
	if wait > 0 {
		w.rest(l, wait)
	} else {
		w.offer(l)
	}
	w.showNext(l)
	if wait > 0 && l.phase == following && l.life == f.share.life {
		w.shed(l)
	}
}

// attempted counts an attempt and tells how long to wait for the next.
func (w *worker) attempted(t *trouble) time.Duration {
	t.attempts++
	if w.cfg.MaxAttempts > 0 && t.attempts >= w.cfg.MaxAttempts {
		return 0
	}
	return w.backoff(t.attempts)
}

// commitFailed reads again what is stored: the commit may have been done or not. An error that is
// no outage may be one command's doing, such as a constraint that is checked at the end, so the commands
// then go one by one.
func (w *worker) commitFailed(b *batch, err error) {
	away := isUnavailable(err)
	single := len(b.shares) == 1 && len(b.shares[0].steps) == 1 && !b.shares[0].park
	wait := time.Duration(0)
	for _, s := range b.shares {
		switch {
		case away:
		case single:
			s.lane.suspect(s.steps[0].command, err)
			wait = w.attempted(s.lane.trouble)
		default:
			s.lane.careful = s.end.offset
			s.lane.setbacks++
			wait = max(wait, w.backoff(s.lane.setbacks))
		}
	}
	if away {
		w.setAway(err)
	} else {
		w.log.Warn("a commit failed; what is stored is read again", "processor", w.name, "wait", wait, "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range b.shares {
		w.note(s.lane, err)
		w.reload(s.lane, wait)
	}
	b.shares = nil
}

// suspect notes which command fails; those before it go first.
func (l *lane) suspect(c *command, err error) {
	if l.trouble == nil || l.trouble.offset != c.first {
		l.trouble = &trouble{offset: c.first}
	}
	l.trouble.err = err
}

// note counts an error for operators. The lock is held.
func (w *worker) note(l *lane, err error) {
	l.shown.errors++
	l.shown.lastError, l.shown.lastErrorAt = err.Error(), time.Now()
}
