package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/archive"
	"github.com/skerryhq/skerry/journal/cassandra"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// What a long log is made of: entities of ten entries each. Those of ten entities alternate, so that each
// entity has its pages in one place of the log and not in one record.
const (
	longShards   = 64
	longEntries  = 10
	longTogether = 10
	longBlock    = longEntries * longTogether
	// longTail is how far the pages of a log are behind its end.
	longTail = 8
	// longBucket makes many partitions of a log.
	longBucket = 64 << 10
)

// longRecords is how many records the long log has: SKERRY_LOG_RECORDS, or a few thousand.
func longRecords(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SKERRY_LOG_RECORDS")
	if text == "" {
		return 8000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("SKERRY_LOG_RECORDS: %v", err)
	}
	return n
}

// longLog is a journal that stores no records: it makes them up as they are read.
type longLog struct {
	*journal.Memory // the facts
	perShard        uint64
}

func newLongLog(t *testing.T, records int) *longLog {
	t.Helper()
	l := &longLog{journal.NewMemory(), uint64(records / longShards)}
	for name, value := range map[string]string{"shards": strconv.Itoa(longShards), "history": "a long log", "events-listed": "1"} {
		if _, err := l.Settle(t.Context(), name, value); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// Head implements journal.Log.
func (l *longLog) Head(_ context.Context, shard uint32) (journal.Head, error) {
	last := l.record(shard, l.perShard).Header
	return journal.Head{Last: last, Flushed: last.Flushed}, nil
}

// Read implements journal.Log.
func (l *longLog) Read(_ context.Context, shard uint32, from uint64, maxBytes int) (found []journal.Record, err error) {
	for size := 0; from <= l.perShard && size < maxBytes; from++ {
		rec := l.record(shard, from)
		size += len(rec.Body)
		found = append(found, rec)
	}
	return found, nil
}

// record is a claim if it is the first, else one command of one entity.
func (l *longLog) record(shard uint32, number uint64) journal.Record {
	h := journal.Header{
		Number: number, Epoch: 1, Writer: "long", Claim: number == 1, Time: longTime(number),
		FirstOffset: max(number, 2) - 1, Flushed: number - min(number, longTail+1),
	}
	h.Batch[0], h.Batch[1], h.Batch[2], h.Batch[3], h.Batch[4] = byte(shard), byte(number), byte(number>>8), byte(number>>16), 1
	if h.Claim {
		return journal.NewRecord(h, nil)
	}
	h.Events = 1
	return journal.NewRecord(h, [][]byte{longEntry(shard, number-2)})
}

func longTime(number uint64) int64 {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() + int64(number)
}

// longEntry is command number index of the shard.
func longEntry(shard uint32, index uint64) []byte {
	block, within := index/longBlock, index%longBlock
	number := within/longTogether + 1
	payload, err := proto.Marshal(wrapperspb.Int64(int64(number)))
	if err != nil {
		panic(err)
	}
	name := string(new(wrapperspb.Int64Value).ProtoReflect().Descriptor().FullName())
	b, err := proto.Marshal(&logv1.Entry{
		Type: "tally", Id: longID(shard, block, within%longTogether), Entry: number, Version: number, Command: name, TimeNs: longTime(index + 2),
		Key:    &logv1.Key{Kind: &logv1.Key_Caller{Caller: strconv.FormatUint(number, 10)}},
		Answer: &logv1.Entry_Reply{Reply: payload}, Events: []*logv1.Event{{Type: name, Payload: payload}},
	})
	if err != nil {
		panic(err)
	}
	return b
}

// longID is the first name of its kind that belongs into the shard.
func longID(shard uint32, block, place uint64) string {
	for try := 0; ; try++ {
		id := fmt.Sprintf("%d-%d-%d-%d", shard, block, place, try)
		if uint32(xxhash.Sum64String("tally\x00"+id)%longShards) == shard {
			return id
		}
	}
}

// A log is loaded from an archive. To take it over costs the same if it is long, and so does
// it to wake one of its entities.
func TestALongLogOnCassandraIsTakenOverByItsTail(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	small, large := loadLongLog(t, 1000), loadLongLog(t, longRecords(t))
	t.Logf("short: %+v", small)
	t.Logf("long: %+v", large)
	small.bound(t)
	large.bound(t)
	if more := large.TakeOver.less(small.TakeOver); more.Queries > longShards || more.Bytes > longShards<<10 {
		t.Errorf("to take over the long log cost %+v more than the short one", more)
	}
}

// longCost is what a host asked of Cassandra.
type longCost struct {
	Records          int
	RecordsPerSecond int // of the import
	TakeOver, Wake   wireCount
	Wakened          int // entities
}

// bound asserts limits that no length of a log moves.
func (c longCost) bound(t *testing.T) {
	t.Helper()
	const (
		takeOverQueries, takeOverBytes = 25, 8 << 10
		wakeQueries, wakeBytes         = 5, 8 << 10
	)
	if n := c.TakeOver.Queries; n < longShards || n > takeOverQueries*longShards || c.TakeOver.Bytes > takeOverBytes*longShards {
		t.Errorf("%d records: take-over of %d shards cost %+v", c.Records, longShards, c.TakeOver)
	}
	if n := c.Wake.Queries; n < c.Wakened || n > wakeQueries*c.Wakened || c.Wake.Bytes > wakeBytes*c.Wakened {
		t.Errorf("%d records: recovery of %d entities cost %+v", c.Records, c.Wakened, c.Wake)
	}
}

// loadLongLog imports a log of that length into a keyspace of its own and starts a host on it, through a wire that counts.
func loadLongLog(t *testing.T, records int) longCost {
	t.Helper()
	from, dir := newLongLog(t, records), t.TempDir()
	if _, err := archive.Export(t.Context(), archive.ExportConfig{Journal: from, Dir: dir}); err != nil {
		t.Fatal(err)
	}
	cfg := cassandra.Config{
		Hosts: cassandraNode.Hosts(t), Keyspace: fmt.Sprintf("long_%d_%d", records, time.Now().UnixNano()),
		Development: true, BucketBytes: longBucket, Logger: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() {
		if err := cassandra.DropKeyspace(context.WithoutCancel(t.Context()), cfg); err != nil {
			t.Error(err)
		}
	})
	cost := longCost{Records: records}
	cost.RecordsPerSecond = int(float64(records) / importLong(t, cfg, dir).Seconds())
	serveLong(t, cfg, from, &cost)
	return cost
}

// importLong returns how long it took, without the making of the keyspace.
func importLong(t *testing.T, cfg cassandra.Config, dir string) time.Duration {
	t.Helper()
	j, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = archive.Import(t.Context(), archive.ImportConfig{Journal: j, Dir: dir, Parallel: longShards})
	took := time.Since(began)
	if err := errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	return took
}

// serveLong counts what it costs to take over all shards, and to wake entities from the beginning, the middle and the end
// of some shards' logs.
func serveLong(t *testing.T, cfg cassandra.Config, from *longLog, cost *longCost) {
	t.Helper()
	wire := startWire(t, cfg.Hosts[0])
	cfg.Hosts = []string{wire.address()}
	j, err := cassandra.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // after the host
	before := wire.count()
	host := startHost(t, j, func(c *entity.Config) { c.Shards, c.AcceptClock = longShards, true })
	defer stopHost(t, host)
	eventually(t, "all shards are served", func() bool { return servedShards(t, host) == longShards })
	wire.awaitQuiet(t) // what begins with a take-over, such as the removal of timers of the past
	cost.TakeOver = wire.count().less(before)
	before = wire.count()
	blocks := (from.perShard - 1 + longBlock - 1) / longBlock
	for shard := uint32(0); shard < longShards; shard += 8 {
		for place, block := range []uint64{0, blocks / 2, blocks - 1} {
			cost.Wakened++
			wakeLong(t, host, from, shard, block, uint64(place))
		}
	}
	cost.Wake = wire.count().less(before)
}

func servedShards(t *testing.T, h *entity.Host) (n int) {
	t.Helper()
	shards, err := h.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		if s.Phase == "serving" {
			n++
		}
	}
	return n
}

// wakeLong asks a passive entity for the sum of its entries.
func wakeLong(t *testing.T, host *entity.Host, from *longLog, shard uint32, block, place uint64) {
	t.Helper()
	got, err := sum.Ask(long(t), tallies.Ref(host, longID(shard, block, place)), &emptypb.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	entries := int64(0)
	if commands := from.perShard - 1; block*longBlock+place < commands {
		entries = int64(min((commands-block*longBlock-place-1)/longTogether+1, longEntries))
	}
	if want := entries * (entries + 1) / 2; got.GetValue() != want {
		t.Errorf("shard %d, block %d, place %d: it holds %d, want %d", shard, block, place, got.GetValue(), want)
	}
}
