package cluster

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// simLink is the way from one place to another.
type simLink struct {
	cut   bool
	since int64 // it has been so
}

// simDeadAfter is how long a connection on which nothing is heard is kept, as the transport does it.
const simDeadAfter = 2 * time.Second

// linked tells that both places hear each other.
func (s *sim) linked(i, j int) bool { return i == j || !s.links[i][j].cut && !s.links[j][i].cut }

// brokenFor is how long one of the ways between two places has been cut; 0 if none is.
func (s *sim) brokenFor(i, j int) (d int64) {
	for _, l := range []simLink{s.links[i][j], s.links[j][i]} {
		if l.cut {
			d = max(d, s.now-l.since+1)
		}
	}
	return d
}

func (s *sim) cut(i, j int) {
	if i != j && !s.links[i][j].cut {
		s.links[i][j] = simLink{true, s.now}
	}
}

func (s *sim) cutBoth(i, j int) { s.cut(i, j); s.cut(j, i) }

// heal joins all that was cut.
func (s *sim) heal() {
	for i := range s.links {
		for j := range s.links[i] {
			s.links[i][j] = simLink{}
		}
	}
}

// simEnvelope is a command or a message between processes.
type simEnvelope struct {
	note        *note
	req         entity.Request
	remaining   time.Duration
	destination string // who is to answer, where it is sent to another
}

// simCall is an envelope whose sender waits for the answer.
type simCall struct {
	from, to *simProcess
	sent     bool // something was written to a connection
	over     bool
	done     func(transport.Answer)
}

func (c *simCall) end(a transport.Answer) {
	if !c.over {
		c.over = true
		c.from.wakeful(func() { c.done(a) })
	}
}

func simNotSent(kind error, why string) transport.Answer {
	return transport.Answer{Err: &entity.Error{Kind: entity.ErrUnavailable, Reason: why, Cause: kind}}
}

var errSimLost = transport.Answer{Err: &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "the connection was lost"}}

// send sends an envelope as the transport does: it never waits, and done is called once.
func (p *simProcess) send(to transport.Peer, e simEnvelope, done func(transport.Answer)) {
	s, q := p.s, p.s.processOf(to.Node)
	c := &simCall{from: p, to: q, done: done}
	answer := func(after int64, a transport.Answer) { s.after(after, func() { c.end(a) }) }
	s.counts["envelopes"]++
	broken := s.brokenFor(p.place.number, q.place.number)
	silentFor := broken
	if q.dead && !q.sockets {
		silentFor = max(silentFor, s.now-q.diedAt+1)
	}
	switch {
	case q.dead && q.sockets && broken == 0:
		if next := q.place.process; s.plan.refusals && (next == q || next.dead) {
			p.after(p.takes(s.plan.way), func() { p.put(refused{to.Node}) })
		}
		answer(p.takes(s.plan.way), simNotSent(transport.ErrUnreachable, "connection refused"))
		return
	case silentFor > int64(simDeadAfter):
		answer(p.takes(s.plan.way), simNotSent(transport.ErrUnreachable, "the peer is not reached"))
		return
	}
	s.keep(c)
	answer(min(int64(e.remaining+transport.Tardiness), int64(simDeadAfter)+silentFor), errSimLost)
	c.sent = true
	if s.links[p.place.number][q.place.number].cut || q.dead || s.chance(s.plan.lose) {
		s.counts["envelopes lost"]++
		if s.coin() {
			answer(s.pause(300*time.Millisecond), errSimLost) // the connection breaks
		}
		return
	}
	p.deliver(c, e)
	if e.note != nil && s.chance(s.plan.double) { // of commands the transport promises that it sends none twice
		s.counts["envelopes doubled"]++
		p.deliver(&simCall{from: p, to: q, over: true}, e)
	}
}

