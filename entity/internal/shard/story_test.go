package shard

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/skerryhq/skerry/journal"
)

// TestStories plays the scripts of testdata/stories. Each input is told to one machine by hand,
// and the script shows what it asks for then. To write the answers anew after a change, run
// with -rewrite and read the difference.
func TestStories(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, filepath.Join("testdata", "stories"), func(t *testing.T, path string) {
		s := &story{log: &modelLogBook{pages: map[journal.Entity][][]byte{}}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			return s.play(t, d)
		})
	})
}

// modelLogBook is what a story's journal holds.
type modelLogBook struct {
	records []journal.Record
	pages   map[journal.Entity][][]byte
}

type story struct {
	m     *Machine
	node  string
	now   int64
	batch byte
	log   *modelLogBook
	phase Phase

	// What the machine asked for and is not told yet.
	append   *Append
	check    *Check
	read     *LogRange
	timers   *HourRange
	derive   *Derive
	handles  map[string]Handle
	recovers map[string]Recover
	encodes  map[string]Encode
}

const storyStart = int64(480_000 * time.Hour)

func (s *story) play(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	if at := duration(t, d, "after"); at != 0 {
		s.now += at
	}
	switch d.Cmd {
	case "start":
		s.start(t, d)
	case "head":
		s.head(t, d)
	case "appended":
		s.appended(t, d)
	case "checked":
		slot, err := s.slot(t, d)
		s.m.Checked(s.now, s.check.Seq, slot, err)
	case "read":
		s.m.LogRead(s.now, s.log.records[s.read.From-1:min(s.read.To, uint64(len(s.log.records)))], failure(d))
	case "timers":
		s.m.TimersLoaded(s.now, *s.timers, s.indexed(t, d), failure(d))
	case "slot":
		s.m.Slot(s.now)
	case "command":
		s.command(t, d)
	case "handled":
		s.handled(t, d)
	case "recovered":
		s.recovered(t, d)
	case "encoded":
		return s.encoded(t, d)
	case "derived":
		s.derived(t, d)
	case "tick":
		s.m.Tick(s.now)
	case "drain":
		s.m.Drain(s.now)
	case "evict":
		s.m.Evict(s.now, 100)
	case "abort":
		s.m.Abort(s.now, "the host gives up")
	case "wake":
		if s.m.Wake() == 0 {
			return "never\n"
		}
		return fmt.Sprintf("in %v\n", time.Duration(s.m.Wake()-s.now))
	default:
		t.Fatalf("%s: no such input", d.Cmd)
	}
	return s.ready()
}

func (s *story) start(t *testing.T, d *datadriven.TestData) {
	s.node = text(t, d, "node", "n1")
	s.now = max(s.now, storyStart)
	s.m = New(Config{
		Shard: 7, Node: s.node, MaxRecordBytes: 1 << 20, FlushBytes: 1 << 20, StallBytes: 4 << 20,
		FlushAfter: 2 * time.Second, IdleAfter: time.Minute, SnapshotBytes: integer(t, d, "snapshots", 0),
		NewBatch: func() journal.Batch { s.batch++; return journal.Batch{s.batch} },
	})
	s.phase = Starting
	s.handles, s.recovers, s.encodes = map[string]Handle{}, map[string]Recover{}, map[string]Encode{}
	s.m.Start(s.now)
}

func (s *story) head(t *testing.T, d *datadriven.TestData) {
	n := integer(t, d, "record", len(s.log.records))
	var head journal.Head
	if n > 0 {
		head.Last = s.log.records[n-1].Header
	}
	head.Flushed = head.Last.Flushed
	s.m.HeadRead(s.now, head, failure(d))
}

// appended tells the outcome of the append under way; stored says whether it took effect.
func (s *story) appended(t *testing.T, d *datadriven.TestData) {
	switch {
	case d.HasArg("stored"):
		if s.append.Record.Number > uint64(len(s.log.records)) {
			s.log.records = append(s.log.records, s.append.Record)
		}
		s.m.Appended(s.now, journal.Slot{Taken: true, Holder: s.append.Record.Header}, nil)
	case d.HasArg("unknown-but-stored"):
		s.log.records = append(s.log.records, s.append.Record)
		s.m.Appended(s.now, journal.Slot{}, errNoAnswer)
	default:
		slot, err := s.slot(t, d)
		s.m.Appended(s.now, slot, err)
	}
}

