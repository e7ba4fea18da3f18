package entitytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// patience bounds what a host may take for one story. It is real time, and only a
// host that does not answer ever uses it up.
const patience = 2 * time.Minute

// retell tells the story to a real host, repeats each command with its key, and then
// looks at what a second host finds in the journal.
func (s *Story[S]) retell() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r := &retelling[S]{Story: s, journal: journal.NewMemory()}
	defer func() { r.check("close the journal", r.journal.Close()) }()
	if !r.seed(ctx) || !r.withHost(ctx, r.tell) {
		return
	}
	r.withHost(ctx, r.lookAgain)
}

// retelling is one story on its way through a host.
type retelling[S any] struct {
	*Story[S]
	journal *journal.Memory
	clock   atomic.Int64 // Unix nanoseconds
}

// seed writes what was given into the log, as one entry of an earlier owner.
func (r *retelling[S]) seed(ctx context.Context) bool {
	r.t.Helper()
	at := r.now
	if len(r.steps) > 0 {
		at = r.steps[0].at
	}
	r.clock.Store(at.UnixNano())
	if len(r.given) == 0 && len(r.armed) == 0 {
		return true
	}
	entry, err := r.givenEntry(at)
	if err != nil {
		r.t.Errorf("entitytest: encode what was given: %v", err)
		return false
	}
	claim := journal.Header{Number: 1, Epoch: 1, Writer: "given", Batch: journal.NewBatch(), Claim: true, Time: at.UnixNano(), FirstOffset: 1}
	data := journal.Header{Number: 2, Epoch: 1, Writer: "given", Batch: journal.NewBatch(), Time: at.UnixNano(), FirstOffset: 1, Events: uint64(len(r.given))}
	_, err = r.journal.Append(ctx, 0, journal.NewRecord(claim, nil))
	if err == nil {
		_, err = r.journal.Append(ctx, 0, journal.NewRecord(data, [][]byte{entry}))
	}
	return r.check("store what was given", err)
}

func (r *retelling[S]) givenEntry(at time.Time) ([]byte, error) {
	e := &logv1.Entry{
		Type: r.typ.Name(), Id: r.id, Entry: 1, Version: uint64(len(r.given)), TimeNs: at.UnixNano(),
		Key:     &logv1.Key{Kind: &logv1.Key_Caller{Caller: "given"}},
		Command: "entitytest.Given", Answer: &logv1.Entry_Reply{},
	}
	for _, g := range r.given {
		e.Events = append(e.Events, &logv1.Event{Type: g.event, Payload: g.payload})
	}
	for _, t := range r.armed {
		payload, err := proto.Marshal(t.cmd)
		if err != nil {
			return nil, err
		}
		e.Arms = append(e.Arms, &logv1.Arm{Name: t.name, DueNs: t.at.UnixNano(), Command: fullName(t.cmd), Payload: payload})
	}
	return proto.Marshal(e)
}

// withHost runs use beside a host on the story's journal and clock.
func (r *retelling[S]) withHost(ctx context.Context, use func(context.Context, *entity.Host) bool) bool {
	r.t.Helper()
	host, err := entity.Start(ctx, entity.Config{
		Journal: r.journal, Types: []entity.Definition{r.typ}, Node: "entitytest", Shards: 1, AcceptClock: true,
		Logger: slog.New(slog.DiscardHandler),
		Clock:  func() time.Time { return time.Unix(0, r.clock.Load()).UTC() },
	})
	if !r.check("start a host", err) {
		return false
	}
	ok := use(ctx, host)
	return r.check("stop the host", host.Stop(ctx)) && ok
}

// tell sends each command and compares the answers.
func (r *retelling[S]) tell(ctx context.Context, host *entity.Host) bool {
	r.t.Helper()
	for i, st := range r.steps {
		r.clock.Store(max(r.clock.Load(), st.at.UnixNano()))
		switch {
		case st.timer == "":
			if !r.ask(ctx, host, i, 1) || st.failure == "" && !r.ask(ctx, host, i, 2) {
				return false
			}
		case st.failure != "":
			return false // from here on the host retries, at times of its own
		case i+1 < len(r.steps) && r.steps[i+1].at.Equal(st.at):
			// It must fire before what comes next, without being waited for.
		case !r.settled(ctx, host): // it must fire at this time, not at that of the next command
			return false
		}
	}
	return r.look(ctx, host, "the host")
}

