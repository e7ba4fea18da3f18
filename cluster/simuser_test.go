package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/shardtest"
)

// simUser gives commands to processes, one now and then.
type simUser struct {
	s      *sim
	number int
	named  int
}

// simOp is one command of a user: calls of one or several processes, under one key where there are several.
type simOp struct {
	user    *simUser
	number  int
	of      int
	name    string
	payload []byte
	query   bool
	local   bool
	key     entity.CommandKey

	began, ended int64 // true time; of all tries
	outcome      simAnswer
	unsure       bool // a try before ended without an outcome
	abandons     bool // its process died
	tries        int
	reply        string
	err          error

	// The call under way.
	p        *simProcess
	trip     *trip
	deadline int64 // of the process's mono clock
	attempt  int   // the one that is waited for; answers of others come too late
	resting  bool
	changed  <-chan struct{}
	tried    transport.Peer
}

// simAnswer is how an op ended.
type simAnswer uint8

const (
	simOpen simAnswer = iota
	simReplied
	simRejected
	simNever
	simUnknown
)

func (a simAnswer) String() string {
	return [...]string{"nothing", "reply", "rejection", "unavailable", "unknown"}[a]
}

func (o *simOp) String() string {
	return fmt.Sprintf("#%d(%s of %s)", o.number, o.name, simEntity(o.of).ID)
}

func simShardOf(of, shards int) uint32 { return uint32(of % shards) } //nolint:gosec // few

// begin calls now and then until the quiet.
func (u *simUser) begin() {
	u.s.after(u.s.pause(u.s.plan.callEvery), func() {
		if u.s.calm {
			return
		}
		if p := u.s.someProcess(); p != nil {
			u.draw().call(p)
		}
		u.begin()
	})
}

// someProcess is one that takes calls.
func (s *sim) someProcess() *simProcess {
	alive := s.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[s.rng.IntN(len(alive))]
}

func (u *simUser) newOp(of int, name string) *simOp {
	s := u.s
	o := &simOp{user: u, number: len(s.ops), of: of, name: name, payload: binary.BigEndian.AppendUint64(nil, s.rng.Uint64()), began: s.now}
	o.query = name == simGet
	s.ops = append(s.ops, o)
	return o
}

// draw makes up what a user wants.
func (u *simUser) draw() *simOp {
	s := u.s
	of := s.rng.IntN(s.plan.entities)
	switch x := s.rng.Float64(); {
	case x < s.plan.queries:
		o := u.newOp(of, simGet)
		o.local = s.chance(s.plan.local)
		return o
	case x < s.plan.queries+s.plan.timers:
		o := u.newOp(of, simArm)
		o.payload = simArmPayload(s.rng.Uint64(), byte(s.rng.IntN(2)), time.Duration(s.pause(s.plan.timerFar)))
		return u.keyed(o)
	}
	name := simAdd
	if s.chance(s.plan.maybe) {
		name = simMaybe
	}
	return u.keyed(u.newOp(of, name))
}

// keyed gives a command a key of the user's, or leaves it to the process.
func (u *simUser) keyed(o *simOp) *simOp {
	if u.s.chance(u.s.plan.callerKeys) {
		u.named++
		o.key = entity.CallerKey(fmt.Sprintf("k%d-%d", u.number, u.named))
	}
	return o
}

// ask has a process tell what an entity is, at the end.
func (u *simUser) ask(p *simProcess, of int) *simOp {
	o := u.newOp(of, simGet)
	o.call(p)
	return o
}

// call is what Node.Call does.
func (o *simOp) call(p *simProcess) {
	s := p.s
	o.p, o.outcome, o.tries = p, simOpen, o.tries+1
	patience := 5 * time.Second
	if !s.calm && !s.plan.smooth {
		patience = max(time.Duration(s.pause(s.plan.patience)), 50*time.Millisecond)
	}
	key := o.key
	if key == (entity.CommandKey{}) && !o.query {
		key = p.keys.opened(o.of, p.wall())
	}
	o.trip = newTrip(simShardOf(o.of, s.plan.shards), entity.Request{
		Type: "model", ID: simEntity(o.of).ID, Command: o.name, Payload: o.payload, Key: key, Query: o.query, Local: o.local,
		Trace: strconv.Itoa(o.number),
	})
	o.deadline = p.mono() + int64(patience)
	s.log("%s calls %s, try %d, for %v", p.incarnation, o, o.tries, patience)
	try := o.tries
	p.after(int64(patience), func() {
		if o.tries == try && o.outcome == simOpen {
			o.timeIsUp()
		}
	})
	o.sendOn()
}

// sendOn makes the next attempt.
func (o *simOp) sendOn() {
	p := o.p
	o.resting, o.attempt = false, o.attempt+1
	number := o.attempt
	to, epoch, changed, ok := p.routes.to(o.trip.number)
	o.tried, o.changed = to, changed
	if !ok {
		o.trip.nowhere()
		o.rest()
		return
	}
	p.s.log("%s sends %s to %s, epoch %d, attempt %d, around %v", p.incarnation, o, to.Node, epoch, o.trip.req.Attempt, o.trip.around)
	p.attempt(o, to, func(a transport.Answer) {
		if number == o.attempt && o.outcome == simOpen && o.p == p {
			o.hear(a)
		}
	})
}

