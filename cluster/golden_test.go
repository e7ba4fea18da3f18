package cluster

import (
	"encoding/hex"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// What nodes of release 1 say to each other about shards, as it was when that was released. These bytes are never changed: a
// rolling update from that release has them on the wire.
func TestMessagesOfReleaseOneAreRead(t *testing.T) {
	t.Parallel()
	later := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later release")
	for name, test := range map[string]struct {
		stored string
		want   proto.Message
	}{
		"claims": {
			"0a18080512126e322d303031313232333334343535363637" + "1801" + "0a040807180c",
			&wirev1.Claims{Claims: []*wirev1.Claim{{Shard: 5, Owner: "n2-001122334455667", Epoch: 1}, {Shard: 7, Epoch: 12}}},
		},
		"heads":              {"0a0708031203686561", &wirev1.Heads{Heads: []*wirev1.Head{{Shard: 3, Header: []byte("hea")}}}},
		"a request":          {"0803108407188008", &wirev1.RecordsRequest{Shard: 3, From: 900, MaxBytes: 1024}},
		"an answer to it":    {"0a016f0a0174", &wirev1.Records{Records: [][]byte{[]byte("o"), []byte("t")}}},
		"an empty message":   {"", &wirev1.Claims{}},
		"a request for none": {"", &wirev1.RecordsRequest{}},
	} {
		stored, err := hex.DecodeString(test.stored)
		if err != nil {
			t.Fatal(err)
		}
		now, err := proto.MarshalOptions{Deterministic: true}.Marshal(test.want)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(append([]byte{}, now...), stored) {
			t.Errorf("%s: this release writes %x, release 1 wrote %x", name, now, stored)
		}
		got := test.want.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(append(stored, later...), got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got.ProtoReflect().SetUnknown(nil)
		if !proto.Equal(got, test.want) {
			t.Errorf("%s is read as %v, want %v", name, got, test.want)
		}
	}
}

// What operators of release 1 ordered is obeyed, and what a later one may order is passed over.
func TestOrdersOfReleaseOneAreRead(t *testing.T) {
	t.Parallel()
	m := journal.NewMemory()
	for _, r := range [][2]string{
		{"shard/17", "n2"}, {"node/n3", "drain"}, {"shard/18", ""}, {"node/n4", ""}, // of release 1
		{"node/n5", "drain-at-night"}, {"group/17", "n2"}, {"shard/all", "n2"}, {"shard/4096", "n2"}, // of a later one
	} {
		if _, err := journal.Change(t.Context(), m, journal.Placement, "orders", r[0], func(journal.Register) ([]byte, bool) { return []byte(r[1]), true }); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readOrders(t.Context(), m, 64)
	want := orders{pins: []Pin{{Shard: 17, Node: "n2"}}, drains: []string{"n3"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
}