// ask sends the command of step i and compares the answer with the story's.
func (r *retelling[S]) ask(ctx context.Context, host *entity.Host, i, attempt int) bool {
	r.t.Helper()
	st := r.steps[i]
	who := "a host"
	if attempt > 1 {
		who = "a host that gets the same command with the same key again"
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(st.msg)
	if !r.check("encode the command", err) {
		return false
	}
	resp, err := host.Call(ctx, &entity.Request{
		Type: r.typ.Name(), ID: r.id, Command: fullName(st.msg), Payload: payload, Principal: st.principal,
		Key: entity.CallerKey(fmt.Sprintf("step %d", i)), Attempt: attempt,
	})
	if wrong := r.compare(st, resp, err); wrong != "" {
		r.t.Errorf("%s: %s answers otherwise: %s", st, who, wrong)
		return false
	}
	if attempt > 1 && err == nil && !r.isQuery(st.msg) && !resp.Receipt.Repeated {
		r.t.Errorf("%s: a host ran the command a second time although its key was the same", st)
		return false
	}
	return true
}

// compare tells how an answer differs from the one in the story.
func (r *retelling[S]) compare(st *step, resp *entity.Response, err error) string {
	var got, want *entity.Rejection
	switch {
	case st.failure != "":
		if !errors.Is(err, entity.ErrFailed) {
			return fmt.Sprintf("%v, want a failure: %s", err, st.failure)
		}
	case errors.As(st.err, &want):
		if !errors.As(err, &got) || got.Code != want.Code || got.Message != want.Message {
			return fmt.Sprintf("%v, want %v", err, want)
		}
	case err != nil:
		return err.Error()
	default:
		reply := st.reply.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(resp.Payload, reply); err != nil {
			return err.Error()
		}
		if !sameMessage(reply, st.reply) {
			return fmt.Sprintf("\n%s\nwant\n%s", show(reply), show(st.reply))
		}
	}
	return ""
}

func (r *retelling[S]) isQuery(m proto.Message) bool {
	for _, c := range r.typ.Commands() {
		if c.Name == fullName(m) {
			return c.Query
		}
	}
	return false
}

// settled lets the host fire what is due. The story's clock stands still, so the host
// would not look at it for a while: a command that is sure to be refused makes it.
func (r *retelling[S]) settled(ctx context.Context, host *entity.Host) bool {
	r.t.Helper()
	var refused error
	for _, c := range r.typ.Commands() {
		if !c.Query && !c.TimerOnly {
			nobody := uint64(math.MaxUint64)
			_, refused = host.Call(ctx, &entity.Request{Type: r.typ.Name(), ID: r.id, Command: c.Name, IfVersion: &nobody})
			break
		}
	}
	if !errors.Is(refused, entity.ErrVersionMismatch) {
		r.t.Errorf("a host with a timer that is due answers %v, want %v", refused, entity.ErrVersionMismatch)
		return false
	}
	return true
}

// lookAgain is told to a host that finds the story in the journal.
func (r *retelling[S]) lookAgain(ctx context.Context, host *entity.Host) bool {
	r.t.Helper()
	for i := len(r.steps) - 1; i >= 0; i-- {
		if st := r.steps[i]; st.timer == "" && st.failure == "" && !r.isQuery(st.msg) {
			if !r.ask(ctx, host, i, 2) {
				return false
			}
			break
		}
	}
	return r.look(ctx, host, "a host started afresh")
}

// look compares what an operator would see with the story.
func (r *retelling[S]) look(ctx context.Context, host *entity.Host, who string) bool {
	r.t.Helper()
	info, err := host.Inspect(ctx, r.typ.Name(), r.id, nil)
	if !r.check("look at the entity", err) {
		return false
	}
	want, err := r.typ.ShowState(r.state)
	if !r.check("show the state", err) {
		return false
	}
	switch {
	case info.StateError != "":
		r.t.Errorf("%s cannot rebuild the state: %s", who, info.StateError)
	case !sameJSON(info.State, want):
		r.t.Errorf("%s has the state\n  %s\nwant\n  %s", who, info.State, want)
	case info.Version != r.version || len(info.Events) != len(r.events):
		r.t.Errorf("%s has version %d and %d events, want %d", who, info.Version, len(info.Events), r.version)
	default:
		return r.lookAtEvents(info, who) && r.lookAtTimers(info, who)
	}
	return false
}

func (r *retelling[S]) lookAtEvents(info *entity.EntityInfo, who string) bool {
	r.t.Helper()
	for i, e := range r.events {
		want, err := protojson.Marshal(e)
		if !r.check("show an event", err) {
			return false
		}
		if got := info.Events[i]; got.Type != fullName(e) || !sameJSON(got.Data, want) {
			r.t.Errorf("%s has as event %d\n  %s %s\nwant\n%s", who, i+1, got.Type, got.Data, show(e))
			return false
		}
	}
	return true
}

func (r *retelling[S]) lookAtTimers(info *entity.EntityInfo, who string) bool {
	r.t.Helper()
	got := map[string]time.Time{}
	for _, t := range info.Timers {
		got[t.Name] = t.Due
	}
	same := len(got) == len(r.timers)
	for _, t := range r.timers {
		same = same && got[t.name].Equal(t.at)
	}
	if !same {
		r.t.Errorf("%s has the timers %v, want %s", who, info.Timers, r.timerNames())
	}
	return same
}

// check reports an error of a host, which is not the story's fault.
func (r *retelling[S]) check(what string, err error) bool {
	r.t.Helper()
	if err != nil {
		r.t.Errorf("entitytest: %s: %v", what, err)
	}
	return err == nil
}

func fullName(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }

// sameJSON compares by meaning: order of keys, spaces, and what is empty do not count.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(pruned(x), pruned(y))
}

// pruned returns v without what is null or empty.
func pruned(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if x[k] = pruned(e); x[k] == nil {
				delete(x, k)
			}
		}
		if len(x) == 0 {
			return nil
		}
	case []any:
		for i := range x {
			x[i] = pruned(x[i])
		}
		if len(x) == 0 {
			return nil
		}
	}
	return v
}
