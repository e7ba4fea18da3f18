package archive

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

const hour = int64(time.Hour)

// sample is a journal as hosts leave it, with what is known of it.
type sample struct {
	*journal.Memory
	shards int
	facts  map[string]string
	// pending is the timers that are pending at the end.
	pending map[pendingName]journal.Timer
	makers  []*logMaker
}

// newSample makes a journal whose shards have some records each. Pages are written behind every
// fourth. The same seed makes the same entries.
func newSample(t testing.TB, seed uint64, shards, records int) *sample {
	t.Helper()
	s := &sample{
		Memory: journal.NewMemory(), shards: shards, pending: map[pendingName]journal.Timer{},
		facts: map[string]string{"history": "h" + strconv.Itoa(int(seed)), "shards": strconv.Itoa(shards), "group/account": "rule", "event/account/Paid": "1", "events-listed": "1", "format": "7"},
	}
	for name, value := range s.facts {
		settled(t, s, name, value)
	}
	for i := range shards {
		l := &logMaker{sample: s, random: rand.New(rand.NewPCG(seed, uint64(i))), shard: i, entities: map[journal.Entity]*logv1.Entry{}, pages: map[journal.Entity][][]byte{}}
		s.makers = append(s.makers, l)
		for range records {
			l.next(t)
		}
	}
	return s
}

func settled(t testing.TB, j journal.Journal, name, value string) {
	t.Helper()
	if got, err := j.Settle(t.Context(), name, value); err != nil || got != value {
		t.Fatalf("settle %s as %s: %s, %v", name, value, got, err)
	}
}

// logMaker writes one log.
type logMaker struct {
	*sample
	random   *rand.Rand
	shard    int
	last     journal.Header
	flushed  uint64
	entities map[journal.Entity]*logv1.Entry // the newest
	pages    map[journal.Entity][][]byte     // not written yet
}

func (l *logMaker) next(t testing.TB) {
	h := journal.Header{
		Number: l.last.Number + 1, Epoch: l.last.Epoch, Writer: l.last.Writer, Batch: journal.NewBatch(),
		Time: l.last.Time + 1, FirstOffset: l.last.NextOffset(), Flushed: l.flushed,
	}
	var entries [][]byte
	if h.Number%5 == 1 {
		h.Claim, h.Epoch, h.Writer = true, h.Epoch+1, fmt.Sprint("node-", h.Number)
	} else {
		for range 1 + l.random.IntN(3) {
			b, events := l.entry()
			entries = append(entries, b)
			h.Events += uint64(events)
		}
	}
	rec := journal.NewRecord(h, entries)
	if slot, err := l.Append(t.Context(), uint32(l.shard), rec); err != nil || slot.Holder.Batch != h.Batch {
		t.Fatalf("append: %+v, %v", slot, err)
	}
	l.last = h
	if h.Number%4 == 0 {
		l.derive(t)
		l.flushed = h.Number
	}
}

// entry makes the next entry of an entity and follows its timers.
func (l *logMaker) entry() (encoded []byte, events int) {
	of := journal.Entity{Type: "account", ID: fmt.Sprintf("%d-\xff-%d", l.shard, l.random.IntN(4))}
	e := &logv1.Entry{Type: of.Type, Entry: 1, TimeNs: l.last.Time, CommandHash: l.random.Uint64()}
	before := l.entities[of]
	if before != nil {
		e.Entry, e.Version = before.Entry+1, before.Version
	}
	e.Key = &logv1.Key{Kind: &logv1.Key_Caller{Caller: fmt.Sprint("key ", l.last.Number, e.Entry)}}
	for range l.random.IntN(3) {
		e.Events = append(e.Events, &logv1.Event{Type: "Paid", Payload: fmt.Append(nil, l.random.Uint64())})
		e.Version++
	}
	name := fmt.Sprint("timer ", l.random.IntN(2))
	at := pendingName{of, name}
	switch l.random.IntN(4) {
	case 0:
		due := (100+l.random.Int64N(50))*hour + l.random.Int64N(hour)
		e.Arms = []*logv1.Arm{{Name: name, DueNs: due, Command: "Close"}}
		l.pending[at] = journal.Timer{Of: of, Name: name, Armed: e.Entry, Due: due}
	case 1:
		e.Cancels = []string{name}
		delete(l.pending, at)
	case 2:
		armed := l.pending[at].Armed
		e.Key = &logv1.Key{Kind: &logv1.Key_Timer{Timer: &logv1.TimerKey{Name: name, Armed: armed}}}
		delete(l.pending, at)
	}
	l.entities[of] = e
	b := protowire.AppendTag(nil, entryID, protowire.BytesType) // by hand: it is not UTF-8
	b = protowire.AppendString(b, of.ID)
	rest, err := proto.Marshal(e)
	if err != nil {
		panic(err)
	}
	b = append(b, rest...)
	l.pages[of] = append(l.pages[of], b)
	return b, len(e.Events)
}

