package shard

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// FuzzDecode holds the decoder of recovery against the generated code: whatever that
// accepts, ours reads alike, and nothing makes it panic.
func FuzzDecode(f *testing.F) {
	for _, e := range []*logv1.Entry{
		{},
		{
			Type: "lot", Id: "42", Entry: 3, Version: 5, CommandHash: 7, Command: "c", Principal: "ann", TimeNs: 9,
			Key:    &logv1.Key{Kind: &logv1.Key_Client{Client: &logv1.ClientKey{Client: bytes.Repeat([]byte{1}, 16), Number: 4, Oldest: 2, IssuedNs: 8}}},
			Answer: &logv1.Entry_Reply{Reply: []byte("r")},
			Events: []*logv1.Event{{Type: "e", Payload: []byte("p")}, {}},
			Arms:   []*logv1.Arm{{Name: "n", DueNs: 1, Command: "c", Payload: []byte("x")}}, Cancels: []string{"k", ""},
		},
		{Key: &logv1.Key{Kind: &logv1.Key_Caller{Caller: "k"}}, Answer: &logv1.Entry_Rejection{Rejection: &logv1.Rejection{Code: "c", Message: "m"}}},
		{Key: &logv1.Key{Kind: &logv1.Key_Timer{Timer: &logv1.TimerKey{Name: "t", Armed: 6}}}},
	} {
		b, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Entry
		err := got.Decode(b)
		pb, wrong := DecodeEntry(b)
		if wrong != nil || unusual(pb, b) {
			return
		}
		if err != nil {
			t.Fatalf("the generated code reads it, ours says %v", err)
		}
		if want := lean(pb); !reflect.DeepEqual(normal(*want), normal(got)) {
			t.Fatalf("read %+v, want %+v", got, *want)
		}
	})
}

// normal makes nil and empty alike.
func normal(e Entry) Entry {
	e.Command, e.Cause, e.Trace = append([]byte{}, e.Command...), append([]byte{}, e.Cause...), append([]byte{}, e.Trace...)
	e.Type, e.ID, e.Principal, e.Reply = append([]byte{}, e.Type...), append([]byte{}, e.ID...), append([]byte{}, e.Principal...), append([]byte{}, e.Reply...)
	e.Events = append([]StoredEvent{}, e.Events...)
	for i, ev := range e.Events {
		e.Events[i] = StoredEvent{append([]byte{}, ev.Type...), append([]byte{}, ev.Payload...)}
	}
	e.Arms = append([]Arm{}, e.Arms...)
	for i := range e.Arms {
		e.Arms[i].Payload = append([]byte{}, e.Arms[i].Payload...)
	}
	e.Cancels = append([]string{}, e.Cancels...)
	return e
}

// unusual reports encodings that no writer of ours makes: protobuf merges a message field
// that comes twice, and keeps a field of another wire type as unknown.
func unusual(pb *logv1.Entry, b []byte) bool {
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(pb)
	return err != nil || len(again) != len(b) || hasUnknown(pb.ProtoReflect())
}

func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsList() && d.Message() != nil:
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		case d.Message() != nil:
			found = found || hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

// lean is what Decode reads from the same entry.
func lean(pb *logv1.Entry) *Entry {
	e := &Entry{
		Type: []byte(pb.GetType()), ID: []byte(pb.GetId()), Number: pb.GetEntry(), Version: pb.GetVersion(), Key: keyFrom(pb.GetKey()),
		Hash: pb.GetCommandHash(), Principal: []byte(pb.GetPrincipal()), Time: pb.GetTimeNs(),
		Command: []byte(pb.GetCommand()), Cause: []byte(pb.GetCause()), Trace: []byte(pb.GetTrace()),
		Reply: pb.GetReply(), Rejection: rejectionFrom(pb.GetRejection()), Cancels: pb.GetCancels(),
	}
	for _, ev := range pb.GetEvents() {
		e.Events = append(e.Events, StoredEvent{[]byte(ev.GetType()), ev.GetPayload()})
	}
	for _, a := range pb.GetArms() {
		e.Arms = append(e.Arms, Arm{a.GetName(), a.GetDueNs(), a.GetCommand(), a.GetPayload()})
	}
	return e
}

// DecodeEntry reads a stored entry with the generated code.
func DecodeEntry(b []byte) (*logv1.Entry, error) {
	e := &logv1.Entry{}
	if err := proto.Unmarshal(b, e); err != nil {
		return nil, fmt.Errorf("decode an entry: %w", err)
	}
	return e, nil
}
