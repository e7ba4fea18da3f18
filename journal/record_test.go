package journal

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// genHeader draws any header that a writer may give to NewRecord.
func genHeader(t *rapid.T) Header {
	h := Header{
		Number:         rapid.Uint64().Draw(t, "number"),
		Epoch:          rapid.Uint64().Draw(t, "epoch"),
		Writer:         rapid.StringN(0, 64, 256).Draw(t, "writer"),
		Claim:          rapid.Bool().Draw(t, "claim"),
		Time:           rapid.Int64().Draw(t, "time"),
		FirstOffset:    rapid.Uint64().Draw(t, "first offset"),
		Events:         rapid.Uint64().Draw(t, "events"),
		Flushed:        rapid.Uint64().Draw(t, "flushed"),
		TimersFromHour: rapid.Int64().Draw(t, "timers from hour"),
		SetsTime:       rapid.Bool().Draw(t, "sets time"),
		Behind:         rapid.StringN(0, 64, 9000).Draw(t, "behind"),
	}
	copy(h.Batch[:], rapid.SliceOfN(rapid.Byte(), len(h.Batch), len(h.Batch)).Draw(t, "batch"))
	return h
}

// genEntries draws entries in their generated form and encoded.
func genEntries(t *rapid.T) (entries []*logv1.Entry, encoded [][]byte) {
	for range rapid.IntRange(0, 6).Draw(t, "entries") {
		e := &logv1.Entry{
			Type:    rapid.String().Draw(t, "type"),
			Id:      rapid.String().Draw(t, "id"),
			Entry:   rapid.Uint64().Draw(t, "entry"),
			TimeNs:  rapid.Int64().Draw(t, "time"),
			Answer:  &logv1.Entry_Reply{Reply: rapid.SliceOf(rapid.Byte()).Draw(t, "reply")},
			Events:  []*logv1.Event{{Payload: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload")}},
			Cancels: rapid.SliceOf(rapid.String()).Draw(t, "cancels"),
		}
		b, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		entries, encoded = append(entries, e), append(encoded, b)
	}
	return entries, encoded
}

// generated returns the header as the generated code has it.
func generated(h Header) *logv1.Header {
	return &logv1.Header{
		Number: h.Number, Epoch: h.Epoch, Writer: h.Writer, Batch: h.Batch[:], Claim: h.Claim, TimeNs: h.Time, FirstOffset: h.FirstOffset,
		Events: h.Events, Flushed: h.Flushed, TimersFromHour: h.TimersFromHour, SetsTime: h.SetsTime, Checksum: h.Checksum, Behind: []byte(h.Behind),
	}
}

func TestARecordIsWhatTheGeneratedCodeReads(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		header := genHeader(t)
		entries, encoded := genEntries(t)
		rec := NewRecord(header, encoded)
		header.Checksum = rec.Checksum
		if rec.Header != header {
			t.Fatalf("header %+v, want %+v", rec.Header, header)
		}
		var got logv1.Record
		if err := proto.Unmarshal(rec.Body, &got); err != nil {
			t.Fatal(err)
		}
		want := &logv1.Record{Header: generated(header), Entries: entries}
		if !proto.Equal(&got, want) {
			t.Fatalf("generated code reads %v, want %v", &got, want)
		}
	})
}

func TestARecordOfTheGeneratedCodeParses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		header := genHeader(t)
		entries, encoded := genEntries(t)
		header.Checksum = NewRecord(header, encoded).Checksum
		body, err := proto.MarshalOptions{Deterministic: true}.Marshal(&logv1.Record{Header: generated(header), Entries: entries})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := ParseRecord(body)
		if err != nil || rec.Header != header {
			t.Fatalf("parsed %+v, %v, want %+v", rec.Header, err, header)
		}
		var got [][]byte
		if err := rec.EachEntry(func(entry []byte) error { got = append(got, entry); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(encoded) {
			t.Fatalf("%d entries, want %d", len(got), len(encoded))
		}
		for i := range encoded {
			if !bytes.Equal(got[i], encoded[i]) {
				t.Fatalf("entry %d is %x, want %x", i, got[i], encoded[i])
			}
		}
	})
}

func TestEntrySizeIsWhatAnEntryAdds(t *testing.T) {
	t.Parallel()
	empty := len(NewRecord(Header{Number: 1}, nil).Body)
	for _, n := range []int{1, 127, 128, 16383, 16384, 1 << 20} {
		body := NewRecord(Header{Number: 1}, [][]byte{make([]byte, n)}).Body
		const checksum = 1 + 4 // the checksum of no entries is zero and takes no room
		if got := len(body) - empty - checksum; got != EntrySize(n) {
			t.Errorf("an entry of %d bytes adds %d, EntrySize says %d", n, got, EntrySize(n))
		}
	}
}