// deliver takes an envelope to where it was sent, and the answer back.
func (p *simProcess) deliver(c *simCall, e simEnvelope) {
	s, q := p.s, c.to
	way := p.takes(s.plan.way)
	if s.chance(s.plan.late) {
		s.counts["envelopes late"]++
		way = s.pause(time.Second)
	}
	q.after(way, func() {
		if e.destination != "" {
			q.forward(c, e)
			return
		}
		q.take(p, e, func(a transport.Answer) { s.back(c, a) })
	})
}

// back takes an answer to the sender, if there is a way.
func (s *sim) back(c *simCall, a transport.Answer) {
	if c.over || s.links[c.to.place.number][c.from.place.number].cut || s.chance(s.plan.loseAnswer) {
		s.counts["answers lost"]++
		return
	}
	var told *entity.Error
	if errors.As(a.Err, &told) { // its cause stays where it was
		a.Err = &entity.Error{Kind: told.Kind, Reason: told.Reason, RetryAfter: told.RetryAfter}
	}
	s.after(c.to.takes(s.plan.way), func() { c.end(a) })
}

// take takes in an envelope.
func (p *simProcess) take(from *simProcess, e simEnvelope, done func(transport.Answer)) {
	switch {
	case e.note != nil && e.note.subject == subjectClock:
		now := binary.BigEndian.AppendUint64(nil, uint64(p.wall())) //nolint:gosec // read back as it was
		done(transport.Answer{Response: &entity.Response{Payload: now}})
		return
	case e.note != nil:
		p.put(*e.note)
		done(transport.Answer{Response: &entity.Response{}})
		return
	}
	p.serve(&e.req, e.remaining-min(e.remaining/10, 20*time.Millisecond), func(resp *entity.Response, err error) {
		done(answerOf(p.routes, resp, err))
	})
}

// forward sends an envelope on, once.
func (p *simProcess) forward(c *simCall, e simEnvelope) {
	s := p.s
	s.counts["envelopes forwarded"]++
	peer, ok := p.routes.peer(e.destination)
	if !ok {
		s.back(c, simNotSent(transport.ErrUnreachable, "no way to "+e.destination))
		return
	}
	e.destination = ""
	if peer.Node == p.incarnation {
		p.take(c.from, e, func(a transport.Answer) { s.back(c, a) })
		return
	}
	p.send(peer, e, func(a transport.Answer) { s.back(c, a) })
}

// keep remembers a call until it is over.
func (s *sim) keep(c *simCall) {
	if len(s.calls) >= 64 {
		kept := s.calls[:0]
		for _, x := range s.calls {
			if !x.over {
				kept = append(kept, x)
			}
		}
		s.calls = kept
	}
	s.calls = append(s.calls, c)
}

// lost fails what waits for a process that has died, where its sockets tell.
func (s *sim) lost(p *simProcess) {
	for _, c := range s.calls {
		if !c.over && c.to == p && p.sockets && s.linked(c.from.place.number, p.place.number) {
			s.after(s.pause(s.plan.way), func() { c.end(errSimLost) })
		}
	}
	for _, q := range s.alive() {
		if s.plan.refusals && p.sockets && q.ring[p.incarnation] && s.linked(q.place.number, p.place.number) {
			q.after(s.pause(s.plan.way), func() { q.put(refused{p.incarnation}) })
		}
	}
}

func (s *sim) processOf(incarnation string) *simProcess {
	for _, p := range s.processes {
		if p.incarnation == incarnation {
			return p
		}
	}
	s.fail("no process was ever called %q", incarnation)
	return nil
}

// simErrorKind is for traces.
func simErrorKind(err error) string {
	var moved *entity.MovedError
	var remote *transport.Moved
	var no *entity.Rejection
	switch {
	case err == nil:
		return "reply"
	case errors.As(err, &no):
		return "rejection " + no.Message
	case errors.As(err, &moved), errors.As(err, &remote):
		return "moved: " + err.Error()
	}
	return err.Error()
}
