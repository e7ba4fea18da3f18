package shard

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// simClient is one process of callers. Its keys are counted as the client library counts them.
type simClient struct {
	s     *sim
	id    [16]byte
	next  uint64
	open  [][]uint64 // per entity, ascending
	seen  uint64     // the highest offset that it was told
	named []*op      // with callers' keys, to be repeated or reused
}

// op is one call of a user: attempts with one key until an answer is final.
type op struct {
	client      *simClient
	of          int
	name        string
	payload     []byte
	hash        uint64
	key         Key
	query       bool
	local       bool
	lookup      bool
	after       uint64
	hasExpect   bool
	expect      uint64
	attempts    int
	unknown     bool // some attempt ended without a certain outcome
	done        bool
	toldEntry   uint64 // told by answers that had left when it began
	toldVersion uint64
}

// call is one attempt, as one owner gets it.
type call struct {
	Command
	number   int
	op       *op
	attempt  int
	owner    *simOwner
	answered bool
	given    bool // the client does not wait for it any more
	kind     AnswerKind
	reason   string
	offset   uint64
	stored   bool // answered with something that must be in the log
}

func (k *call) String() string {
	return fmt.Sprintf("#%d(%s of %s, key %s, attempt %d)", k.number, k.op.name, entityOf(k.op.of).ID, k.op.key, k.attempt)
}

// notRun tells that its owner said that it did not run and will not.
func (k *call) notRun() bool {
	if !k.answered {
		return false
	}
	switch k.kind {
	case Unavailable, Busy, Moved, Failed:
		return true
	case Reject:
		return !k.stored
	}
	return false
}

func newSimClient(s *sim, i int) *simClient {
	c := &simClient{s: s, open: make([][]uint64, s.mix.entities)}
	c.id[0] = byte(i + 1)
	return c
}

// begin starts calls until the quiet.
func (c *simClient) begin() {
	c.s.after(c.s.pause(c.s.mix.callEvery), func() {
		if c.s.calm {
			return
		}
		c.call(c.draw())
		c.begin()
	})
}

// draw makes up what a user wants.
func (c *simClient) draw() *op {
	s := c.s
	x := &op{client: c, of: s.rng.IntN(s.mix.entities)}
	x.payload = binary.BigEndian.AppendUint64(nil, s.rng.Uint64())
	if n := len(c.named); n > 0 && s.chance(s.mix.lookups) {
		old := c.named[s.rng.IntN(n)]
		return &op{client: c, of: old.of, key: old.key, query: true, lookup: true}
	}
	switch p := s.rng.Float64(); {
	case p < s.mix.queries:
		x.name, x.query, x.local = cmdGet, true, s.chance(s.mix.local)
		if s.coin() {
			x.after = c.seen
		}
	case p < s.mix.queries+s.mix.timers:
		x.name, x.payload = cmdArm, c.drawArm().encode(s.rng.Uint64())
		if s.chance(0.2) {
			x.name = cmdCancel
		}
	case p < s.mix.queries+s.mix.timers+s.mix.defects:
		x.name = [...]string{cmdFail, cmdPanic}[s.rng.IntN(2)]
	default:
		x.name = [...]string{cmdSet, cmdSet, cmdSet, cmdTwo, cmdNote, cmdBig, cmdNo, cmdMaybe, cmdMaybe}[s.rng.IntN(9)]
	}
	if s.chance(s.mix.expects) {
		x.hasExpect, x.expect = true, s.truth.entities[x.of].state.count
	}
	if !x.query {
		c.drawKey(x)
		x.hash = xxhash.Sum64(append([]byte(x.name), x.payload...))
	}
	return x
}

func (c *simClient) drawArm() armPayload {
	s := c.s
	p := armPayload{timer: byte(s.rng.IntN(2)), again: byte(s.rng.IntN(3))}
	switch s.rng.IntN(4) {
	case 0:
		p.delay = -s.pause(10 * time.Millisecond) // in the past
	case 1:
		p.delay = s.pause(s.mix.timerFar)
	default:
		p.delay = s.pause(10 * s.mix.latency)
	}
	return p
}

// drawKey gives an op its key: the library's, or a name. A name may be that of an earlier
// op, with the same command or with another.
func (c *simClient) drawKey(x *op) {
	s := c.s
	if !s.chance(s.mix.callerKeys) {
		c.next++
		c.open[x.of] = append(c.open[x.of], c.next)
		x.key = Key{Kind: ClientKey, Client: c.id, Number: c.next, Oldest: c.open[x.of][0], Issued: s.now}
		return
	}
	if n := len(c.named); n > 0 && s.chance(s.mix.reuse) {
		old := c.named[s.rng.IntN(n)]
		x.of, x.key = old.of, old.key
		if s.coin() {
			s.counts["key given again with the same command"]++
			x.name, x.payload, x.query, x.hasExpect, x.expect = old.name, old.payload, false, old.hasExpect, old.expect
		} else {
			s.counts["key given again with another command"]++
		}
		return
	}
	x.key = Key{Kind: CallerKey, Name: fmt.Sprintf("k%d-%d", c.id[0], len(c.named))}
	c.named = append(c.named, x)
}

