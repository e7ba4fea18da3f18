package entity_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

// What was once stored must be readable for ever. testdata/history has a folder for each
// release: what a host of that release had stored, as it lay in its journal (journal.json) and on
// its disk (pebble/), and what it said of it then (expected.json). A folder is never changed.
//
// When a release is cut: go test ./entity -run History -record-history 0.2.0

var recordHistory = flag.String("record-history", "", "the release whose history is to be added to testdata/history")

const historyFolder = "testdata/history"

func TestHistoryOfEachReleaseReplays(t *testing.T) {
	t.Parallel()
	if *recordHistory != "" {
		record(t, filepath.Join(historyFolder, *recordHistory))
	}
	releases, err := os.ReadDir(historyFolder)
	if err != nil || len(releases) == 0 {
		t.Fatalf("%s has no history: %v", historyFolder, err)
	}
	for _, release := range releases {
		dir := filepath.Join(historyFolder, release.Name())
		t.Run(release.Name()+" from its journal", func(t *testing.T) {
			t.Parallel()
			replays(t, dir, func(t *testing.T, h *history) journal.Journal { return h.load(t) })
		})
		t.Run(release.Name()+" from its log alone", func(t *testing.T) {
			t.Parallel()
			replays(t, dir, func(t *testing.T, h *history) journal.Journal {
				h.forgetDerived(t)
				return h.load(t)
			})
		})
		t.Run(release.Name()+" from its disk", func(t *testing.T) {
			t.Parallel()
			replays(t, dir, func(t *testing.T, _ *history) journal.Journal {
				copied := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, "pebble"))); err != nil {
					t.Fatal(err)
				}
				return openPebble(t, copied)
			})
		})
	}
}

// A history whose stored form differs in one event is not the same one.
func TestHistoryThatWasChangedIsNoticed(t *testing.T) {
	t.Parallel()
	var want, got any
	for text, to := range map[string]*any{`{"a":[{"b":"1"}]}`: &want, `{"a":[{"b":"2","new":3}]}`: &got} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	if holds(got, want) {
		t.Error("another value is taken for the same")
	}
	want.(map[string]any)["a"].([]any)[0].(map[string]any)["b"] = "2"
	if !holds(got, want) {
		t.Error("a field that a later release adds is taken for a difference")
	}
}

// The entities of the histories. Their rules may be added to, never changed.

// purse is a state that is stored as JSON.
type purse struct {
	Cents  int64
	Log    []string
	Opened time.Time
	ByDay  map[string]int64
	Closed bool
}

var purses = entity.Define("purse",
	entity.On(func(p purse, c entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if p.Cents+c.Msg.GetValue() < 0 {
			return entity.None, nil, entity.Reject("funds", "there are only %d", p.Cents)
		}
		note := wrapperspb.String(fmt.Sprintf("%d by %s", c.Msg.GetValue(), c.Principal))
		day := durationpb.New(c.Time.Sub(time.Unix(0, 0)).Truncate(24 * time.Hour))
		return entity.Persist(c.Msg, note, day), wrapperspb.Int64(p.Cents + c.Msg.GetValue()), nil
	}),
	entity.On(func(_ purse, c entity.Command[*durationpb.Duration]) (entity.Effect, *emptypb.Empty, error) {
		due := c.Time.Add(c.Msg.AsDuration())
		return entity.None.Remind("close", due, wrapperspb.Bool(true)).Cancel("other").
			Remind("other", due.Add(time.Hour), wrapperspb.Bool(false)), &emptypb.Empty{}, nil
	}),
	entity.On(func(p purse, c entity.Command[*wrapperspb.BoolValue]) (entity.Effect, *emptypb.Empty, error) {
		if p.Closed {
			return entity.None, nil, entity.Reject("closed", "it is closed")
		}
		return entity.Persist(c.Msg).Cancel("other"), &emptypb.Empty{}, nil
	}),
	entity.Query(func(p purse, _ entity.Command[*emptypb.Empty]) (*wrapperspb.BoolValue, error) {
		return wrapperspb.Bool(p.Closed), nil
	}),
	entity.Apply(func(p purse, e *wrapperspb.Int64Value) purse { p.Cents += e.GetValue(); return p }),
	entity.Apply(func(p purse, e *wrapperspb.StringValue) purse { p.Log = append(p.Log, e.GetValue()); return p }),
	entity.Apply(func(p purse, e *durationpb.Duration) purse {
		p.ByDay = maps.Clone(p.ByDay)
		if p.ByDay == nil {
			p.ByDay = map[string]int64{}
		}
		p.ByDay[e.AsDuration().String()]++
		if p.Opened.IsZero() {
			p.Opened = time.Unix(0, 0).Add(e.AsDuration()).UTC()
		}
		return p
	}),
	entity.Apply(func(p purse, _ *wrapperspb.BoolValue) purse { p.Closed = true; return p }),
)

