package cluster

import (
	"maps"
	"slices"
	"time"
)

// witness tells what became of processes that gossip has lost. It looks at the rows by which nodes say in the
// journal that they live and whom they hear: who crashed writes none, and who is cut off still does.
// It is a pure machine for one caller at a time; times are nanoseconds of any one clock
// of this node, never compared with another's.
//
//	lost ─┬─ no row is its own, or it stands still ──────────────────────► gone
//	      └─ its row is renewed ─► which side claims? ─┬─ ours ───────────► gone: claims fence it
//	                                                   └─ another ───────► apart: we claim nothing
//
// Its user calls see when gossip changes, suspect when the transport hears nothing of a member, and lives when a
// process fenced this node. After any of these, and after fate, it asks due when to read: then
// come begin, and read or readFailed when that has ended.
//
// Until it is known which, a lost one is unsure, also while the journal cannot be read. Nothing is decided from a reading in
// which our own row is not seen, and time counts only while ours is seen to change: when the journal is
// slow or was away, others' silence says nothing.
//
// A wrong verdict costs a claim, never an event. Of nodes that read the same rows, all
// written after the loss, at most one side claims. On a side that does not, all
// lost ones are apart, those that crashed too: the other side takes them over.
type witness struct {
	self    Member
	now     int64
	members map[string]bool // incarnations
	// met are processes that were members or lost once, maxMet at most. One that is neither any more has left.
	met      map[string]bool
	suspects map[string]int64 // members, and until when they are suspected
	cases    map[string]*lostCase
	readings
	leaning leaning
}

// lostCase is a process that is no member: lost by gossip, or the owner of a shard that was never a member.
type lostCase struct {
	since    int64 // when it was lost
	stranger bool
	state    lostState
	beat     uint64 // of its row when it was found dead; 0 if it had none
	verdict  fate
}

type lostState uint8

const (
	open  lostState = iota // not known yet
	dead                   // there is no row of it, or it stands still
	alive                  // its row was renewed after the loss
)

// leaning is whether our side is the strongest by the last readings, and since when.
type leaning struct {
	ours  bool
	loss  int64 // the newest loss it answers
	since int64 // 0: nothing yet
}

const (
	// readPause is the time from one reading to the next while something is undecided, or others may claim and we
	// may not. It is longer in large clusters (see witness.pause).
	readPause = 250 * time.Millisecond
	// watchPause is the same while we may claim from those that are cut off.
	watchPause = time.Second
	// pauseNodes is by how many nodes each pause is one more time as long, so that what all
	// nodes read together grows as their number does and not as its square.
	pauseNodes = 32
	// stillFor is how long a row stands still whose process has ended, and stillBeats how often ours
	// must change meanwhile.
	stillFor   = time.Second
	stillBeats = 2
	// joinWithin is how long after a loss a row may be renewed to count on a side.
	joinWithin = 2 * time.Second
	// settleFor is how long readings must agree on whether our side is the strongest.
	settleFor = 250 * time.Millisecond
	// unreadFor is how long the journal may be away until it is unknown again who lives beyond a partition.
	unreadFor = 2 * time.Second
	// suspectFor is how long a suspicion lasts that is not repeated.
	suspectFor = 3 * time.Second
	// maxCases and maxMet bound what is remembered: an owner of each shard, and whom gossip has lost.
	maxCases = MaxShards + 1024
	maxMet   = 1 << 14
)

func newWitness(self Member) *witness {
	return &witness{
		self: self, members: map[string]bool{}, met: map[string]bool{},
		suspects: map[string]int64{}, cases: map[string]*lostCase{},
		readings: readings{rows: map[string]seenRow{}},
	}
}

// see takes in what gossip knows. It tells whether a verdict changed.
func (w *witness) see(now int64, m Membership) (changed bool) {
	w.now = now
	before := w.verdicts()
	w.members = map[string]bool{}
	for _, x := range m.Members {
		w.members[x.Incarnation] = true
	}
	for _, x := range m.Lost {
		w.lose(x.Incarnation)
	}
	w.meet(m)
	w.dropCases(m)
	if w.started != 0 && now-w.ended <= w.patience() {
		w.inspect()
	}
	w.settle()
	return !maps.Equal(before, w.verdicts())
}