// call begins an op.
func (c *simClient) call(x *op) {
	e := &c.s.truth.entities[x.of]
	x.toldEntry, x.toldVersion = e.toldEntry, e.toldVersion
	if n, ok := e.keys[idOf(x.key)]; ok && x.lookup {
		x.toldEntry = min(x.toldEntry, uint64(n)+1) // no more is asked for
	}
	c.s.ops = append(c.s.ops, x)
	c.send(x)
}

// send makes one attempt. It may take long on its way, and arrive after a later one.
func (c *simClient) send(x *op) {
	s := c.s
	x.attempts++
	k := &call{number: len(s.calls), op: x, attempt: x.attempts}
	s.calls = append(s.calls, k)
	x.client.s.counts["attempts"]++
	way := s.pause(s.mix.latency / 2)
	if s.chance(s.mix.lateCall) {
		s.counts["late attempts"]++
		way = s.pause(200 * s.mix.latency)
	}
	s.after(way, func() { k.arrive() })
	s.after(s.pause(s.mix.patience)+int64(time.Millisecond), func() {
		if !k.given && !x.done {
			k.given = true
			x.unknown = true
			c.again(x)
		}
	})
}

// again repeats an op under its key, or leaves it.
func (c *simClient) again(x *op) {
	switch {
	case x.done:
	case c.s.calm || x.attempts >= 6 || !c.s.chance(c.s.mix.repeat):
		c.close(x)
	default:
		c.s.counts["repeated attempts"]++
		c.s.after(c.s.pause(10*c.s.mix.latency), func() {
			if !x.done {
				c.send(x)
			}
		})
	}
}

// close ends an op. A key whose outcome is unknown stays open.
func (c *simClient) close(x *op) {
	x.done = true
	if x.key.Kind != ClientKey || x.unknown {
		return
	}
	for i, n := range c.open[x.of] {
		if n == x.key.Number {
			c.open[x.of] = append(c.open[x.of][:i:i], c.open[x.of][i+1:]...)
			return
		}
	}
}

// arrive gives the attempt to some owner that lives, mostly the newest.
func (k *call) arrive() {
	s, x := k.op.client.s, k.op
	alive := s.alive()
	if len(alive) == 0 {
		s.counts["attempts that met no owner"]++
		return
	}
	o := alive[len(alive)-1]
	for i := len(alive) - 1; i >= 0 && o.draining; i-- {
		o = alive[i]
	}
	if s.chance(s.mix.wrongOwner) {
		o = alive[s.rng.IntN(len(alive))]
	}
	k.owner = o
	k.Command = Command{
		To: entityOf(x.of), Name: x.name, Payload: x.payload, Hash: x.hash, Key: x.key, Query: x.query, Local: x.local,
		Lookup: x.lookup, After: x.after, HasExpect: x.hasExpect, Expect: x.expect, Attempt: k.attempt, Principal: "p", Trace: fmt.Sprint(k.number),
		Deadline: o.clock() + s.pause(s.mix.deadline), Tag: k,
	}
	if s.chance(s.mix.hurry) {
		k.Deadline = o.clock() + s.pause(4*s.mix.latency)
	}
	s.log("%s <- command %s local %v expect %v %d", o.name, k, x.local, x.hasExpect, x.expect)
	o.input(func(now int64) { o.m.Command(now, &k.Command) })
}

// answer judges an answer that leaves an owner, and brings it to the client.
func (o *simOwner) answer(a *Answer) {
	k := a.Command.Tag.(*call)
	s := o.s
	s.log("%s -> answer %s: %s %s%s version %d offset %d repeated %v", o.name, k, a.Kind, a.Reply, a.Reason, a.Version, a.Offset, a.Repeated)
	switch {
	case k.answered:
		s.fail("%s is answered twice: %s, then %s", k, k.kind, a.Kind)
	case k.owner != o:
		s.fail("%s is answered by %s", k, o.name)
	}
	k.answered, k.kind, k.reason, k.offset = true, a.Kind, a.Reason, a.Offset
	s.counts["answer "+a.Kind.String()]++
	if a.Repeated {
		s.counts["answer repeated"]++
	}
	s.truth.judge(k, a)
	if a.Released {
		k.Command = Command{Name: "released", stage: 99} // whoever still holds it will stumble
	}
	if k.given || k.op.done {
		return
	}
	s.after(s.pause(s.mix.latency/2), func() { k.op.client.hear(k) })
}

