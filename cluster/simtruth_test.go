package cluster

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity/shardtest"
	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// simTruth is what the logs say, folded by other code than the machines'. It judges every record when it lands, and at the
// end what users were told.
type simTruth struct {
	s        *sim
	prev     []journal.Header // by shard
	entities []*simFolded
	of       map[int]*simStored // by op
}

// simFolded is one entity as its shard's log has it.
type simFolded struct {
	states []simState // after each entry; the first is before any
	entry  uint64
	keys   map[string]uint64 // entries by key
	armed  uint64            // by which entry the timer is pending; 0 if it is not
	due    int64
	past   map[simState]bool
	fired  []*simStored
}

// simStored is an entry in the log.
type simStored struct {
	op, of    int
	entry     uint64
	before    simState
	after     simState
	reply     string
	rejection bool
	payload   []byte
	at        int64 // when it was stored: nobody can have seen it before
}

func newSimTruth(s *sim) *simTruth {
	t := &simTruth{s: s, prev: make([]journal.Header, s.plan.shards), of: map[int]*simStored{}}
	for range s.plan.entities {
		t.entities = append(t.entities, &simFolded{states: []simState{{}}, keys: map[string]uint64{}, past: map[simState]bool{{}: true}})
	}
	return t
}

// take judges a record that was stored just now.
func (t *simTruth) take(shard uint32, rec journal.Record) {
	prev := t.prev[shard]
	if err := shardtest.CheckOrder(prev, rec.Header, prev.Number+1); err != nil {
		t.s.fail("shard %d: %v", shard, err)
	}
	if rec.Time < prev.Time {
		t.s.fail("shard %d, record %d: the shard's time runs back by %v", shard, rec.Number, time.Duration(prev.Time-rec.Time))
	}
	events := uint64(0)
	err := rec.EachEntry(func(b []byte) error {
		pb := &logv1.Entry{}
		if err := proto.Unmarshal(b, pb); err != nil {
			return err
		}
		events += uint64(len(pb.GetEvents()))
		t.entry(shard, rec, pb)
		return nil
	})
	if err != nil || events != rec.Events {
		t.s.fail("shard %d, record %d: %d events, it says %d: %v", shard, rec.Number, events, rec.Events, err)
	}
	t.prev[shard] = rec.Header
}

// entry judges one entry of the log.
func (t *simTruth) entry(shard uint32, rec journal.Record, pb *logv1.Entry) {
	s, i := t.s, simIndex(pb.GetId())
	e := t.entities[i]
	key := pb.GetKey().String()
	before := e.states[len(e.states)-1]
	switch first, known := e.keys[key]; {
	case simShardOf(i, s.plan.shards) != shard:
		s.fail("%s is stored in shard %d", pb.GetId(), shard)
	case pb.GetEntry() != e.entry+1:
		s.fail("%s: entry %d is stored behind entry %d", pb.GetId(), pb.GetEntry(), e.entry)
	case known:
		s.fail("%s: key %s is stored twice, as entries %d and %d", pb.GetId(), key, first, pb.GetEntry())
	}
	e.entry = pb.GetEntry()
	e.keys[key] = e.entry
	st := before
	for _, ev := range pb.GetEvents() {
		st = st.with(ev.GetPayload())
	}
	e.states = append(e.states, st)
	e.past[st] = true
	x := &simStored{of: i, op: -1, at: s.now, entry: e.entry, before: before, after: st, reply: string(pb.GetReply()), rejection: pb.GetRejection() != nil}
	if len(pb.GetEvents()) > 0 {
		x.payload = pb.GetEvents()[0].GetPayload()
	}
	s.log("truth: %s entry %d: %s of #%s, %v", pb.GetId(), e.entry, pb.GetCommand(), pb.GetTrace(), st)
	if !x.rejection && x.reply != st.String() {
		s.fail("%s: entry %d stores the reply %q; the log gives %v", pb.GetId(), e.entry, x.reply, st)
	}
	t.timers(e, pb, rec)
	t.command(x, pb)
}