// attempt sends the command to one process, this one perhaps.
func (p *simProcess) attempt(o *simOp, to transport.Peer, done func(transport.Answer)) {
	req, left := o.trip.req, time.Duration(o.deadline-p.mono())
	p.s.bug.tamper(o, &req)
	p.s.counts["attempts"]++
	if to.Node == p.incarnation {
		p.serve(&req, left-min(left/10, 20*time.Millisecond), func(resp *entity.Response, err error) {
			done(transport.Answer{Response: resp, Err: err})
		})
		return
	}
	e := simEnvelope{req: req, remaining: left}
	if o.trip.around {
		e.destination = to.Node
		to = p.through(to)
	}
	p.send(to, e, done)
}

// through picks a member that may reach a process which this one cannot.
func (p *simProcess) through(to transport.Peer) transport.Peer {
	var others []transport.Peer
	for _, x := range p.others() {
		if x.Node != to.Node {
			others = append(others, x)
		}
	}
	if len(others) == 0 {
		return to
	}
	return others[p.s.rng.IntN(len(others))]
}

// hear judges an attempt's answer.
func (o *simOp) hear(a transport.Answer) {
	o.p.s.log("%s hears of %s: %s", o.p.incarnation, o, simErrorKind(a.Err))
	if o.trip.judge(o.p.routes, a.Err) || o.p.s.bug.believes(a.Err) {
		reply := ""
		if a.Response != nil {
			reply = string(a.Response.Payload)
		}
		o.end(reply, a.Err)
		return
	}
	o.rest()
}

// rest waits for a better way, or a little.
func (o *simOp) rest() {
	p := o.p
	pause := o.trip.again(p.routes, o.tried)
	number := o.attempt
	if pause == 0 {
		p.after(1, func() { o.resume(number) })
		return
	}
	o.resting = true
	p.waiting = append(p.waiting, o)
	p.after(int64(pause), func() { o.resume(number) })
}

func (o *simOp) resume(number int) {
	if o.outcome == simOpen && o.attempt == number && o.p.mono() < o.deadline {
		o.sendOn()
	}
}

// wakeOps sends on what waits for a better way, if there is one now.
func (p *simProcess) wakeOps() {
	waiting := p.waiting
	p.waiting = nil
	for _, o := range waiting {
		switch {
		case !o.resting || o.p != p || o.outcome != simOpen:
			continue
		case simIsClosed(o.changed):
			o.resume(o.attempt)
		default:
			p.waiting = append(p.waiting, o)
		}
	}
}

func simIsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// timeIsUp ends the call: an attempt that has no answer yet may still run.
func (o *simOp) timeIsUp() {
	if !o.resting {
		o.trip.judge(o.p.routes, &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the caller gave up waiting"})
	}
	o.end("", o.trip.giveUp(errSimNoAnswer))
}

// abandoned: the process has died in the middle of the call.
func (o *simOp) abandoned() {
	o.abandons = true
	o.end("", &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the process has died"})
}

// end takes what came of a call to the user, who may call again where that is safe.
func (o *simOp) end(reply string, err error) {
	s := o.user.s
	o.ended, o.reply, o.err = s.now, reply, err
	var no *entity.Rejection
	switch {
	case err == nil:
		o.outcome = simReplied
	case errors.As(err, &no):
		o.outcome, o.reply = simRejected, no.Message
	case errors.Is(err, entity.ErrUnknownOutcome):
		o.outcome, o.unsure = simUnknown, true
	case o.unsure:
		o.outcome = simUnknown
	default:
		o.outcome = simNever
	}
	if key := o.trip.req.Key; key.Kind == shardtest.ClientKey && !errors.Is(err, entity.ErrUnknownOutcome) {
		o.p.keys.closed(o.of, key.Number)
	}
	s.counts["ops "+o.outcome.String()]++
	o.checkAttempts()
	s.log("%s is told of %s: %s %s %v", o.p.incarnation, o, o.outcome, o.reply, err)
	named := o.key != (entity.CommandKey{})
	if again := o.outcome == simUnknown || o.outcome == simNever; again && named && o.tries < 5 && s.chance(s.plan.repeats) {
		o.again()
	}
}

// checkAttempts: who fails again and again waits in between.
func (o *simOp) checkAttempts() {
	took := time.Duration(o.ended - o.began)
	if most := 100 + 40*int(took/time.Second); o.trip.req.Attempt > most {
		o.user.s.fail("%s was sent %d times in %v: it does not back off", o, o.trip.req.Attempt, took)
	}
}

// again calls once more, through whatever process.
func (o *simOp) again() {
	o.user.s.counts["ops called again"]++
	told := o.outcome
	o.user.s.after(o.user.s.pause(300*time.Millisecond), func() {
		if p := o.user.s.someProcess(); p != nil && o.outcome == told && !o.user.s.calm {
			o.call(p)
		}
	})
}
