package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// damaged is a journal that shows something else than what it stores. Nil means no change.
type damaged struct {
	*sample
	// read may change a record, or leave it out with false.
	read      func(shard uint32, rec *journal.Record) bool
	pages     func(p *journal.Page) bool
	timers    func(t journal.Timer) bool
	snapshots func(of journal.Entity) []journal.Snapshot
}

func (d *damaged) Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	records, err := d.sample.Read(ctx, shard, from, maxBytes)
	if d.read == nil {
		return records, err
	}
	var kept []journal.Record
	for _, rec := range records {
		if !d.read(shard, &rec) {
			if len(kept) > 0 {
				return kept, nil
			}
			return nil, fmt.Errorf("%w: record %d is missing", journal.ErrCorrupt, rec.Number)
		}
		kept = append(kept, rec)
	}
	return kept, err
}

func (d *damaged) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	return d.sample.Pages(ctx, of, after, func(p journal.Page) error {
		p.Body = bytes.Clone(p.Body)
		if d.pages != nil && !d.pages(&p) {
			return nil
		}
		return visit(p)
	})
}

func (d *damaged) Timers(ctx context.Context, shard uint32, from, to int64, visit func(journal.Timer) error) error {
	return d.sample.Timers(ctx, shard, from, to, func(t journal.Timer) error {
		if d.timers != nil && !d.timers(t) {
			return nil
		}
		return visit(t)
	})
}

func (d *damaged) Snapshots(ctx context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	if d.snapshots != nil {
		return d.snapshots(of), nil
	}
	return d.sample.Snapshots(ctx, of)
}

