package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/journal/archive"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// stored is an event in the log.
type stored struct {
	number  int64 // of the deed
	fired   bool
	version uint64
	time    int64
	after   account
}

// book of one account, as the log has it: in order.
type ledger struct {
	events []stored
	times  map[int64][]int // where the events of each deed are
	fires  map[int64][]int // and those of its timer
}

// check holds logs, history and each other against each other. It runs outside the bubble: searches need real time.
func (a *assembly) check() {
	a.verify()
	ledgers := a.read()
	for _, d := range a.history.deeds {
		l := ledgers[d.of]
		if l == nil {
			l = &ledger{}
			ledgers[d.of] = l
		}
		a.checkTries(d)
		a.checkStored(d, l)
	}
	for name, l := range ledgers {
		a.checkSent(name, l)
		a.checkOrder(name, l)
		a.checkLinearizable(name, l)
	}
}

// verify has the logs checked by themselves, and what is derived of them against them.
func (a *assembly) verify() {
	report, err := archive.Verify(context.Background(), archive.VerifyConfig{Journal: a.journal})
	if err != nil {
		a.complain("verify: %v", err)
		return
	}
	for _, f := range report.Findings {
		a.complain("verify: %v", f)
	}
}

// read makes the ledgers from the logs.
func (a *assembly) read() map[string]*ledger {
	ledgers := map[string]*ledger{}
	for number, log := range a.logs() {
		for _, r := range log {
			err := r.EachEntry(func(entry []byte) error {
				var e logv1.Entry
				if err := proto.Unmarshal(entry, &e); err != nil {
					return err
				}
				l := ledgers[e.GetId()]
				if l == nil {
					l = &ledger{times: map[int64][]int{}, fires: map[int64][]int{}}
					ledgers[e.GetId()] = l
				}
				return l.add(&e)
			})
			if err != nil {
				a.complain("shard %d, record %d: %v", number, r.Number, err)
			}
		}
	}
	return ledgers
}

func (l *ledger) add(e *logv1.Entry) error {
	for _, event := range e.GetEvents() {
		x := stored{version: e.GetVersion(), time: e.GetTimeNs(), after: l.end()}
		switch event.GetType() {
		case "google.protobuf.Int64Value":
			var amount wrapperspb.Int64Value
			if err := proto.Unmarshal(event.GetPayload(), &amount); err != nil {
				return err
			}
			x.number, x.after = max(amount.GetValue(), -amount.GetValue()), x.after.after(amount.GetValue())
		case "google.protobuf.UInt64Value":
			var value wrapperspb.UInt64Value
			if err := proto.Unmarshal(event.GetPayload(), &value); err != nil {
				return err
			}
			x.number, _ = armOf(value.GetValue())
		default:
			var name wrapperspb.StringValue
			if err := proto.Unmarshal(event.GetPayload(), &name); err != nil {
				return err
			}
			number, err := strconv.ParseInt(name.GetValue(), 10, 64)
			if err != nil {
				return err
			}
			x.number, x.fired = number, true
		}
		l.put(x)
	}
	return nil
}

func (l *ledger) put(x stored) {
	at := len(l.events)
	l.events = append(l.events, x)
	if x.fired {
		l.fires[x.number] = append(l.fires[x.number], at)
	} else {
		l.times[x.number] = append(l.times[x.number], at)
	}
}

func (l *ledger) end() account {
	if len(l.events) == 0 {
		return account{}
	}
	return l.events[len(l.events)-1].after
}

// unlisted is in the answer when the journal could not take note of an event's type, which is seen once per process: the
// command that brings the event fails, and when that is a due timer, those behind it.
const unlisted = "the journal cannot list it"

// checkTries compares the answers to one command: a repeat gets the first.
func (a *assembly) checkTries(d *deed) {
	var first *try
	for i := range d.tries {
		x := &d.tries[i]
		if x.answer == failed && !strings.Contains(x.err.Error(), unlisted) {
			a.complain("%v failed: %v", d, x.err)
		}
		if x.answer != replied && x.answer != rejected {
			continue
		}
		if first == nil {
			first = x
			continue
		}
		if x.answer != first.answer || x.sum != first.sum || x.answer == replied && x.version != first.version {
			a.complain("%v: a repeat got another answer than the first", d)
		}
	}
}

// outcome is what the answers to one command come to.
func (d *deed) outcome() (out try) {
	rank := map[answerKind]int{replied: 4, rejected: 3, unknown: 2, failed: 1, never: 1}
	out.began, out.ended = math.MaxInt64, math.MaxInt64
	for _, x := range d.tries {
		if rank[x.answer] > rank[out.answer] {
			out.answer, out.sum, out.version = x.answer, x.sum, x.version
		}
		out.began = min(out.began, x.began)
		if x.answer == replied || x.answer == rejected {
			out.ended = min(out.ended, x.ended)
		}
	}
	return out
}