// lose opens a case, or takes one over from a stranger.
func (w *witness) lose(incarnation string) {
	c := w.cases[incarnation]
	switch {
	case w.members[incarnation] || incarnation == w.self.Incarnation:
	case c != nil:
		c.stranger = false
	default:
		w.cases[incarnation] = &lostCase{since: w.now, verdict: unsure}
	}
}

func (w *witness) meet(m Membership) {
	if len(w.met) > maxMet {
		clear(w.met)
	}
	for _, x := range slices.Concat(m.Members, m.Lost) {
		w.met[x.Incarnation] = true
	}
}

// dropCases forgets those that came back, and those that gossip forgot.
func (w *witness) dropCases(m Membership) {
	lost := map[string]bool{}
	for _, x := range m.Lost {
		lost[x.Incarnation] = true
	}
	maps.DeleteFunc(w.cases, func(incarnation string, c *lostCase) bool {
		return w.members[incarnation] || !c.stranger && !lost[incarnation]
	})
	maps.DeleteFunc(w.suspects, func(incarnation string, until int64) bool {
		return !w.members[incarnation] || until <= w.now
	})
}

// suspect has rows read before gossip has lost a member, so that the verdict is there when it does.
func (w *witness) suspect(now int64, incarnation string) {
	w.now = now
	if w.members[incarnation] && incarnation != w.self.Incarnation {
		w.suspects[incarnation] = now + int64(suspectFor)
	}
}

// suspected tells that the transport hears nothing of a member.
func (w *witness) suspected(incarnation string) bool { return w.suspects[incarnation] > w.now }

// lives takes in that a process wrote to a log just now: it fenced this node. If it was thought gone, or was
// never heard of, it is looked for again.
func (w *witness) lives(now int64, incarnation string) {
	w.now = now
	if incarnation == "" || incarnation == w.self.Incarnation || w.members[incarnation] {
		return
	}
	c, known := w.cases[incarnation]
	switch {
	case !known:
		w.openStranger(incarnation)
	case c.state == dead:
		c.since, c.state, c.verdict = now, open, unsure
	}
	w.stir(incarnation, now)
}

// fate tells what became of a process. One that was never heard of gets a case: it may be a member of the other
// side, or one that gossip has not told of yet.
func (w *witness) fate(incarnation string) fate {
	c := w.cases[incarnation]
	switch {
	case incarnation == w.self.Incarnation || w.members[incarnation]:
		return present
	case c != nil:
		return c.verdict
	case incarnation == "" || w.met[incarnation]:
		return gone
	}
	return w.openStranger(incarnation)
}

// openStranger calls a process gone where there are too many cases.
func (w *witness) openStranger(incarnation string) fate {
	if len(w.cases) >= maxCases {
		maps.DeleteFunc(w.cases, func(_ string, c *lostCase) bool { return c.stranger && c.state == dead })
	}
	if len(w.cases) >= maxCases {
		return gone
	}
	w.cases[incarnation] = &lostCase{since: w.now, stranger: true, verdict: unsure}
	return unsure
}

// due tells when rows are to be read next; false while there is no need, or a reading is under way.
func (w *witness) due() (at int64, ok bool) {
	pause := w.pause()
	if pause == 0 || w.reading {
		return 0, false
	}
	return w.began + int64(pause), true
}

// pause is zero while nobody is lost, or all lost ones are dead.
func (w *witness) pause() time.Duration {
	watch := false
	for _, c := range w.cases {
		if c.verdict != gone {
			return w.scaled(readPause << min(w.failures, 2))
		}
		watch = watch || c.state == alive
	}
	if w.suspecting() {
		return w.scaled(readPause << min(w.failures, 2))
	}
	if watch {
		return w.scaled(watchPause)
	}
	return 0
}

func (w *witness) suspecting() bool {
	for _, until := range w.suspects {
		if until > w.now {
			return true
		}
	}
	return false
}

func (w *witness) scaled(pause time.Duration) time.Duration {
	return pause * time.Duration(1+len(w.rows)/pauseNodes)
}

// patience is how far apart two readings may be for their silence between to count.
func (w *witness) patience() int64 { return int64(w.scaled(watchPause) + stillFor) }

// begin notes that a reading is under way.
func (w *witness) begin(now int64) { w.now, w.began, w.reading = now, now, true }