// timers judges what an entry does to the entity's timer.
func (t *simTruth) timers(e *simFolded, pb *logv1.Entry, rec journal.Record) {
	if pb.GetCommand() == simFired {
		armed := pb.GetKey().GetTimer().GetArmed()
		switch {
		case e.armed == 0 || armed != e.armed:
			t.s.fail("%s: entry %d is of the timer that entry %d armed; pending is that of entry %d", pb.GetId(), e.entry, armed, e.armed)
		case rec.Time < e.due:
			t.s.fail("%s: the timer fires %v early", pb.GetId(), time.Duration(e.due-rec.Time))
		}
		e.armed = 0
		t.s.counts["timers fired"]++
	}
	for _, a := range pb.GetArms() {
		e.armed, e.due = e.entry, a.GetDueNs()
	}
}

// command finds whose command an entry is: each is there once.
func (t *simTruth) command(x *simStored, pb *logv1.Entry) {
	if pb.GetTrace() == "" {
		t.entities[x.of].fired = append(t.entities[x.of].fired, x)
		return
	}
	number, err := strconv.Atoi(pb.GetTrace())
	if err != nil {
		t.s.fail("entry %d has the trace %q", x.entry, pb.GetTrace())
	}
	if first, twice := t.of[number]; twice {
		t.s.fail("%s is in the log twice: entries %d and %d", t.s.ops[number], first.entry, x.entry)
	}
	x.op = number
	t.of[number] = x
}

// lastDue is when the last pending timer is due; 0 if none is pending.
func (t *simTruth) lastDue() (last int64) {
	for _, e := range t.entities {
		if e.armed != 0 {
			last = max(last, e.due)
		}
	}
	return last
}

func (t *simTruth) pending() string {
	var b strings.Builder
	for i, e := range t.entities {
		if e.armed != 0 {
			fmt.Fprintf(&b, "that of %s, armed by entry %d, due %v ago; ", simEntity(i).ID, e.armed, time.Duration(t.s.now-e.due))
		}
	}
	return b.String()
}

// judgeAll holds what users were told against the logs, and then the histories against what one entity could do.
func (s *sim) judgeAll() {
	histories := make([][]porcupine.Operation, s.plan.entities)
	for _, o := range s.ops {
		s.judge(o)
		s.judgeSmooth(o)
		if op, ok := s.operation(o); ok {
			histories[o.of] = append(histories[o.of], op)
		}
	}
	for i, e := range s.truth.entities {
		for _, x := range e.fired {
			histories[i] = append(histories[i], porcupine.Operation{
				Input: simInput{payload: x.payload}, Output: x.after, Call: x.at, Return: math.MaxInt64, Metadata: "the timer",
			})
		}
		s.counts["operations judged"] += len(histories[i])
		s.checkOrder(i, histories[i])
		s.counts["histories checked"]++
		switch porcupine.CheckOperationsTimeout(simModel, histories[i], simSearch) {
		case porcupine.Ok:
			s.counts["histories linearizable"]++
		case porcupine.Illegal:
			s.fail("the history of %s (%d operations) is not linearizable", simEntity(i).ID, len(histories[i]))
		case porcupine.Unknown:
			s.counts["histories that porcupine leaves undecided"]++
		}
	}
}

// simSearch bounds the search for an order of one history. Where it is not enough, checkOrder alone decides.
const simSearch = 2 * time.Second