// hear takes an answer to the user.
func (c *simClient) hear(k *call) {
	x := k.op
	if k.given || x.done {
		return
	}
	k.given = true
	c.seen = max(c.seen, k.offset)
	switch k.kind {
	case Running, NotKnown:
		c.close(x)
	case Reply:
		x.unknown = false
		c.close(x)
	case Reject:
		if k.stored || !x.unknown {
			x.unknown = x.unknown && !k.stored
			c.close(x)
			return
		}
		c.again(x)
	case Unknown:
		x.unknown = true
		c.again(x)
	default:
		c.again(x)
	}
}

// judge holds an answer against the log.
func (t *truth) judge(k *call, a *Answer) {
	s, x := t.s, k.op
	e := &t.entities[x.of]
	switch {
	case x.lookup:
		t.judgeLookup(k, e, a)
	case a.Kind == Reply && x.query:
		t.judgeRead(k, e, string(a.Reply))
		t.judgeOffset(k, a)
	case a.Kind == Reply:
		n := t.find(k, e)
		w := &e.entries[n]
		k.stored = true
		switch {
		case w.rejection != nil, !bytes.Equal(w.reply, a.Reply), w.version != a.Version, w.hash != x.hash:
			s.fail("%s is answered %q, version %d; entry %d has %q, version %d, %v", k, a.Reply, a.Version, n+1, w.reply, w.version, w.rejection)
		case !a.Repeated && w.call != k:
			s.fail("%s is answered as if it had run; entry %d is of %s", k, n+1, w.call)
		case !a.Repeated && uint64(n) < x.toldEntry:
			s.fail("%s became entry %d; entry %d had been told before it began", k, n+1, x.toldEntry)
		case a.Offset < w.offset:
			s.fail("%s is answered with offset %d; its events end at %d", k, a.Offset, w.offset)
		}
		t.told(e, uint64(n)+1, w.version)
		t.judgeOffset(k, a)
	case a.Kind == Reject:
		t.judgeRejection(k, e, a)
	case a.Kind == Unavailable || a.Kind == Moved || a.Kind == Busy || a.Kind == Failed:
		if n, ok := e.keys[idOf(x.key)]; ok && e.entries[n].call == k {
			s.fail("%s is told %s (%s), it is entry %d", k, a.Kind, a.Reason, n+1)
		}
	case a.Kind == Unknown && strings.Contains(a.Reason, "too old"):
		s.counts["key expired"]++
		if young := s.now-x.key.Issued < int64(KeyAge-4*time.Hour); young && (!x.done || x.unknown) {
			s.fail("%s is told that its key is too old; it is still open", k)
		}
	}
}

// find returns where the key of a call is in the log.
func (t *truth) find(k *call, e *truthEntity) int {
	n, ok := e.keys[idOf(k.op.key)]
	if !ok {
		t.s.fail("%s is answered %s; its key is not in the log", k, k.kind)
	}
	return n
}

func (t *truth) judgeOffset(k *call, a *Answer) {
	if a.Offset > t.offset {
		t.s.fail("%s is answered with offset %d; the log ends at %d", k, a.Offset, t.offset)
	}
}

// judgeRead: what an answer has seen is committed, and not older than what was told before.
func (t *truth) judgeRead(k *call, e *truthEntity, text string) {
	entry, st, ok := parseSeen(text)
	switch {
	case !ok:
		t.s.fail("%s is answered %q", k, text)
	case entry > uint64(len(e.entries)):
		t.s.fail("%s has seen entry %d; the log has %d: a dirty read", k, entry, len(e.entries))
	case entry > 0 && e.entries[entry-1].state != st, entry == 0 && st != (modelState{}):
		t.s.fail("%s has seen %s; the log says %s", k, text, seen(entry, e.entries[max(entry, 1)-1].state))
	case entry < uint64(len(e.entries)) && e.entries[entry].offset <= k.op.after && e.entries[entry].changes:
		t.s.fail("%s has seen entry %d; it asked for offset %d, which is behind it", k, entry, k.op.after)
	case k.op.local:
		return
	case entry < k.op.toldEntry:
		t.s.fail("%s has seen entry %d; entry %d had been told before it began: a stale read", k, entry, k.op.toldEntry)
	}
	t.told(e, entry, st.count)
}

