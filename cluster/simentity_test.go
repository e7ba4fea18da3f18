package cluster

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/skerryhq/skerry/entity/shardtest"
	"github.com/skerryhq/skerry/journal"
)

// simState is what the entities of the simulation are: a count of events and a chain over all of them, so that every
// answer tells exactly which past it has seen.
type simState struct{ count, chain uint64 }

func (st simState) with(event []byte) simState {
	st.count++
	for _, b := range event[:8] {
		st.chain = (st.chain ^ uint64(b)) * 0x100000001b3
	}
	st.chain = st.chain ^ st.chain>>29 ^ st.count
	return st
}

// refuses tells whether the state says no to the command that it may say no to.
func (st simState) refuses() bool { return st.chain&1 == 1 }

func (st simState) String() string { return fmt.Sprintf("%d %x", st.count, st.chain) }

func parseSimState(text string) (st simState, ok bool) {
	n, err := fmt.Sscanf(text, "%d %x", &st.count, &st.chain)
	return st, err == nil && n == 2
}

func simEntity(i int) journal.Entity { return journal.Entity{Type: "model", ID: string(rune('a' + i))} }

func simIndex(id string) int { return int(id[0] - 'a') }

// Commands of the model. A payload is 8 bytes of chance; arming adds a delay and how often it arms itself again.
const (
	simAdd   = "add"   // one event
	simMaybe = "maybe" // the same, but rejected in every other state
	simArm   = "arm"   // one event, and arms the timer
	simGet   = "get"   // the query
	simFired = "fired" // the timer's command
)

const simTimer = "t"

func simArmPayload(chance uint64, again byte, delay time.Duration) []byte {
	b := append(binary.BigEndian.AppendUint64(nil, chance), again)
	return binary.BigEndian.AppendUint64(b, uint64(delay))
}

func parseSimArm(b []byte) (again byte, delay time.Duration) {
	return b[8], time.Duration(binary.BigEndian.Uint64(b[9:]))
}

// simActor runs the commands of one live entity, in the order of its mail.
type simActor struct {
	shard   *simShard
	of      journal.Entity
	state   simState
	mail    []func()
	planned bool
	stopped bool
}

func (a *simActor) send(do func()) {
	a.mail = append(a.mail, do)
	a.arrange()
}

func (a *simActor) arrange() {
	if a.planned || len(a.mail) == 0 {
		return
	}
	a.planned = true
	p := a.shard.p
	p.after(p.takes(p.s.plan.thinking), func() {
		a.planned = false
		do := a.mail[0]
		a.mail = a.mail[1:]
		if !a.stopped || p.s.coin() { // a stopped actor may or may not still do its work
			do()
		}
		a.arrange()
	})
}

// handle is the handler of the model, with the runtime around it.
func (a *simActor) handle(out *shardtest.Handled) {
	h := &out.Handle
	c := h.Command
	if h.No != nil {
		a.reject(out, h.No)
		return
	}
	if c.Name == simGet {
		out.Reply = []byte(a.state.String())
		return
	}
	if c.Name == simMaybe && a.state.refuses() {
		a.reject(out, &shardtest.Rejection{Code: "no", Message: a.state.String()})
		return
	}
	o := shardtest.Outcome{Events: []shardtest.Event{{Type: "e", Payload: c.Payload}}}
	if c.Name == simArm || c.Name == simFired {
		again, delay := parseSimArm(c.Payload)
		if c.Name == simArm || again > 0 {
			next := simArmPayload(uint64(again), max(again, 1)-1, max(delay, time.Millisecond))
			o.Arms = []shardtest.Arm{{Name: simTimer, Due: h.Time + int64(delay), Command: simFired, Payload: next}}
		}
	}
	a.state = a.state.with(c.Payload)
	o.Reply = []byte(a.state.String())
	out.Entry, out.Reply, out.Events, out.Arms = shardtest.EncodeEntry(h, &o), o.Reply, 1, o.Arms
}

func (a *simActor) reject(out *shardtest.Handled, no *shardtest.Rejection) {
	out.Rejection = no
	if out.Handle.StoreNo && !out.Handle.Command.Query {
		out.Entry = shardtest.EncodeEntry(&out.Handle, &shardtest.Outcome{Rejection: no})
	}
}
