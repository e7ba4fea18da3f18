package cassandra

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// fill appends a claim and records up to number n.
func fill(t *testing.T, j *Journal, shard uint32, n int) *journaltest.Chain {
	t.Helper()
	chain := &journaltest.Chain{Writer: "a"}
	for i := range n {
		rec := chain.Claim
		if i > 0 {
			rec = func() journal.Record { return chain.Next(1) }
		}
		if ours, err := chain.Append(within(t), j, shard, rec()); err != nil || !ours {
			t.Fatal(ours, err)
		}
	}
	return chain
}

// falseHint adds a hint, as a restore does that took the tables from different moments.
func falseHint(t *testing.T, j *Journal, shard uint32, bucket uint64) {
	t.Helper()
	execute(t, j, insertHint, int64(shard), int64(bucket))
}

func TestAHintAtABucketThatIsNotThereHidesNothing(t *testing.T) {
	t.Parallel()
	const records = 40
	cfg := fresh(t)
	cfg.BucketBytes = 1000
	truth := opened(t, cfg)
	for shard, hints := range [][]uint64{{records + 1}, {30}, {2, 3, 1 << 40}} {
		for _, bucket := range hints {
			falseHint(t, truth, uint32(shard), bucket)
		}
		fill(t, truth, uint32(shard), records)
	}
	for shard := range uint32(3) {
		for _, slot := range []uint64{2, 31, 32, records, records + 1, records + 2, 1 << 41} {
			j := opened(t, cfg) // which knows nothing of the log
			got, err := j.Tail(within(t), shard, slot)
			if err != nil || got.Taken != (slot <= records) {
				t.Errorf("shard %d: slot %d is taken: %v, %v", shard, slot, got.Taken, err)
			}
			_ = j.Close()
		}
		other := opened(t, cfg)
		if head, err := other.Head(within(t), shard); err != nil || head.Last.Number != records {
			t.Errorf("shard %d: the head is record %d, %v, want %d", shard, head.Last.Number, err, records)
		}
		if found, err := opened(t, cfg).Read(within(t), shard, 32, 1<<20); err != nil || len(found) != records-31 {
			t.Errorf("shard %d: %d records from 32 on, %v", shard, len(found), err)
		}
	}
}

func TestALogThatIsSeenWithAHoleBeforeASlotIsNotSaidToEnd(t *testing.T) {
	t.Parallel()
	h := newPunch(t)
	h.hide()
	cfg := h.truth.cfg
	if slot, err := opened(t, cfg).Tail(within(t), 0, 3); err == nil || errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("slot 3 behind a hole: %+v, %v, want an error that may pass", slot, err)
	}
	if found, err := opened(t, cfg).Read(within(t), 0, 3, 1<<20); err == nil {
		t.Errorf("%d records from 3 on, no error", len(found))
	}
	h.show()
	if slot, err := opened(t, cfg).Tail(within(t), 0, 3); err != nil || !slot.Taken {
		t.Errorf("without the hole: %+v, %v", slot, err)
	}
}

// The border is behind record 3, which the first owner has agreed on and the second one has only read.
func TestANewOwnerFinishesTheRecordBeforeABorderOnce(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	cfg.BucketBytes = 1
	first := opened(t, cfg)
	chain := fill(t, first, 0, 3)
	p := startProxy(t, cfg.Hosts[0], 0, 1)
	cfg.Hosts = []string{p.address()}
	second := opened(t, cfg)
	if _, err := second.Head(within(t), 0); err != nil {
		t.Fatal(err)
	}
	var finished atomic.Int64
	p.watch(func(frame []byte) {
		if bytes.Contains(frame, []byte("[applied]")) && bytes.Contains(frame, []byte("closes")) && !bytes.Contains(frame, []byte("header")) {
			finished.Add(1) // the answer to finishAgreement
		}
	})
	for range 3 {
		if ours, err := chain.Append(within(t), second, 0, chain.Next(1)); err != nil || !ours {
			t.Fatal(ours, err)
		}
	}
	p.watch(nil)
	if finished.Load() != 1 {
		t.Errorf("%d records were finished behind which a bucket was opened, want that of the first owner only", finished.Load())
	}
}

func TestToFinishARecordThatIsNotThereStoresNothing(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	j := opened(t, cfg)
	if err := j.finish(within(t), j.shard(0), place{number: 1, bucket: 1, closes: true}); err != nil {
		t.Fatal(err)
	}
	if slot, err := opened(t, cfg).Tail(within(t), 0, 1); err != nil || slot.Taken {
		t.Errorf("slot 1 of an empty log: %+v, %v", slot, err)
	}
}
