package gossip

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/cluster"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

var sample = cluster.Member{
	Node: "n1", Incarnation: "n1-0011223344556677", Peer: "10.0.0.1:7947", Version: "1.4.2", Weight: 100,
	StartedMillis: 1_800_000_000_000, Ready: true, Draining: true, JournalLost: true,
}

// TestDescriptionsOfEarlierReleasesAreRead: this is what release 1 says of itself, and what a later one may add is skipped.
func TestDescriptionsOfEarlierReleasesAreRead(t *testing.T) {
	t.Parallel()
	const release1 = "080110011a07686172626f757222026831284032026e313a0d31302e302e302e313a373934374205312e342e3248645080a0f1c2b134580160017001"
	stored, err := hex.DecodeString(release1)
	if err != nil {
		t.Fatal(err)
	}
	for _, meta := range [][]byte{stored, protowire.AppendString(protowire.AppendTag(stored, 99, protowire.BytesType), "new")} {
		said, m, err := decodeMeta(sample.Incarnation, meta)
		if err != nil || m != sample || said.GetCluster() != "harbour" || said.GetHistory() != "h1" || said.GetShards() != 64 {
			t.Errorf("read %+v of %v: %v", m, said, err)
		}
	}
	written, err := encodeMeta(spoken, cluster.Identity{Cluster: "harbour", History: "h1", Shards: 64}, sample)
	if err != nil || hex.EncodeToString(written) != hex.EncodeToString(stored) {
		t.Errorf("this release writes %x: %v", written, err)
	}
}

func TestHostileDescriptionsAreRefused(t *testing.T) {
	t.Parallel()
	id := cluster.Identity{Cluster: "harbour", History: "h1", Shards: 64}
	good, err := encodeMeta(spoken, id, sample)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		meta := append([]byte(nil), good[:r.IntN(len(good)+1)]...)
		for range r.IntN(4) {
			if len(meta) > 0 {
				meta[r.IntN(len(meta))] = byte(r.Uint32())
			}
		}
		if _, m, err := decodeMeta("x", meta); err == nil && m.Check() != nil {
			t.Fatalf("%x was read as %+v", meta, m)
		}
	}
	for _, meta := range [][]byte{nil, {0}, make([]byte, 513), []byte(strings.Repeat("x", 512))} {
		if _, m, err := decodeMeta("x", meta); err == nil {
			t.Errorf("%d bytes were read as %+v", len(meta), m)
		}
	}
}

func TestWireVersionsMustMeet(t *testing.T) {
	t.Parallel()
	id := cluster.Identity{Cluster: "harbour", History: "h1", Shards: 64}
	for _, c := range []struct {
		lowest, highest uint32
		meet            bool
	}{{1, 1, true}, {1, 2, true}, {2, 3, false}} {
		theirs := &wirev1.Member{WireMin: c.lowest, WireMax: c.highest, Cluster: id.Cluster, History: id.History, Shards: uint32(id.Shards)}
		if err := incompatible(spoken, id, theirs); (err == nil) != c.meet {
			t.Errorf("versions %d to %d: %v", c.lowest, c.highest, err)
		}
	}
}
