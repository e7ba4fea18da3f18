package journaltest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

var logParts = []part{
	{"a log is dense and reads back as written", testReadBack},
	{"a gap is refused and stores nothing", testGap},
	{"a taken slot answers with its holder", testTaken},
	{"a repeated append is known as its own", testRepeat},
	{"read pages by bytes, at least one record", testReadPages},
	{"shards do not mix", testShards},
	{"the head tells the newest record", testHead},
	{"the tail is empty behind the head only", testTail},
	{"large records are kept whole", testLarge},
}

func testReadBack(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	var want []journal.Record
	for n := range 50 {
		want = append(want, c.mustAppend(t, j, 3, n%4))
	}
	got, err := ReadAll(within(t), j, 3)
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, got, want)
}

func wantRecords(t *testing.T, got, want []journal.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Header != want[i].Header || !bytes.Equal(got[i].Body, want[i].Body) {
			t.Fatalf("record %d reads %+v, want %+v", i+1, got[i].Header, want[i].Header)
		}
	}
}

func testGap(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	c.mustAppend(t, j, 1, 1)
	for _, number := range []uint64{0, 3, 4, 1 << 40} {
		rec := journal.NewRecord(journal.Header{Number: number, Epoch: 1, Writer: "a", Batch: journal.NewBatch()}, nil)
		if _, err := j.Append(within(t), 1, rec); !errors.Is(err, journal.ErrRefused) {
			t.Errorf("append of record %d behind record 1: %v, want ErrRefused", number, err)
		}
	}
	all, err := ReadAll(within(t), j, 1)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d records, %v, want the one", len(all), err)
	}
	c.mustAppend(t, j, 1, 1)
}

func testTaken(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	first := c.mustAppend(t, j, 1, 1)
	c.mustAppend(t, j, 1, 2)
	late := Chain{Writer: "b"}
	rec := late.Claim()
	ours, err := late.Append(within(t), j, 1, rec)
	if err != nil || ours {
		t.Fatalf("append to slot 1: ours %v, %v", ours, err)
	}
	if late.Last != first.Header {
		t.Errorf("holder %+v, want %+v", late.Last, first.Header)
	}
}

func testRepeat(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	rec := c.mustAppend(t, j, 1, 1)
	for range 3 {
		slot, err := Settle(within(t), j, 1, rec)
		if err != nil || slot.Holder != rec.Header {
			t.Fatalf("repeated append: %+v, %v", slot, err)
		}
	}
	all, err := ReadAll(within(t), j, 1)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d records, %v, want one", len(all), err)
	}
}

func testReadPages(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	for range 30 {
		c.mustAppend(t, j, 1, 3)
	}
	for _, maxBytes := range []int{-1, 0, 1, 500, 2000, 1 << 20} {
		from, last := uint64(1), journal.Header{}
		for {
			page, err := j.Read(within(t), 1, from, maxBytes)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			checkPage(t, page, maxBytes)
			for _, rec := range page {
				if err := follows(last, rec.Header); err != nil {
					t.Fatalf("pages of %d bytes: record %d: %v", maxBytes, from, err)
				}
				last = rec.Header
			}
			from = last.Number + 1
		}
		if last.Number != 30 {
			t.Errorf("pages of %d bytes end with record %d, want 30", maxBytes, last.Number)
		}
	}
}

// checkPage allows a page of one record of any size, and else twice the limit:
// the contract says "about".
func checkPage(t *testing.T, page []journal.Record, maxBytes int) {
	t.Helper()
	size := 0
	for _, rec := range page {
		size += len(rec.Body)
	}
	if len(page) > 1 && size > 2*maxBytes {
		t.Errorf("%d records of %d bytes in a page of %d", len(page), size, maxBytes)
	}
}

func testShards(t *testing.T, s Suite) {
	j := s.Open(t)
	shards := []uint32{0, 1, 255, 256, 1 << 20, 1<<32 - 1}
	chains := map[uint32]*Chain{}
	want := map[uint32][]journal.Record{}
	for i := range 4 * len(shards) {
		shard := shards[i%len(shards)]
		if chains[shard] == nil {
			chains[shard] = &Chain{Writer: "a"}
		}
		want[shard] = append(want[shard], chains[shard].mustAppend(t, j, shard, i%3))
	}
	for _, shard := range shards {
		got, err := ReadAll(within(t), j, shard)
		if err != nil {
			t.Fatalf("shard %d: %v", shard, err)
		}
		wantRecords(t, got, want[shard])
	}
}

func testHead(t *testing.T, s Suite) {
	j := s.Open(t)
	head, err := j.Head(within(t), 7)
	if err != nil || head != (journal.Head{}) {
		t.Fatalf("head of an empty log: %+v, %v", head, err)
	}
	c := Chain{Writer: "a"}
	for range 5 {
		rec := c.mustAppend(t, j, 7, 1)
		head, err = j.Head(within(t), 7)
		if err != nil || head.Last.Number > rec.Number {
			t.Fatalf("head behind record %d: %+v, %v", rec.Number, head, err)
		}
		if head.Last.Number == rec.Number && head.Last != rec.Header {
			t.Fatalf("head %+v, want %+v", head.Last, rec.Header)
		}
	}
	c.Last.Flushed = 4
	c.mustAppend(t, j, 7, 1)
	if head, err = j.Head(within(t), 7); err != nil || head.Flushed < head.Last.Flushed {
		t.Fatalf("head %+v, %v: flushed is behind the newest record's", head, err)
	}
}

func testTail(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	var written []journal.Record
	for range 5 {
		written = append(written, c.mustAppend(t, j, 1, 1))
	}
	for number := range uint64(8) {
		slot, err := j.Tail(within(t), 1, number)
		if err != nil {
			t.Fatal(err)
		}
		taken := number >= 1 && number <= 5
		if slot.Taken != taken {
			t.Errorf("slot %d taken: %v", number, slot.Taken)
		}
		if taken && slot.Holder.Batch != written[number-1].Batch {
			t.Errorf("slot %d: holder %+v", number, slot.Holder)
		}
	}
}

func testLarge(t *testing.T, s Suite) {
	j := s.Open(t)
	c := Chain{Writer: "a"}
	for _, size := range []int{1, 1 << 10, 64 << 10, 400 << 10} {
		rec := c.build(false, [][]byte{bytes.Repeat([]byte{0xfe}, size)})
		if ours, err := c.Append(within(t), j, 1, rec); err != nil || !ours {
			t.Fatalf("record of %d bytes: ours %v, %v", size, ours, err)
		}
		got, err := j.Read(within(t), 1, rec.Number, 1)
		if err != nil {
			t.Fatal(err)
		}
		wantRecords(t, got, []journal.Record{rec})
	}
}
