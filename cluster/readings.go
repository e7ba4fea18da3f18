package cluster

// readings is what was read of the witness rows: how each changed from one reading to the next.
type readings struct {
	rows map[string]seenRow // by incarnation, as of the last reading
	// began is when the last reading was begun, also if it failed or is under way.
	began   int64
	reading bool
	// started and ended are of the last that succeeded; both 0 before the first.
	started, ended int64
	failures       int // since then
}

// seenRow is what is known of one process's row.
type seenRow struct {
	beat  uint64
	voice voice
	// after: the row was put after this time. It is when the last reading began that did not show the row as it
	// is; 0 if there was none.
	after int64
	// since is the end of the first reading that showed it so, and beats how often ours was seen changed since then.
	since int64
	beats int
}

// isStill tells that a process does not renew its row.
func (r *readings) isStill(row seenRow) bool {
	return row.beats >= stillBeats && r.started-row.since >= int64(stillFor)
}

// follow takes in the rows of the reading that was begun. It tells whether silence is counted anew, because the last reading
// is longer ago than patience: the journal may have been away for others too, or this process paused.
func (r *readings) follow(now int64, self string, patience int64, list []Witness) (anew bool) {
	anew = r.began-r.ended > patience
	ownChanged := false
	for _, x := range list {
		if x.Incarnation == self {
			old, known := r.rows[self]
			ownChanged = known && old.beat != x.Beat
		}
	}
	next := make(map[string]seenRow, len(list))
	for _, x := range list {
		old, known := r.rows[x.Incarnation]
		if known && old.beat == x.Beat {
			next[x.Incarnation] = old.unchanged(now, anew, ownChanged)
			continue
		}
		next[x.Incarnation] = seenRow{beat: x.Beat, voice: voiceIn(x), after: r.started, since: now}
	}
	r.rows, r.started, r.ended = next, r.began, now
	r.failures, r.reading = 0, false
	return anew
}

func (s seenRow) unchanged(now int64, anew, ownChanged bool) seenRow {
	if anew {
		s.since, s.beats = now, 0
	} else if ownChanged {
		s.beats++
	}
	return s
}

// voiceIn is deaf where the row cannot be read: the node is alive and on no side but its own.
func voiceIn(x Witness) voice {
	v, err := decodeVoice(x.Incarnation, x.View)
	if err != nil {
		return voice{name: nameOf(x.Incarnation)}
	}
	return v
}

// fail takes in that the reading failed.
func (r *readings) fail() {
	r.failures++
	r.reading = false
}

// stir has a row's silence counted anew.
func (r *readings) stir(incarnation string, now int64) {
	if row, found := r.rows[incarnation]; found {
		row.since, row.beats = now, 0
		r.rows[incarnation] = row
	}
}
