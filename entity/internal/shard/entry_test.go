package shard

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

func drawKey(t *rapid.T) Key {
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		k := Key{Kind: ClientKey, Number: rapid.Uint64().Draw(t, "number"), Oldest: rapid.Uint64().Draw(t, "oldest"), Issued: rapid.Int64().Draw(t, "issued")}
		copy(k.Client[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "client"))
		return k
	case 1:
		return Key{Kind: CallerKey, Name: rapid.StringN(0, 80, 256).Draw(t, "key")}
	case 2:
		return Key{Kind: TimerKey, Name: rapid.StringN(0, 80, 1024).Draw(t, "timer"), Armed: rapid.Uint64().Draw(t, "armed")}
	}
	return Key{}
}

func drawOutcome(t *rapid.T) *Outcome {
	o := &Outcome{}
	bytes, word := rapid.SliceOf(rapid.Byte()), rapid.String()
	if rapid.Bool().Draw(t, "rejected") {
		o.Rejection = &Rejection{word.Draw(t, "code"), word.Draw(t, "message")}
		return o
	}
	o.Reply = bytes.Draw(t, "reply")
	for range rapid.IntRange(0, 3).Draw(t, "events") {
		o.Events = append(o.Events, Event{word.Draw(t, "event"), bytes.Draw(t, "payload")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "arms") {
		o.Arms = append(o.Arms, Arm{Name: word.Draw(t, "arm"), Due: rapid.Int64().Draw(t, "due"), Command: word.Draw(t, "fires"), Payload: bytes.Draw(t, "with")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "cancels") {
		o.Cancels = append(o.Cancels, word.Draw(t, "cancel"))
	}
	return o
}

// generated is the entry as the generated code would have it.
func generated(h *Handle, o *Outcome) *logv1.Entry {
	c := h.Command
	pb := &logv1.Entry{
		Type: c.To.Type, Id: c.To.ID, Entry: h.Entry, Version: h.Version + uint64(len(o.Events)), CommandHash: c.Hash,
		Command: c.Name, Principal: c.Principal, Cause: c.Cause, Trace: c.Trace, TimeNs: h.Time, Cancels: o.Cancels,
	}
	switch k := c.Key; k.Kind {
	case ClientKey:
		pb.Key = &logv1.Key{Kind: &logv1.Key_Client{Client: &logv1.ClientKey{Client: k.Client[:], Number: k.Number, Oldest: k.Oldest, IssuedNs: k.Issued}}}
	case CallerKey:
		pb.Key = &logv1.Key{Kind: &logv1.Key_Caller{Caller: k.Name}}
	case TimerKey:
		pb.Key = &logv1.Key{Kind: &logv1.Key_Timer{Timer: &logv1.TimerKey{Name: k.Name, Armed: k.Armed}}}
	}
	if o.Rejection != nil {
		pb.Answer = &logv1.Entry_Rejection{Rejection: &logv1.Rejection{Code: o.Rejection.Code, Message: o.Rejection.Message}}
	} else {
		pb.Answer = &logv1.Entry_Reply{Reply: o.Reply}
	}
	for _, e := range o.Events {
		pb.Events = append(pb.Events, &logv1.Event{Type: e.Type, Payload: e.Payload})
	}
	for _, a := range o.Arms {
		pb.Arms = append(pb.Arms, &logv1.Arm{Name: a.Name, DueNs: a.Due, Command: a.Command, Payload: a.Payload})
	}
	return pb
}

func TestEntryIsWhatTheGeneratedCodeReads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.String()
		c := &Command{
			To: journal.Entity{Type: word.Draw(t, "type"), ID: word.Draw(t, "id")}, Name: word.Draw(t, "name"), Hash: rapid.Uint64().Draw(t, "hash"),
			Key: drawKey(t), Principal: word.Draw(t, "principal"), Cause: word.Draw(t, "cause"), Trace: word.Draw(t, "trace"),
		}
		h := &Handle{Command: c, Entry: rapid.Uint64().Draw(t, "entry"), Version: rapid.Uint64Range(0, 1<<60).Draw(t, "version"), Time: rapid.Int64().Draw(t, "time")}
		o := drawOutcome(t)
		b := EncodeEntry(h, o)
		if limit := entrySize(c, o); len(b) > limit {
			t.Fatalf("an entry of %d bytes; entrySize says %d at most", len(b), limit)
		}
		got, err := DecodeEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		if want := generated(h, o); !proto.Equal(got, want) {
			t.Fatalf("the entry reads as\n%v\nwant\n%v", got, want)
		}
		if key := keyFrom(got.GetKey()); key != c.Key {
			t.Fatalf("the key reads as %+v, want %+v", key, c.Key)
		}
		e := Entry{Events: make([]StoredEvent, 5)} // used before
		if err := e.Decode(b); err != nil || describe(&e) != describe(lean(got)) {
			t.Fatalf("Decode reads\n%s (%v)\nwant\n%s", describe(&e), err, describe(lean(got)))
		}
		_ = c.Key.String()
	})
}

// describe tells all of an entry, without the difference between nothing and nil.
func describe(e *Entry) string {
	var no Rejection
	if e.Rejection != nil {
		no = *e.Rejection
	}
	return fmt.Sprintf("%q %q %d %d %+v %x %q %d %q %v %q %q %+v %q", e.Type, e.ID, e.Number, e.Version, e.Key, e.Hash, e.Principal, e.Time,
		e.Reply, e.Rejection != nil, no, e.Events, e.Arms, e.Cancels)
}

// FuzzEntry: no stored bytes, whatever befell them, take the process down.
func FuzzEntry(f *testing.F) {
	h := &Handle{Command: &Command{To: journal.Entity{Type: "lot", ID: "1"}, Key: Key{Kind: CallerKey, Name: "k"}}, Entry: 1}
	f.Add(EncodeEntry(h, &Outcome{Reply: []byte("r"), Events: []Event{{"e", []byte("x")}}, Arms: []Arm{{Name: "a", Due: 5}}, Cancels: []string{"b"}}))
	h.Command.Key = Key{Kind: ClientKey, Number: 3, Oldest: 2}
	f.Add(EncodeEntry(h, &Outcome{Rejection: &Rejection{"c", "m"}}))
	h.Command.Key = Key{Kind: TimerKey, Name: "a", Armed: 1}
	f.Add(EncodeEntry(h, &Outcome{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var garbage Entry
		_ = garbage.Decode(b)
		pb := &logv1.Entry{}
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, pb); err != nil {
			return
		}
		clean, err := proto.Marshal(pb)
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		if err := e.Decode(clean); err != nil || describe(&e) != describe(lean(pb)) {
			t.Fatalf("Decode reads\n%s (%v)\nwant\n%s", describe(&e), err, describe(lean(pb)))
		}
		i := Image{Entry: pb.GetEntry() - 1, Version: pb.GetVersion() - uint64(len(pb.GetEvents()))}
		if err := i.Take(lean(pb)); err != nil {
			t.Fatalf("an entry does not follow the one before it: %v", err)
		}
		if err := i.Take(lean(pb)); err == nil {
			t.Fatal("the same entry was folded twice")
		}
		_ = indexOf(journal.Entity{}, lean(pb))
		_ = keyFrom(pb.GetKey()).String()
		checkImage(t, &i)
	})
}

// FuzzSnapshot: a snapshot that reads gives an image that can be used.
func FuzzSnapshot(f *testing.F) {
	var w window
	w.run(clientCommand(3, 2, 0), 0)
	w.run(callerCommand("k", "p"), 0)
	b, err := proto.Marshal(&logv1.Snapshot{Entry: 2, Version: 1, State: []byte("s"), Window: w.encode(), Timers: []*logv1.Pending{{Armed: 1, Arm: &logv1.Arm{Name: "a", DueNs: 7}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, i, err := ReadSnapshot(b); err == nil {
			checkImage(t, &i)
		}
	})
}

// checkImage uses an image as a live entity does.
func checkImage(t *testing.T, i *Image) {
	t.Helper()
	_, _ = i.Timers(), i.Window()
	for _, c := range []*Command{clientCommand(3, 2, 0), callerCommand("k", "p")} {
		i.window.look(c, 0)
		i.window.remember(&c.Key, c.Principal, answer{})
	}
	i.arm(Arm{Name: "a"}, 9)
	if i.disarm("a", 9) == nil {
		t.Fatal("a timer that was armed just now is not pending")
	}
	_ = i.window.encode()
}