// slot reads who holds a slot: empty, unknown, refused, ours, or the claim or data of another.
func (s *story) slot(t *testing.T, d *datadriven.TestData) (journal.Slot, error) {
	switch {
	case d.HasArg("empty"):
		return journal.Slot{}, nil
	case d.HasArg("unknown"):
		return journal.Slot{}, errNoAnswer
	case d.HasArg("refused"):
		return journal.Slot{}, errDiskFull
	case d.HasArg("ours"):
		return journal.Slot{Taken: true, Holder: s.append.Record.Header}, nil
	}
	by := text(t, d, "claim-of", "")
	n := uint64(len(s.log.records)) + 1
	h := journal.Header{Number: n, Claim: by != "", Writer: by, Batch: journal.Batch{200}, Epoch: 1, FirstOffset: 1, Time: s.now}
	if n > 1 {
		last := s.log.records[n-2].Header
		h.Epoch, h.FirstOffset, h.Time = last.Epoch+1, last.NextOffset(), max(last.Time, s.now)
	}
	if by == "" {
		h.Writer, h.Epoch = text(t, d, "data-of", "nobody"), h.Epoch-1
	}
	s.log.records = append(s.log.records, journal.NewRecord(h, nil))
	return journal.Slot{Taken: true, Holder: h}, nil
}

func (s *story) indexed(t *testing.T, d *datadriven.TestData) (found []journal.Timer) {
	if of := text(t, d, "of", ""); of != "" {
		found = append(found, journal.Timer{
			Of: lot(of), Name: text(t, d, "name", ""), Armed: uint64(integer(t, d, "armed", 1)), Due: storyStart + duration(t, d, "due"),
		})
	}
	return found
}

func lot(id string) journal.Entity { return journal.Entity{Type: "lot", ID: id} }

func (s *story) command(t *testing.T, d *datadriven.TestData) {
	c := &Command{
		To: lot(d.CmdArgs[0].Key), Name: d.CmdArgs[1].Key, Attempt: integer(t, d, "attempt", 1),
		Query: d.HasArg("query"), Local: d.HasArg("local"), Deadline: s.now + int64(5*time.Second),
	}
	c.Hash = uint64(len(c.Name))
	c.Tag = text(t, d, "key", "query")
	if !c.Query {
		c.Key = Key{Kind: CallerKey, Name: c.Tag.(string)}
	}
	if at := duration(t, d, "deadline"); at != 0 {
		c.Deadline = s.now + at
	}
	if d.HasArg("version") {
		c.HasExpect, c.Expect = true, uint64(integer(t, d, "version", 0))
	}
	s.m.Command(s.now, c)
}

// handled tells what the handler decided: one event unless the script says otherwise.
func (s *story) handled(t *testing.T, d *datadriven.TestData) {
	id := d.CmdArgs[0].Key
	out := &Handled{Handle: s.handles[id]}
	delete(s.handles, id)
	h := &out.Handle
	var o Outcome
	switch {
	case h.No != nil:
		out.Rejection = h.No
	case d.HasArg("reject"):
		out.Rejection = &Rejection{Code: "no", Message: "no"}
	case d.HasArg("fail"), d.HasArg("panic"):
		out.Failure, out.Rebuild = "it broke", d.HasArg("panic")
	case h.Command.Query:
		out.Reply = []byte(fmt.Sprintf("version %d", h.Version))
	default:
		o.Events = []Event{{Type: "done", Payload: []byte(h.Command.Name)}}
		o.Reply = []byte(fmt.Sprintf("entry %d", h.Entry))
	}
	if name := text(t, d, "arm", ""); name != "" {
		o.Arms = []Arm{{Name: name, Due: storyStart + duration(t, d, "due"), Command: "ring"}}
	}
	if o.Rejection = out.Rejection; len(o.Events) > 0 || out.Rejection != nil && h.StoreNo && !h.Command.Query {
		out.Entry, out.Reply, out.Events, out.Arms = EncodeEntry(h, &o), o.Reply, len(o.Events), o.Arms
	}
	s.m.Handled(s.now, out)
}