// checkStored compares what callers were told of a command with what the log has of it.
func (a *assembly) checkStored(d *deed, l *ledger) {
	if d.does == asking || len(d.tries) == 0 {
		return
	}
	out, at := d.outcome(), l.times[d.number]
	switch {
	case len(at) > 1:
		a.complain("%v is in the log %d times", d, len(at))
	case out.answer == replied && len(at) == 0:
		a.complain("%v was acknowledged and is not in the log", d)
	case (out.answer == rejected || out.answer == never || out.answer == failed) && len(at) > 0:
		a.complain("%v is in the log", d)
	case out.answer == replied && l.events[at[0]].version != out.version:
		a.complain("%v: the log has it as version %d", d, l.events[at[0]].version)
	case out.answer == replied && d.does == booking && l.events[at[0]].after.Sum != out.sum:
		a.complain("%v: the log comes to %d there", d, l.events[at[0]].after.Sum)
	}
	if d.does != arming || len(at) != 1 {
		return
	}
	fires := l.fires[d.number]
	if len(fires) != 1 {
		a.complain("%v: its timer fired %d times", d, len(fires))
		return
	}
	if armed, fired := l.events[at[0]], l.events[fires[0]]; fired.time < armed.time+int64(d.delay) {
		a.complain("%v: its timer fired %v too early", d, time.Duration(armed.time+int64(d.delay)-fired.time))
	}
}

// checkSent looks for what nobody sent.
func (a *assembly) checkSent(name string, l *ledger) {
	sent := map[int64]bool{}
	for _, d := range a.history.deeds {
		if d.of == name && d.does != asking {
			sent[d.number] = true
		}
	}
	for _, x := range l.events {
		if !sent[x.number] {
			a.complain("the log of %s has %d, which nobody sent there", name, x.number)
		}
	}
}

// placed is an answer with its place in the log.
type placed struct {
	d            *deed
	began, ended time.Duration
	at           int // events that it had seen, its own included
}

// checkOrder holds the order of the log against that of the callers: who began after another had its answer has
// seen at least as much. With answers that fit the log, that proves them linearizable.
func (a *assembly) checkOrder(name string, l *ledger) {
	var all []placed
	for _, d := range a.history.deeds {
		out := d.outcome()
		if d.of != name || out.answer != replied {
			continue
		}
		at, ok := l.place(d, out)
		if !ok {
			a.complain("%v: no state of the log has version %d and comes to %d", d, out.version, out.sum)
			continue
		}
		if d.local {
			if out.version < d.after.Version {
				a.complain("%v has not seen version %d, after which it was asked", d, d.after.Version)
			}
			continue
		}
		all = append(all, placed{d, out.began, out.ended, at})
	}
	slices.SortFunc(all, func(x, y placed) int { return cmp.Compare(x.began, y.began) })
	ends := slices.Clone(all)
	slices.SortFunc(ends, func(x, y placed) int { return cmp.Compare(x.ended, y.ended) })
	next, newest := 0, placed{}
	for _, x := range all {
		for ; next < len(ends) && ends[next].ended < x.began; next++ {
			if ends[next].at > newest.at {
				newest = ends[next]
			}
		}
		if x.at < newest.at {
			a.complain("stale: %v has seen %d events, and began after %v had seen %d", x.d, x.at, newest.d, newest.at)
		}
	}
}

// place finds how many events an answer has seen.
func (l *ledger) place(d *deed, out try) (int, bool) {
	if d.does != asking {
		at := l.times[d.number]
		if len(at) == 0 {
			return 0, false
		}
		return at[0] + 1, true
	}
	n := int(out.version) //nolint:gosec // as many as there are events
	if n > len(l.events) {
		return 0, false
	}
	if n == 0 {
		return 0, out.sum == 0
	}
	return n, l.events[n-1].version == out.version && l.events[n-1].after.Sum == out.sum
}

// bookModel is an account as one caller at a time would see it.
var bookModel = porcupine.Model{
	Init: func() any { return account{} },
	Step: func(state, input, output any) (bool, any) {
		s, d, out := state.(account), input.(*deed), output.(try)
		switch {
		case d.does == asking:
			return out.sum == s.Sum, s
		case out.answer == rejected:
			return s.refuses(d.amount), s
		case s.refuses(d.amount):
			return false, s
		}
		next := s.after(d.amount)
		return out.answer == unknown || out.sum == next.Sum, next
	},
}

// searchTime bounds the search for an order of one account's history. The log's order has been looked at by then, so
// a search that takes longer misses nothing but a second opinion.
const searchTime = 2 * time.Second

// checkLinearizable searches for an order in which one caller at a time would have got the answers. What
// is unknown happened if the log has it.
func (a *assembly) checkLinearizable(name string, l *ledger) {
	var ops []porcupine.Operation
	for _, d := range a.history.deeds {
		out := d.outcome()
		if d.of != name || d.does == arming || d.local || len(d.tries) == 0 {
			continue
		}
		if out.answer == unknown && len(l.times[d.number]) == 0 || out.answer == never || out.answer == failed || d.does == asking && out.answer != replied {
			continue
		}
		ops = append(ops, porcupine.Operation{Input: d, Output: out, Call: int64(out.began), Return: int64(out.ended)})
	}
	if porcupine.CheckOperationsTimeout(bookModel, ops, searchTime) == porcupine.Illegal {
		a.complain("the history of %s, %d operations, is not linearizable", name, len(ops))
	}
}

// String is a deed with its answers.
func (d *deed) String() string {
	s := fmt.Sprintf("%s %d to %s", d.does, d.number, d.of)
	switch d.does {
	case booking:
		s = fmt.Sprintf("%s %d to %s", d.does, d.amount, d.of)
	case arming:
		s += " in " + d.delay.String()
	case asking:
	}
	if d.key != "" {
		s += " with " + d.key
	}
	for _, x := range d.tries {
		s += fmt.Sprintf(" [%v to %v by %s: %s %d version %d", x.began, x.ended, x.through, x.answer, x.sum, x.version)
		if x.err != nil {
			s += ": " + x.err.Error()
		}
		s += "]"
	}
	return s
}