// counters have a state that is stored as protobuf.
var counters = entity.Define("counter",
	entity.On(func(s *wrapperspb.Int64Value, c entity.Command[*wrapperspb.UInt32Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		return entity.Persist(c.Msg), wrapperspb.Int64(s.GetValue() + int64(c.Msg.GetValue())), nil
	}),
	entity.Apply(func(s *wrapperspb.Int64Value, e *wrapperspb.UInt32Value) *wrapperspb.Int64Value {
		return wrapperspb.Int64(s.GetValue() + int64(e.GetValue()))
	}),
)

var historyTypes = []entity.Definition{purses, counters}

// history is a journal in a form that needs no database to read. Bodies are base64.
type history struct {
	// Clock is when the history ends, in Unix nanoseconds.
	Clock     int64             `json:"clock_ns"`
	Settled   map[string]string `json:"settled"`
	Shards    []historyShard    `json:"shards"`
	Pages     []historyPage     `json:"pages"`
	Snapshots []historySnapshot `json:"snapshots"`
	Timers    []historyTimer    `json:"timers"`
}

type historyShard struct {
	Flushed uint64   `json:"flushed"`
	Records [][]byte `json:"records"`
}

type historyPage struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	Body  []byte `json:"body"`
}

type historySnapshot struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Entry uint64 `json:"entry"`
	Body  []byte `json:"body"`
}