// recovered rebuilds an entity from the pages and the pins.
func (s *story) recovered(t *testing.T, d *datadriven.TestData) {
	id := d.CmdArgs[0].Key
	x := s.recovers[id]
	delete(s.recovers, id)
	r := &Recovered{Entity: x.Entity, Generation: x.Generation, Err: failure(d), Broken: d.HasArg("broken"), Host: id}
	if r.Err == nil {
		for _, b := range append(append([][]byte{}, s.log.pages[x.Entity.Of]...), x.Pinned...) {
			pb, err := DecodeEntry(b)
			if err != nil {
				t.Fatal(err)
			}
			if pb.GetEntry() == r.Image.Entry+1 {
				if err := r.Image.Take(lean(pb)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	s.m.Recovered(s.now, r)
}

// encoded gives the machine a state of some bytes, and says what it thinks the entities take.
func (s *story) encoded(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	s.m.Encoded(s.now, &Encoded{Encode: s.encodes[d.CmdArgs[0].Key], State: make([]byte, integer(t, d, "state", 0))})
	_, bytes := s.m.Live()
	return fmt.Sprintf("live: %d bytes\n", bytes) + s.ready()
}

func (s *story) derived(t *testing.T, d *datadriven.TestData) {
	if s.derive == nil {
		t.Fatal("nothing was to be derived")
	}
	if failure(d) == nil {
		for _, p := range s.derive.Pages {
			rest := p.Body
			for len(rest) > 0 {
				entry, n := pageEntry(rest)
				s.log.pages[p.Of] = append(s.log.pages[p.Of], entry)
				rest = rest[n:]
			}
		}
	}
	s.derive = nil
	s.m.Derived(s.now, failure(d))
}

// ready writes down what the machine asks for.
func (s *story) ready() string {
	var b strings.Builder
	r := s.m.Ready()
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if r.NeedSlot {
		say("need a slot")
	}
	if a := r.Append; a != nil {
		s.append = a
		say("append record %d%s%s", a.Record.Number, contents(a.Record), map[bool]string{true: ", again"}[a.Retry])
	}
	if r.Check != nil {
		s.check = r.Check
		say("check slot %d", r.Check.Number)
	}
	if r.ReadHead {
		say("read the head")
	}
	if r.ReadLog != nil {
		s.read = r.ReadLog
		say("read records %d to %d", r.ReadLog.From, r.ReadLog.To)
	}
	if r.LoadTimers != nil {
		s.timers = r.LoadTimers
		say("load timers")
	}
	if r.Derive != nil {
		s.derive = r.Derive
		say("derive up to record %d: pages %s, %d arms, %d disarms, %d snapshots", r.Derive.UpTo, pagesText(r.Derive), len(r.Derive.Arms), len(r.Derive.Disarms), len(r.Derive.Snapshots))
	}
	for _, x := range r.Encodes {
		s.encodes[x.Entity.Of.ID] = x
		say("encode %s", x.Entity.Of.ID)
	}
	for _, h := range r.Handles {
		s.handles[h.Entity.Of.ID] = h
		no := ""
		if h.No != nil {
			no = ", no: " + h.No.Code
		}
		say("handle %s of %s as entry %d at %v%s", h.Command.Name, h.Entity.Of.ID, h.Entry, time.Duration(h.Time-storyStart), no)
	}
	for _, x := range r.Stops {
		say("stop %v", x.Host)
	}
	for _, x := range r.Recovers {
		s.recovers[x.Entity.Of.ID] = x
		say("recover %s, %d pinned", x.Entity.Of.ID, len(x.Pinned))
	}
	for _, a := range r.Answers {
		say("answer %v: %s", a.Command.Tag, answerText(&a))
	}
	for _, f := range r.Failures {
		say("tell: %s", f)
	}
	if i := s.m.Info(); i.Phase != s.phase {
		s.phase = i.Phase
		say("%s", strings.TrimSuffix(i.Phase.String()+": "+i.Reason, ": "))
	}
	s.m.Done()
	if b.Len() == 0 {
		return "nothing\n"
	}
	return b.String()
}

func contents(r journal.Record) string {
	if r.Claim {
		return ": a claim"
	}
	var names []string
	_ = r.EachEntry(func(b []byte) error {
		pb, err := DecodeEntry(b)
		if err == nil {
			names = append(names, fmt.Sprintf("%s/%d", pb.GetId(), pb.GetEntry()))
		}
		return err
	})
	return ": " + strings.Join(names, " ")
}

func pagesText(d *Derive) string {
	var out []string
	for _, p := range d.Pages {
		out = append(out, fmt.Sprintf("%s/%d-%d", p.Of.ID, p.First, p.Last))
	}
	return strings.Join(out, " ")
}

func answerText(a *Answer) string {
	switch a.Kind {
	case Reply:
		return fmt.Sprintf("%q%s", a.Reply, map[bool]string{true: ", repeated"}[a.Repeated])
	case Reject:
		return fmt.Sprintf("rejected: %s%s", a.Rejection.Code, map[bool]string{true: ", repeated"}[a.Repeated])
	}
	return fmt.Sprintf("%s: %s", a.Kind, a.Reason)
}

func failure(d *datadriven.TestData) error {
	if d.HasArg("unknown") || d.HasArg("broken") {
		return errNoAnswer
	}
	if d.HasArg("corrupt") {
		return errors.Join(journal.ErrCorrupt)
	}
	return nil
}

func text(t *testing.T, d *datadriven.TestData, name, otherwise string) string {
	t.Helper()
	if d.HasArg(name) {
		d.ScanArgs(t, name, &otherwise)
	}
	return otherwise
}

func integer(t *testing.T, d *datadriven.TestData, name string, otherwise int) int {
	t.Helper()
	if d.HasArg(name) {
		d.ScanArgs(t, name, &otherwise)
	}
	return otherwise
}

func duration(t *testing.T, d *datadriven.TestData, name string) int64 {
	t.Helper()
	if !d.HasArg(name) {
		return 0
	}
	v, err := time.ParseDuration(text(t, d, name, ""))
	if err != nil {
		t.Fatal(err)
	}
	return int64(v)
}