func TestAFlippedBitInTheEntriesIsFound(t *testing.T) {
	t.Parallel()
	rec := NewRecord(Header{Number: 7, Epoch: 1, Writer: "a", Batch: NewBatch()}, [][]byte{[]byte("one entry"), []byte("another")})
	start := bytes.Index(rec.Body, []byte("one entry")) - 2
	for i := start; i < len(rec.Body); i++ {
		for bit := range 8 {
			body := bytes.Clone(rec.Body)
			body[i] ^= 1 << bit
			if _, err := ParseRecord(body); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("bit %d of byte %d: %v, want ErrCorrupt", bit, i, err)
			}
		}
	}
}

func TestACutRecordIsFound(t *testing.T) {
	t.Parallel()
	rec := NewRecord(Header{Number: 7, Epoch: 1, Writer: "a", Batch: NewBatch()}, [][]byte{[]byte("one entry"), []byte("another")})
	for n := range rec.Body {
		if _, err := ParseRecord(rec.Body[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d of %d bytes: %v, want ErrCorrupt", n, len(rec.Body), err)
		}
	}
}

func TestHourOfRoundsDown(t *testing.T) {
	t.Parallel()
	const hour = 3600e9
	for ns, want := range map[int64]int64{0: 0, 1: 0, hour - 1: 0, hour: 1, -1: -1, -hour: -1, -hour - 1: -2, 1<<63 - 1: 2562047, -1 << 63: -2562048} {
		if got := HourOf(ns); got != want {
			t.Errorf("HourOf(%d) = %d, want %d", ns, got, want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(NewRecord(Header{Number: 1}, nil).Body)
	f.Add(NewRecord(Header{Number: 2, Epoch: 3, Writer: "a", Claim: true, Time: -1, SetsTime: true}, [][]byte{[]byte("e"), nil}).Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		rec, err := ParseRecord(body)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			rec = Record{Body: body}
		}
		size := 0
		_ = rec.EachEntry(func(entry []byte) error { size += EntrySize(len(entry)); return nil }) // garbage may be an error, never a panic
		var pb logv1.Record
		if err == nil && proto.Unmarshal(body, &pb) == nil && len(pb.GetHeader().GetBatch()) == len(rec.Batch) {
			if got := generated(rec.Header); !proto.Equal(stripped(pb.GetHeader()), got) {
				t.Fatalf("header %v, the generated code reads %v", got, pb.GetHeader())
			}
		}
	})
}

// stripped removes what a newer release may have added.
func stripped(h *logv1.Header) *logv1.Header {
	h.ProtoReflect().SetUnknown(nil)
	return h
}

// benchEntries is a record of 100 entries of 200 bytes, as a busy shard writes.
func benchEntries() [][]byte {
	entries := make([][]byte, 100)
	for i := range entries {
		entries[i] = bytes.Repeat([]byte{byte(i)}, 200)
	}
	return entries
}

func BenchmarkNewRecord(b *testing.B) {
	header := Header{Number: 1 << 20, Epoch: 7, Writer: "node-1/2f6a", Batch: NewBatch(), Time: 1 << 60, FirstOffset: 1 << 30, Events: 100, Flushed: 1 << 20}
	for name, entries := range map[string][][]byte{"100 entries": benchEntries(), "1 entry": benchEntries()[:1]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec := NewRecord(header, entries)
				b.SetBytes(int64(len(rec.Body)))
			}
		})
	}
}

func BenchmarkParseRecord(b *testing.B) {
	header := Header{Number: 1 << 20, Epoch: 7, Writer: "node-1/2f6a", Batch: NewBatch(), Time: 1 << 60, FirstOffset: 1 << 30, Events: 100, Flushed: 1 << 20}
	for name, entries := range map[string][][]byte{"100 entries": benchEntries(), "1 entry": benchEntries()[:1]} {
		body := NewRecord(header, entries).Body
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := ParseRecord(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestARecordSplitsIntoHeaderAndEntries(t *testing.T) {
	t.Parallel()
	rec := NewRecord(Header{Number: 3, Epoch: 2, Writer: "a", Batch: NewBatch(), FirstOffset: 7, Events: 2}, [][]byte{[]byte("one"), []byte("two")})
	header, entries, err := rec.Split()
	if err != nil || !bytes.Equal(append(bytes.Clone(header), entries...), rec.Body) {
		t.Fatalf("split into %x and %x, %v", header, entries, err)
	}
	if got, err := ParseHeader(header); err != nil || got != rec.Header {
		t.Errorf("header %+v, %v, want %+v", got, err, rec.Header)
	}
	for name, bad := range map[string][]byte{"nothing": nil, "entries alone": entries, "a cut header": header[:len(header)-1], "the whole body": rec.Body} {
		if _, err := ParseHeader(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}