// derive writes what is not written yet.
func (l *logMaker) derive(t testing.TB) {
	d := journal.Derived{Shard: uint32(l.shard), UpTo: l.last.Number}
	for of, entries := range l.pages {
		last := l.entities[of].Entry
		p := journal.Page{Of: of, First: last - uint64(len(entries)) + 1, Last: last}
		for _, b := range entries {
			p.Body = protowire.AppendBytes(protowire.AppendTag(p.Body, pageEntries, protowire.BytesType), b)
		}
		d.Pages = append(d.Pages, p)
	}
	for _, timer := range l.pending {
		d.Arms = append(d.Arms, timer)
	}
	clear(l.pages)
	if err := l.Derive(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// bodies is all records of a journal, by shard.
func bodies(t testing.TB, j journal.Journal, shards int) (all [][]string) {
	t.Helper()
	for i := range shards {
		var log []string
		for {
			records, err := j.Read(t.Context(), uint32(i), uint64(len(log))+1, readBytes)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) == 0 {
				break
			}
			for _, rec := range records {
				log = append(log, string(rec.Body))
			}
		}
		all = append(all, log)
	}
	return all
}

func sameLogs(t testing.TB, a, b journal.Journal, shards int) bool {
	t.Helper()
	return slices.EqualFunc(bodies(t, a, shards), bodies(t, b, shards), slices.Equal)
}

func factsOf(t testing.TB, j journal.Journal) map[string]string {
	t.Helper()
	facts := map[string]string{}
	if err := j.Settled(t.Context(), "", func(name, value string) error { facts[name] = value; return nil }); err != nil {
		t.Fatal(err)
	}
	return facts
}

// index is the timer index of a journal.
func index(t testing.TB, j journal.Journal, shards int) map[journal.Timer]bool {
	t.Helper()
	found := map[journal.Timer]bool{}
	for i := range shards {
		if err := j.Timers(t.Context(), uint32(i), 0, 1000, func(x journal.Timer) error { found[x] = true; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func exported(t testing.TB, j journal.Journal) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := Export(t.Context(), ExportConfig{Journal: j, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func imported(ctx context.Context, j journal.Journal, dir string) error {
	_, err := Import(ctx, ImportConfig{Journal: j, Dir: dir})
	return err
}

func wantClean(t testing.TB, j journal.Journal) *Report {
	t.Helper()
	r, err := Verify(t.Context(), VerifyConfig{Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) > 0 || len(r.Unchecked) > 0 {
		t.Fatalf("findings %v, unchecked %v", r.Findings, r.Unchecked)
	}
	return r
}

// wantEqual holds an imported journal against its source.
func wantEqual(t testing.TB, got journal.Journal, want *sample) {
	t.Helper()
	if !sameLogs(t, got, want, want.shards) {
		t.Fatal("the logs differ")
	}
	wantClean(t, got)
	timers := map[journal.Timer]bool{}
	for _, timer := range want.pending {
		timers[timer] = true
	}
	if !maps.Equal(index(t, got, want.shards), timers) {
		t.Fatalf("the index holds %v, pending are %v", index(t, got, want.shards), timers)
	}
	facts := factsOf(t, got)
	if facts[journal.ImportedFact] == "" || facts[journal.ImportedFact] != facts[journal.ImportingFact] || facts["history"] == want.facts["history"] || len(facts["history"]) != 16 {
		t.Fatalf("facts %v", facts)
	}
	delete(facts, journal.ImportedFact)
	delete(facts, journal.ImportingFact)
	facts["history"], facts["format"] = want.facts["history"], want.facts["format"]
	if !maps.Equal(facts, want.facts) {
		t.Fatalf("facts %v, want %v", facts, want.facts)
	}
}