// judgeLookup: a stored answer is the one in the log; "not known" is true of all that was told before it began.
func (t *truth) judgeLookup(k *call, e *truthEntity, a *Answer) {
	n, stored := e.keys[idOf(k.op.key)]
	switch a.Kind {
	case Reply, Reject:
		t.s.counts["lookup found"]++
		if n = t.find(k, e); !bytes.Equal(e.entries[n].reply, a.Reply) || !sameRejection(e.entries[n].rejection, a.Rejection) || !a.Repeated {
			t.s.fail("%s finds %q, %v; entry %d has %q, %v", k, a.Reply, a.Rejection, n+1, e.entries[n].reply, e.entries[n].rejection)
		}
		t.told(e, uint64(n)+1, e.entries[n].version)
	case NotKnown:
		t.s.counts["lookup not known"]++
		young := stored && t.s.now-e.entries[n].time < int64(KeyAge-time.Hour)
		if young && uint64(n) < k.op.toldEntry {
			t.s.fail("%s is told that the key is not known; it is that of entry %d, which had been told before it began", k, n+1)
		}
	case Running:
		t.s.counts["lookup running"]++
		for _, other := range t.s.calls {
			if !other.answered && other.owner == k.owner && other.op.of == k.op.of && !other.op.lookup && idOf(other.op.key) == idOf(k.op.key) {
				return
			}
		}
		t.s.fail("%s is told that the command is running; its owner has no such command", k)
	}
}

func sameRejection(a, b *Rejection) bool { return a == b || a != nil && b != nil && *a == *b }

func (t *truth) judgeRejection(k *call, e *truthEntity, a *Answer) {
	s, x := t.s, k.op
	if a.Rejection.Code == CodeKeyReused {
		s.counts["key reused"]++
		if n := t.find(k, e); e.entries[n].hash == x.hash {
			s.fail("%s is told that its key was reused; entry %d is the same command", k, n+1)
		}
		return
	}
	if n, ok := e.keys[idOf(x.key)]; ok && (a.Repeated || e.entries[n].call == k) {
		w := &e.entries[n]
		k.stored = true
		if w.rejection == nil || *w.rejection != *a.Rejection || w.hash != x.hash {
			s.fail("%s is rejected with %v; entry %d has %q, %v", k, a.Rejection, n+1, w.reply, w.rejection)
		}
		t.told(e, uint64(n)+1, w.version)
		return
	}
	if a.Repeated || !x.query && (k.attempt >= 2 || x.key.Kind == CallerKey) {
		s.fail("%s is rejected with %v; that is not in the log", k, a.Rejection)
	}
	switch a.Rejection.Code {
	case CodeVersionMismatch:
		s.counts["version mismatch"]++
		t.judgeMismatch(k, e, a)
	case CodeTooLarge:
	default:
		t.judgeRead(k, e, a.Rejection.Message)
	}
}

func (t *truth) judgeMismatch(k *call, e *truthEntity, a *Answer) {
	x := k.op
	switch {
	case !strings.Contains(a.Rejection.Message, fmt.Sprintf("is %d, not %d", a.Version, x.expect)) || a.Version == x.expect:
		t.s.fail("%s is told %q at version %d", k, a.Rejection.Message, a.Version)
	case a.Version > e.state.count:
		t.s.fail("%s is told version %d; the log has %d: a dirty read", k, a.Version, e.state.count)
	case !x.local && a.Version < x.toldVersion:
		t.s.fail("%s is told version %d; version %d had been told before it began: a stale read", k, a.Version, x.toldVersion)
	}
	if !x.local {
		t.told(e, 0, a.Version)
	}
}

func (t *truth) told(e *truthEntity, entry, version uint64) {
	e.toldEntry, e.toldVersion = max(e.toldEntry, entry), max(e.toldVersion, version)
}

// finalRead asks a fresh owner for an entity's state, and repeats what was stored last.
func (s *sim) finalRead(o *simOwner, i int) {
	e := &s.truth.entities[i]
	x := &op{client: s.clients[0], of: i, name: cmdGet, query: true, toldEntry: uint64(len(e.entries))}
	s.finalCall(o, x)
	if n := len(e.entries); n > 0 {
		if last := e.entries[n-1].call; last != nil {
			y := *last.op
			y.done, y.attempts = true, 9
			s.finalCall(o, &y)
		}
	}
}

func (s *sim) finalCall(o *simOwner, x *op) {
	x.done = true
	k := &call{number: len(s.calls), op: x, attempt: 10, owner: o}
	s.calls = append(s.calls, k)
	k.Command = Command{
		To: entityOf(x.of), Name: x.name, Payload: x.payload, Hash: x.hash, Key: x.key, Query: x.query,
		HasExpect: x.hasExpect, Expect: x.expect, Attempt: 10, Principal: "p", Trace: fmt.Sprint(k.number),
		Deadline: o.clock() + int64(30*time.Second), Tag: k,
	}
	s.log("%s <- command %s", o.name, k)
	o.input(func(now int64) { o.m.Command(now, &k.Command) })
}

// finalReads tells that all of these were answered with what the log says; judge has seen to the rest.
func (s *sim) finalReads() {
	for _, k := range s.calls {
		if k.attempt == 10 && k.kind != Reply && k.kind != Reject {
			s.fail("%s is answered %s at the end, when nothing fails: %s", k, k.kind, k.reason)
		}
	}
}