// read takes in the rows of the reading under way, and tells whether a verdict changed.
func (w *witness) read(now int64, rows []Witness) (changed bool) {
	w.now = now
	before := w.verdicts()
	if w.follow(now, w.self.Incarnation, w.patience(), rows) {
		w.leaning = leaning{}
	}
	w.inspect()
	w.settle()
	return !maps.Equal(before, w.verdicts())
}

// readFailed takes in that the rows could not be read, and tells whether a verdict changed.
func (w *witness) readFailed(now int64) (changed bool) {
	w.now = now
	w.fail()
	if now-w.ended < int64(unreadFor) {
		return false
	}
	before := w.verdicts()
	w.leaning = leaning{}
	for _, c := range w.cases {
		if c.state == alive {
			c.since, c.state = now, open
		}
		if c.state == open || c.verdict == apart {
			c.verdict = unsure
		}
	}
	return !maps.Equal(before, w.verdicts())
}

// inspect looks who of the lost lives, by the last reading.
func (w *witness) inspect() {
	if _, seen := w.rows[w.self.Incarnation]; !seen {
		return
	}
	for incarnation, c := range w.cases {
		row, found := w.rows[incarnation]
		switch {
		case c.state == dead && (!found || row.beat == c.beat):
		case !found:
			if w.started >= c.since { // its first row comes before its first claim
				c.state, c.beat = dead, 0
			}
		case w.isStill(row):
			c.state, c.beat = dead, row.beat
		case row.after >= c.since:
			c.state = alive
		case c.state == dead:
			c.state = open
		}
	}
}

// settle gives verdicts when all that is needed for them is known; else those that were given stand.
func (w *witness) settle() {
	verdict, cut, loss := gone, false, int64(0)
	for _, c := range w.cases {
		switch c.state {
		case open:
			return
		case alive:
			cut, loss = true, max(loss, c.since)
		case dead:
		}
	}
	if !cut {
		w.leaning = leaning{}
	} else if ours, settled := w.lean(loss); !settled {
		return
	} else if !ours {
		verdict = apart
	}
	for _, c := range w.cases {
		c.verdict = verdict
	}
}

// lean tells whether our side is the strongest, and whether that has been so for long enough.
func (w *witness) lean(loss int64) (ours, settled bool) {
	if w.mustWait(loss) {
		return false, false
	}
	self := nameOf(w.self.Incarnation)
	ours = slices.ContainsFunc(strongest(w.joined(loss)), func(v voice) bool { return v.name == self })
	if w.leaning.since == 0 || w.leaning.ours != ours || w.leaning.loss != loss {
		w.leaning = leaning{ours: ours, loss: loss, since: w.ended}
	}
	return ours, w.started-w.leaning.since >= int64(settleFor)
}

// mustWait is true until our own row tells of the loss and the others' were renewed, or their time is over. A cut takes
// many, and gossip misses one after the other: whom the transport does not hear is waited for as well.
func (w *witness) mustWait(loss int64) bool {
	own, seen := w.rows[w.self.Incarnation]
	if !seen || own.after < loss || w.suspecting() && w.started < loss+int64(joinWithin) {
		return true
	}
	for incarnation, c := range w.cases {
		if c.state == alive && (own.voice.hearsOf(nameOf(incarnation)) || w.mayJoin(incarnation, loss)) {
			return true
		}
	}
	for incarnation := range w.members {
		if w.mayJoin(incarnation, loss) {
			return true
		}
	}
	return false
}

// mayJoin tells that a row is not renewed after a loss and still may be.
func (w *witness) mayJoin(incarnation string, loss int64) bool {
	row, found := w.rows[incarnation]
	return found && row.after < loss && !w.isStill(row) && w.started < loss+int64(joinWithin)
}

// joined are the voices that count: renewed after the loss, and not standing still since.
func (w *witness) joined(loss int64) []voice {
	var voices []voice
	for _, row := range w.rows {
		if row.after >= loss && !w.isStill(row) {
			voices = append(voices, row.voice)
		}
	}
	return voices
}

func (w *witness) verdicts() map[string]fate {
	verdicts := map[string]fate{}
	for incarnation, c := range w.cases {
		verdicts[incarnation] = c.verdict
	}
	return verdicts
}