type historyTimer struct {
	Shard uint32 `json:"shard"`
	Type  string `json:"type"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	Armed uint64 `json:"armed"`
	Due   int64  `json:"due_ns"`
}

// expectation is what the release itself said of its history.
type expectation struct {
	Entities []expectedEntity `json:"entities"`
	Answers  []expectedAnswer `json:"answers"`
}

type expectedEntity struct {
	Info json.RawMessage `json:"info"`
	// States are those after each command that stored events.
	States []json.RawMessage `json:"states"`
}

// expectedAnswer is the answer to a command with a key, which a repeat must get.
type expectedAnswer struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Command string `json:"command"`
	Payload []byte `json:"payload"`
	Key     string `json:"key"`
	Reply   []byte `json:"reply,omitempty"`
	Code    string `json:"code,omitempty"`
}

// replays starts a host of today on a journal of then and compares.
func replays(t *testing.T, dir string, open func(*testing.T, *history) journal.Journal) {
	t.Helper()
	var h history
	var want expectation
	readJSON(t, filepath.Join(dir, "journal.json"), &h)
	readJSON(t, filepath.Join(dir, "expected.json"), &want)
	var clock atomic.Int64
	clock.Store(h.Clock)
	j := open(t, &h)
	host := historyHost(t, j, &clock)
	wantHistoryListed(t, j)
	if len(want.Entities) == 0 || len(want.Answers) == 0 {
		t.Fatalf("%s expects nothing", dir)
	}
	for _, e := range want.Entities {
		var of struct{ Type, ID string }
		unmarshal(t, e.Info, &of)
		if got := inspected(t, host, of.Type, of.ID, nil); !holds(parsed(t, got.Info), parsed(t, e.Info)) {
			t.Errorf("%s %q is\n%s\nin %s it was\n%s", of.Type, of.ID, got.Info, dir, e.Info)
		} else if !slices.EqualFunc(got.States, e.States, func(a, b json.RawMessage) bool { return reflect.DeepEqual(parsed(t, a), parsed(t, b)) }) {
			t.Errorf("%s %q went through\n%s\nin %s through\n%s", of.Type, of.ID, got.States, dir, e.States)
		}
	}
	for _, a := range want.Answers {
		if got := a.again(t, host); got.Code != a.Code || !bytes.Equal(got.Reply, a.Reply) {
			t.Errorf("the repeat of %s with the key %q to %s %q gets %+v, the first got %+v", a.Command, a.Key, a.Type, a.ID, got, a)
		}
	}
	pendingTimerFires(t, host, &clock)
}

// wantHistoryListed checks that the journal lists the events that the histories hold.
func wantHistoryListed(t *testing.T, j journal.Journal) {
	t.Helper()
	want := []string{"event/counter/google.protobuf.UInt32Value"}
	for _, event := range []string{"BoolValue", "Duration", "Int64Value", "StringValue"} {
		want = append(want, "event/purse/google.protobuf."+event)
	}
	want = append(want, "events-listed")
	slices.Sort(want)
	if got := listedEvents(t, j); !slices.Equal(got, want) {
		t.Errorf("the journal lists %q, want %q", got, want)
	}
}

// pendingTimerFires goes on a year: the history leaves a purse open whose timer is pending.
func pendingTimerFires(t *testing.T, host *entity.Host, clock *atomic.Int64) {
	t.Helper()
	ask := func() bool {
		payload, err := host.Call(long(t), &entity.Request{Type: "purse", ID: timedPurse, Command: "Empty"})
		if err != nil {
			t.Fatal(err)
		}
		var closed wrapperspb.BoolValue
		if err := proto.Unmarshal(payload.Payload, &closed); err != nil {
			t.Fatal(err)
		}
		return closed.GetValue()
	}
	if ask() {
		t.Errorf("purse %q is closed before its time", timedPurse)
	}
	clock.Add(int64(365 * 24 * time.Hour))
	if !ask() {
		t.Errorf("purse %q is not closed: its timer was lost", timedPurse)
	}
}

// again sends the command once more.
func (a expectedAnswer) again(t *testing.T, host *entity.Host) expectedAnswer {
	t.Helper()
	resp, err := host.Call(long(t), &entity.Request{
		Type: a.Type, ID: a.ID, Command: a.Command, Payload: a.Payload, Key: entity.CallerKey(a.Key), Attempt: 2,
	})
	a.Reply, a.Code = nil, ""
	var no *entity.Rejection
	switch {
	case errors.As(err, &no):
		a.Code = no.Code
	case err != nil:
		t.Errorf("repeat %s with the key %q: %v", a.Command, a.Key, err)
	case !resp.Receipt.Repeated:
		t.Errorf("%s with the key %q ran again", a.Command, a.Key)
	default:
		a.Reply = resp.Payload
	}
	return a
}

func historyHost(t *testing.T, j journal.Journal, clock *atomic.Int64) *entity.Host {
	t.Helper()
	host, err := entity.Start(t.Context(), entity.Config{
		Journal: j, Types: historyTypes, Clock: func() time.Time { return time.Unix(0, clock.Load()).UTC() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopHost(t, host)
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return host
}

// load makes an in-memory journal of a history.
func (h *history) load(t *testing.T) journal.Journal {
	t.Helper()
	j, ctx := journal.NewMemory(), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range h.Settled {
		_, err := j.Settle(ctx, name, value)
		must(err)
	}
	for i, s := range h.Shards {
		for _, body := range s.Records {
			rec, err := journal.ParseRecord(body)
			must(err)
			slot, err := j.Append(ctx, uint32(i), rec)
			must(err)
			if slot.Holder.Batch != rec.Batch {
				t.Fatalf("shard %d: record %d is there twice", i, rec.Number)
			}
		}
		must(j.Derive(ctx, journal.Derived{Shard: uint32(i), UpTo: s.Flushed}))
	}
	for _, p := range h.Pages {
		page := journal.Page{Of: journal.Entity{Type: p.Type, ID: p.ID}, First: p.First, Last: p.Last, Body: p.Body}
		must(j.Derive(ctx, journal.Derived{Pages: []journal.Page{page}}))
	}
	for _, s := range h.Snapshots {
		must(j.SaveSnapshot(ctx, journal.Snapshot{Of: journal.Entity{Type: s.Type, ID: s.ID}, Entry: s.Entry, Body: s.Body}))
	}
	for _, x := range h.Timers {
		timer := journal.Timer{Of: journal.Entity{Type: x.Type, ID: x.ID}, Name: x.Name, Armed: x.Armed, Due: x.Due}
		must(j.Derive(ctx, journal.Derived{Shard: x.Shard, Arms: []journal.Timer{timer}}))
	}
	return j
}

// forgetDerived leaves the records alone, and lets them say that nothing else was ever written.
func (h *history) forgetDerived(t *testing.T) {
	t.Helper()
	h.Pages, h.Snapshots, h.Timers = nil, nil, nil
	for i := range h.Shards {
		h.Shards[i].Flushed = 0
		for n, body := range h.Shards[i].Records {
			rec, err := journal.ParseRecord(body)
			if err != nil {
				t.Fatal(err)
			}
			var entries [][]byte
			if err := rec.EachEntry(func(e []byte) error { entries = append(entries, e); return nil }); err != nil {
				t.Fatal(err)
			}
			rec.Flushed, rec.TimersFromHour = 0, 0
			h.Shards[i].Records[n] = journal.NewRecord(rec.Header, entries).Body
		}
	}
}

// inspected returns what the host says of an entity, and of each of its versions.
func inspected(t *testing.T, host *entity.Host, typ, id string, at *uint64) expectedEntity {
	t.Helper()
	info, err := host.Inspect(t.Context(), typ, id, at)
	if err != nil {
		t.Fatal(err)
	}
	info.Live = false // of the process, not of the history
	out := expectedEntity{Info: marshal(t, info)}
	if at == nil {
		for i, e := range info.Events {
			if i+1 < len(info.Events) && info.Events[i+1].Entry == e.Entry {
				continue // the events of one command become visible together
			}
			then, err := host.Inspect(t.Context(), typ, id, &e.Version)
			if err != nil {
				t.Fatal(err)
			}
			out.States = append(out.States, then.State)
		}
	}
	return out
}

// holds reports whether all of want is in got; got may have more fields, which a later release added.
func holds(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		for k := range w {
			ok = ok && holds(g[k], w[k])
		}
		return ok
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, w, holds)
	}
	return reflect.DeepEqual(got, want)
}

const (
	timedPurse    = "timed"
	historyShards = 2
)

var historyEntities = []journal.Entity{
	{Type: "purse", ID: "ann"}, {Type: "purse", ID: timedPurse}, {Type: "purse", ID: "fired"}, {Type: "counter", ID: "ü/1"},
}

// record adds a history of this release. It refuses to change one.
func record(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is there already (%v): the history of a release is never changed", dir, err)
	}
	data := filepath.Join(t.TempDir(), "data")
	var clock atomic.Int64
	clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	var want expectation
	for session := range 2 { // two claims, and a tail that no page holds yet
		j := openPebble(t, data)
		host, err := entity.Start(t.Context(), entity.Config{
			Journal: j, Types: historyTypes, Shards: historyShards, SnapshotBytes: 1, Node: fmt.Sprintf("recorder-%d", session),
			Clock: func() time.Time { return time.Unix(0, clock.Load()).UTC() },
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Answers = append(want.Answers, liveThrough(t, host, &clock, session)...)
		if session == 1 {
			for _, of := range historyEntities {
				want.Entities = append(want.Entities, inspected(t, host, of.Type, of.ID, nil))
			}
		}
		stopHost(t, host)
		if session == 1 {
			writeJSON(t, filepath.Join(dir, "journal.json"), unload(t, j, clock.Load()))
			writeJSON(t, filepath.Join(dir, "expected.json"), want)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "pebble"), os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
}

// liveThrough sends one of everything that is stored.
func liveThrough(t *testing.T, host *entity.Host, clock *atomic.Int64, session int) []expectedAnswer {
	t.Helper()
	var answers []expectedAnswer
	send := func(typ, id string, msg proto.Message, key string) {
		t.Helper()
		clock.Add(int64(1500 * time.Millisecond))
		payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		req := &entity.Request{
			Type: typ, ID: id, Command: string(msg.ProtoReflect().Descriptor().FullName()), Payload: payload,
			Principal: "recorder", Cause: "history", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		}
		a := expectedAnswer{Type: typ, ID: id, Command: req.Command, Payload: payload, Key: key}
		if key != "" {
			req.Key = entity.CallerKey(key)
		}
		resp, err := host.Call(long(t), req)
		var no *entity.Rejection
		switch {
		case errors.As(err, &no):
			a.Code = no.Code
		case err != nil:
			t.Fatal(err)
		default:
			a.Reply = resp.Payload
		}
		if key != "" {
			answers = append(answers, a)
		}
	}
	key := func(name string) string { return name + "-" + strconv.Itoa(session) }
	for i := range 12 {
		send("purse", "ann", wrapperspb.Int64(int64(100+i)), key("ann-"+strconv.Itoa(i)))
		send("counter", "ü/1", wrapperspb.UInt32(uint32(i)), "")
	}
	send("purse", "ann", wrapperspb.Int64(-1_000_000), key("too-much"))
	if session == 0 {
		send("purse", "fired", wrapperspb.Int64(5), "")
		send("purse", "fired", durationpb.New(time.Second), key("arm"))
		send("purse", timedPurse, durationpb.New(90*24*time.Hour), key("arm"))
		send("purse", timedPurse, wrapperspb.Int64(7), "")
	}
	send("purse", "fired", wrapperspb.Bool(false), key("closed-already"))
	return answers
}

// unload reads all that a journal holds.
func unload(t *testing.T, j journal.Journal, clock int64) *history {
	t.Helper()
	ctx := t.Context()
	h := &history{Clock: clock, Settled: map[string]string{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(j.Settled(ctx, "", func(name, value string) error { h.Settled[name] = value; return nil }))
	for n := range uint32(historyShards) {
		head, err := j.Head(ctx, n)
		must(err)
		shard := historyShard{Flushed: head.Flushed}
		for from := uint64(1); from <= head.Last.Number; {
			records, err := j.Read(ctx, n, from, 1<<20)
			must(err)
			for _, rec := range records {
				shard.Records = append(shard.Records, bytes.Clone(rec.Body))
				from = rec.Number + 1
			}
		}
		h.Shards = append(h.Shards, shard)
		must(j.Timers(ctx, n, 0, journal.HourOf(clock)+100_000, func(x journal.Timer) error {
			h.Timers = append(h.Timers, historyTimer{n, x.Of.Type, x.Of.ID, x.Name, x.Armed, x.Due})
			return nil
		}))
	}
	for _, of := range historyEntities {
		h.addDerived(t, j, of)
	}
	if len(h.Snapshots) == 0 || len(h.Pages) == 0 || len(h.Timers) == 0 {
		t.Fatalf("the history has %d snapshots, %d pages and %d timers: it must have some of each", len(h.Snapshots), len(h.Pages), len(h.Timers))
	}
	return h
}

func (h *history) addDerived(t *testing.T, j journal.Journal, of journal.Entity) {
	t.Helper()
	err := j.Pages(t.Context(), of, 0, func(p journal.Page) error {
		h.Pages = append(h.Pages, historyPage{of.Type, of.ID, p.First, p.Last, bytes.Clone(p.Body)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	snapshots, err := j.Snapshots(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range snapshots {
		h.Snapshots = append(h.Snapshots, historySnapshot{of.Type, of.ID, s.Entry, s.Body})
	}
}

func openPebble(t *testing.T, dir string) journal.Journal {
	t.Helper()
	// Small tables and no reserve: the test is about what is stored, not about the disk.
	j, err := pebble.Open(pebble.Config{Dir: dir, MemTableBytes: 256 << 10, CacheBytes: 1 << 20, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() }) // some tests have closed it by then
	return j
}

func readJSON(t *testing.T, name string, to any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	unmarshal(t, b, to)
}

func writeJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func marshal(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unmarshal(t *testing.T, b []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

func parsed(t *testing.T, b []byte) (v any) {
	t.Helper()
	unmarshal(t, b, &v)
	return v
}