// found returns all that Verify finds, one finding a line.
func found(t *testing.T, j journal.Journal) string {
	t.Helper()
	r, err := Verify(t.Context(), VerifyConfig{Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	lines := ""
	for _, f := range r.Findings {
		lines += f.String() + "\n"
	}
	return lines
}

func rewritten(rec *journal.Record, change func(h *journal.Header, entries [][]byte) [][]byte) {
	var entries [][]byte
	_ = rec.EachEntry(func(b []byte) error { entries = append(entries, bytes.Clone(b)); return nil })
	h := rec.Header
	entries = change(&h, entries)
	*rec = journal.NewRecord(h, entries)
}

func TestVerifyFindsDamageToALog(t *testing.T) {
	t.Parallel()
	from := newSample(t, 21, 2, 20)
	at := func(number uint64, change func(h *journal.Header, entries [][]byte) [][]byte) func(uint32, *journal.Record) bool {
		return func(shard uint32, rec *journal.Record) bool {
			if shard == 1 && rec.Number == number {
				rewritten(rec, change)
			}
			return true
		}
	}
	header := func(number uint64, change func(h *journal.Header)) func(uint32, *journal.Record) bool {
		return at(number, func(h *journal.Header, entries [][]byte) [][]byte { change(h); return entries })
	}
	for name, c := range map[string]struct {
		read func(uint32, *journal.Record) bool
		want string
	}{
		"a flipped byte": {func(shard uint32, rec *journal.Record) bool {
			if shard == 1 && rec.Number == 8 {
				rec.Body = bytes.Clone(rec.Body)
				rec.Body[len(rec.Body)-3] ^= 4
			}
			return true
		}, "shard 1, record 8: journal: corrupt: record 8: checksum"},
		"a missing record":         {func(shard uint32, rec *journal.Record) bool { return shard != 1 || rec.Number != 9 }, "shard 1, record 9: it cannot be read: journal: corrupt: record 9 is missing"},
		"an offset":                {header(7, func(h *journal.Header) { h.FirstOffset++ }), "record 7 begins at offset"},
		"an epoch":                 {header(7, func(h *journal.Header) { h.Epoch-- }), "record 7 has epoch 1 behind epoch 2"},
		"a claim of an old epoch":  {header(11, func(h *journal.Header) { h.Epoch-- }), "record 11 has epoch 2 behind epoch 2"},
		"a writer":                 {header(7, func(h *journal.Header) { h.Writer = "thief" }), `record 7 was written by "thief", but "node-6" owns`},
		"a count of events":        {header(20, func(h *journal.Header) { h.Events++ }), "events, its header says"},
		"a flush position":         {header(7, func(h *journal.Header) { h.Flushed = 7 }), "tells that pages reach up to record 7"},
		"an entry left out":        {at(7, func(_ *journal.Header, entries [][]byte) [][]byte { return entries[1:] }), "shard 1, "},
		"an entry twice":           {at(7, func(_ *journal.Header, entries [][]byte) [][]byte { return append(entries, entries[0]) }), "follows entry"},
		"a claim that has entries": {at(6, func(_ *journal.Header, _ [][]byte) [][]byte { return [][]byte{{0x0a, 1, 't', 0x12, 1, 'x', 0x18, 1}} }), "it is a claim and carries 1 entries"},
		"what is no entry":         {at(7, func(_ *journal.Header, entries [][]byte) [][]byte { return append(entries, []byte{0xff}) }), "corrupt: an entry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &damaged{sample: from, read: c.read}
			got := found(t, d)
			if !strings.Contains(got, c.want) || strings.Contains(got, "shard 0") {
				t.Errorf("want %q in\n%s", c.want, got)
			}
			r, err := Verify(t.Context(), VerifyConfig{Journal: d, MaxFindings: 1})
			if err != nil || len(r.Findings) != 1 || len(r.Unchecked) != 1 || int(r.Omitted) != strings.Count(got, "\n")-1 {
				t.Errorf("bounded: %+v, %v", r, err)
			}
		})
	}
}

// A record that rots on the disk of an embedded journal is found, and those behind it are read.
func TestVerifyReadsAroundARottenRecord(t *testing.T) {
	t.Parallel()
	from := newSample(t, 26, 1, 20)
	j, err := pebble.Open(pebble.Config{Dir: t.TempDir(), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	settled(t, j, "history", "h")
	settled(t, j, "shards", "1")
	records, err := from.Read(t.Context(), 0, 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		if rec.Number == 7 || rec.Number == 12 {
			rec.Body = bytes.Clone(rec.Body)
			rec.Body[len(rec.Body)-1] ^= 1
		}
		if _, err := j.Append(t.Context(), 0, rec); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(t.Context(), VerifyConfig{Journal: j})
	if err != nil || len(r.Findings) != 2 || r.Findings[0].Record != 7 || r.Findings[1].Record != 12 || r.Records != 18 || len(r.Unchecked) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Export(t.Context(), ExportConfig{Journal: j, Dir: t.TempDir()}); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("export of it: %v", err)
	}
}

// paid returns an entity of shard 0 with several pages, and how many.
func paid(t *testing.T, j journal.Journal) (of journal.Entity, pages int) {
	t.Helper()
	of = journal.Entity{Type: "account", ID: "0-\xff-1"}
	if err := j.Pages(t.Context(), of, 0, func(journal.Page) error { pages++; return nil }); err != nil || pages < 3 {
		t.Fatalf("%d pages, %v", pages, err)
	}
	return of, pages
}

func TestVerifyFindsDamageToPages(t *testing.T) {
	t.Parallel()
	from := newSample(t, 22, 1, 40)
	of, pages := paid(t, from)
	other := journal.Entity{Type: "account", ID: "0-\xff-2"}
	var stolen journal.Page
	if err := from.Pages(t.Context(), other, 0, func(p journal.Page) error { stolen = p; return nil }); err != nil {
		t.Fatal(err)
	}
	nth := func(n int, change func(p *journal.Page) bool) func(p *journal.Page) bool {
		seen := 0
		return func(p *journal.Page) bool {
			if p.Of != of {
				return true
			}
			seen++
			return seen != n || change(p)
		}
	}
	for name, c := range map[string]struct {
		pages func(p *journal.Page) bool
		want  string
	}{
		"the first page missing": {nth(1, func(*journal.Page) bool { return false }), "entry 1 is in no page"},
		"a page missing":         {nth(2, func(*journal.Page) bool { return false }), "is in no page, though pages are complete up to"},
		"the last page missing":  {nth(pages, func(*journal.Page) bool { return false }), "is in no page, though pages are complete up to"},
		"all pages missing":      {func(p *journal.Page) bool { return p.Of != of }, "entry 1 is in no page"},
		"a flipped byte":         {nth(2, func(p *journal.Page) bool { p.Body[len(p.Body)-1] ^= 1; return true }), "0-\\xff-1"},
		"a cut page":             {nth(2, func(p *journal.Page) bool { p.Body = p.Body[:len(p.Body)-1]; return true }), "cannot be read"},
		"no entries":             {nth(2, func(p *journal.Page) bool { p.Body = nil; return true }), "ends with entry"},
		"another entity's":       {nth(2, func(p *journal.Page) bool { p.Body = stolen.Body; return true }), "holds an entry of account"},
		"other numbers":          {nth(2, func(p *journal.Page) bool { p.First++; return true }), "where"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := found(t, &damaged{sample: from, pages: c.pages})
			if !strings.Contains(got, c.want) || strings.Contains(got, "-\\xff-3") {
				t.Errorf("want %q in\n%s", c.want, got)
			}
		})
	}
}

func TestVerifyFindsAPageThatDisagreesWithAnother(t *testing.T) {
	t.Parallel()
	from := newSample(t, 23, 1, 40)
	of, _ := paid(t, from)
	var first journal.Page
	if err := from.Pages(t.Context(), of, 0, func(p journal.Page) error {
		if first.Body == nil {
			first = p
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// Cut differently, and the same: two owners may do that.
	var one []byte
	_ = eachPaged(first.Body, func(b []byte) error {
		if one == nil {
			one = b
		}
		return nil
	})
	again := journal.Page{Of: of, First: 1, Last: 1, Body: protowire.AppendBytes([]byte{0x0a}, one)}
	write := func(p journal.Page) {
		t.Helper()
		if err := from.Derive(t.Context(), journal.Derived{Pages: []journal.Page{p}}); err != nil {
			t.Fatal(err)
		}
	}
	if first.Last == 1 {
		t.Fatalf("the first page is %d to %d: choose another seed", first.First, first.Last)
	}
	write(again)
	wantClean(t, from)
	// And one that leads behind the end of the log.
	e := &logv1.Entry{Type: of.Type, Id: "x", Entry: 900}
	b, _ := proto.Marshal(e)
	b = append(b, protowire.AppendString([]byte{0x12}, of.ID)...)
	write(journal.Page{Of: of, First: 900, Last: 900, Body: protowire.AppendBytes([]byte{0x0a}, b)})
	if got := found(t, from); !strings.Contains(got, "holds entry 900; the log ends with entry") {
		t.Errorf("found %s", got)
	}
	different := bytes.Clone(again.Body)
	different[len(different)-1] ^= 1
	got := found(t, &damaged{sample: from, pages: func(p *journal.Page) bool {
		if p.Of == of && p.Last == 1 {
			p.Body = different
		}
		return true
	}})
	if !strings.Contains(got, "the page of entries 1 to") {
		t.Errorf("found %s", got)
	}
}

func TestVerifyFindsTimersThatWouldNotFire(t *testing.T) {
	t.Parallel()
	from := newSample(t, 24, 2, 40)
	var lost journal.Timer
	for _, timer := range from.pending {
		if strings.HasPrefix(timer.Of.ID, "1-") && !strings.Contains(timer.Of.ID, "-3") {
			lost = timer
		}
	}
	got := found(t, &damaged{sample: from, timers: func(x journal.Timer) bool { return x != lost }})
	if !strings.Contains(got, fmt.Sprintf("timer %q, armed by entry %d", lost.Name, lost.Armed)) || strings.Count(got, "\n") != 1 {
		t.Errorf("%v is not in the index: found %q", lost, got)
	}
	late := &damaged{sample: from}
	for _, x := range []int64{0, 90} {
		want := x > 0
		got := found(t, withHour{late, 60 + x})
		if strings.Contains(got, "before the hour from which owners look") != want {
			t.Errorf("from hour %d: %q", 60+x, got)
		}
	}
}

// withHour is a journal whose newest headers tell that no timer is pending before an hour.
type withHour struct {
	journal.Journal
	from int64
}

func (j withHour) Head(ctx context.Context, shard uint32) (journal.Head, error) {
	head, err := j.Journal.Head(ctx, shard)
	head.Last.TimersFromHour = j.from
	return head, err
}

func TestVerifyFindsSnapshotsOfOthers(t *testing.T) {
	t.Parallel()
	from := newSample(t, 25, 2, 40)
	of, _ := paid(t, from)
	// Where each entry is.
	type place struct {
		record uint64
		e      entry
	}
	places := map[journal.Entity][]place{}
	records, err := from.Read(t.Context(), 0, 1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		_ = rec.EachEntry(func(b []byte) error {
			e, err := parseEntry(b)
			places[e.of] = append(places[e.of], place{rec.Number, e})
			return err
		})
	}
	at := places[of][1]
	good := func() *logv1.Snapshot {
		key := &logv1.Key{}
		if err := proto.Unmarshal(at.e.key, key); err != nil {
			t.Fatal(err)
		}
		return &logv1.Snapshot{
			Entry: at.e.number, Version: at.e.version, Record: at.record,
			Window: &logv1.Window{Answers: []*logv1.Remembered{{Entry: at.e.number, Key: key}}},
		}
	}
	other := slices.IndexFunc(places[journal.Entity{Type: "account", ID: "0-\xff-2"}], func(p place) bool { return p.record != at.record })
	stolen := places[journal.Entity{Type: "account", ID: "0-\xff-2"}][other]
	for name, c := range map[string]struct {
		change func(s *logv1.Snapshot)
		want   string
	}{
		"nothing":               {func(*logv1.Snapshot) {}, ""},
		"no record":             {func(s *logv1.Snapshot) { s.Record = 0 }, ""},
		"another entry":         {func(s *logv1.Snapshot) { s.Entry++ }, "says that it stands at entry 3"},
		"another shard":         {func(s *logv1.Snapshot) { s.Shard = 1 }, "is of shard 1"},
		"another version":       {func(s *logv1.Snapshot) { s.Version++ }, "version"},
		"a version of tomorrow": {func(s *logv1.Snapshot) { s.Version = 1000 }, "the log ends with version"},
		"a record of tomorrow":  {func(s *logv1.Snapshot) { s.Record = 1000 }, "the log ends with record 40"},
		"another record":        {func(s *logv1.Snapshot) { s.Record = stolen.record }, "it is another entity's"},
		"another's answers": {func(s *logv1.Snapshot) {
			s.Window.Answers[0].Key = &logv1.Key{Kind: &logv1.Key_Caller{Caller: "stolen"}}
		}, "remembers another command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := good()
			c.change(s)
			body, err := proto.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			got := found(t, &damaged{sample: from, snapshots: func(e journal.Entity) []journal.Snapshot {
				if e != of {
					return nil
				}
				return []journal.Snapshot{{Of: of, Entry: at.e.number, Body: body}}
			}})
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("want %q, found %q", c.want, got)
			}
		})
	}
	got := found(t, &damaged{sample: from, snapshots: func(e journal.Entity) []journal.Snapshot {
		return []journal.Snapshot{{Of: e, Entry: 1, Body: []byte{0xff}}, {Of: e, Entry: 1000, Body: []byte{0x08, 0xe8, 0x07}}}
	}})
	if !strings.Contains(got, "cannot be read") || !strings.Contains(got, "stands behind the log's last entry") {
		t.Errorf("found %q", got)
	}
}