// checkOrder: no operation has seen less than one that had ended before it began. The log gives the order, so this says all; porcupine,
// which looks for an order itself, is asked afterwards, as its search for one that is not there may take for ever.
func (s *sim) checkOrder(i int, history []porcupine.Operation) {
	e := s.truth.entities[i]
	at := map[simState]int{}
	for n, st := range e.states {
		if _, known := at[st]; !known { // a rejection is an entry that leaves the state as it is
			at[st] = n
		}
	}
	ends := slices.Clone(history)
	slices.SortStableFunc(ends, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	begins := slices.Clone(history)
	slices.SortStableFunc(begins, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	seen, told := 0, porcupine.Operation{}
	for _, b := range begins {
		for len(ends) > 0 && ends[0].Return < b.Call {
			if n := at[ends[0].Output.(simState)]; n > seen {
				seen, told = n, ends[0]
			}
			ends = ends[1:]
		}
		n := at[b.Output.(simState)]
		if writes := b.Input.(simInput).payload != nil; n < seen || writes && n == seen && seen > 0 {
			s.fail("of %s, %v has seen entry %d, though %v had told of entry %d before it began: a stale answer",
				simEntity(i).ID, b.Metadata, n, told.Metadata, seen)
		}
	}
}

// judge: acknowledged is in the log, refused is not.
func (s *sim) judge(o *simOp) {
	x := s.truth.of[o.number]
	switch {
	case o.outcome == simOpen:
		s.fail("%s was never answered", o)
	case o.query && o.outcome == simReplied:
		if st, ok := parseSimState(o.reply); !ok || !s.truth.entities[o.of].past[st] {
			s.fail("%s has seen %q, which never was: a dirty read", o, o.reply)
		}
	case o.query:
	case o.outcome == simReplied && (x == nil || x.rejection || x.reply != o.reply):
		s.fail("%s is acknowledged with %q; in the log is %+v", o, o.reply, x)
	case o.outcome == simRejected && x != nil && !x.rejection:
		s.fail("%s is rejected; in the log it is entry %d", o, x.entry)
	case o.outcome == simNever && x != nil && !x.rejection:
		s.fail("%s is told that it did not run; it is entry %d", o, x.entry)
	}
}

// simSmoothMost is how long a command may take where nothing fails and nodes are replaced one by one.
const simSmoothMost = 300 * time.Millisecond

// judgeSmooth: where nothing fails, nobody is told of a failure.
func (s *sim) judgeSmooth(o *simOp) {
	if !s.plan.smooth || o.abandons || o.began < simBegin+int64(3*time.Second) {
		return
	}
	took := time.Duration(o.ended - o.began)
	switch {
	case o.outcome != simReplied && o.outcome != simRejected:
		s.fail("nothing fails but nodes are replaced one by one, and %s is told %s after %v: %v", o, o.outcome, took, o.err)
	case took > simSmoothMost:
		s.fail("nothing fails but nodes are replaced one by one, and %s takes %v", o, took)
	}
	s.counts["smooth commands"]++
}

// simInput is an operation as the model takes it.
type simInput struct {
	payload []byte // of its event; nil if it changes nothing
	maybe   bool
}

// operation is an op as part of a history; false if it has no part in it. What a user does not know, the log does.
func (s *sim) operation(o *simOp) (porcupine.Operation, bool) {
	op := porcupine.Operation{ClientId: o.user.number, Call: o.began, Return: o.ended, Metadata: o}
	x := s.truth.of[o.number]
	switch {
	case o.local || o.outcome == simNever:
		return op, false
	case o.outcome == simReplied && o.query, o.outcome == simRejected:
		st, ok := parseSimState(o.reply)
		op.Input, op.Output = simInput{maybe: o.name == simMaybe}, st
		return op, ok
	case o.outcome == simReplied:
		op.Input, op.Output, op.Call = simInput{payload: x.payload}, x.after, max(o.began, x.at)
		return op, true
	case x != nil && !x.rejection:
		op.Input, op.Output, op.Call, op.Return = simInput{payload: x.payload}, x.after, x.at, math.MaxInt64
		return op, true
	}
	return op, false
}

// simModel is an entity as one caller at a time would see it.
var simModel = porcupine.Model{
	Init: func() any { return simState{} },
	Step: func(state, input, output any) (bool, any) {
		st, in, out := state.(simState), input.(simInput), output.(simState)
		if in.payload == nil {
			return st == out && (!in.maybe || st.refuses()), st
		}
		next := st.with(in.payload)
		return next == out, next
	},
}
