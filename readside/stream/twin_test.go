package stream_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// twin is a source in memory, which the test commits to.
type twin struct {
	history string

	mu       sync.Mutex
	shards   [][]journal.Record
	versions map[string]uint64
	watchers map[int]func(uint32)
	watched  int
	reads    int
	failing  error
}

func newTwin(shards int) *twin {
	return &twin{history: "h1", shards: make([][]journal.Record, shards), versions: map[string]uint64{}, watchers: map[int]func(uint32){}}
}

func (s *twin) History() string            { return s.history }
func (s *twin) Shards() int                { return len(s.shards) }
func (s *twin) Types() []entity.Definition { return []entity.Definition{lots} }

func (s *twin) Head(shard uint32) (journal.Header, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head(shard), true
}

func (s *twin) head(shard uint32) journal.Header {
	log := s.shards[shard]
	if len(log) == 0 {
		return journal.Header{}
	}
	return log[len(log)-1].Header
}

func (s *twin) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.failing != nil {
		return nil, s.failing
	}
	if from == 0 {
		return nil, errors.New("there is no record 0")
	}
	log := s.shards[shard]
	if from > uint64(len(log)) {
		return nil, nil
	}
	rest, bytes, n := log[from-1:], 0, 0
	for n < len(rest) && (n == 0 || bytes+len(rest[n].Body) <= maxBytes) {
		bytes += len(rest[n].Body)
		n++
	}
	return append([]journal.Record(nil), rest[:n]...), nil
}

func (s *twin) Watch(changed func(uint32)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched++
	number := s.watched
	s.watchers[number] = changed
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, number)
	}
}

// command is one stored command of the lot with this id; its events may be none.
type command struct {
	id     string
	events []proto.Message
}

// commit appends one record and tells the watchers.
func (s *twin) commit(t testing.TB, shard uint32, commands ...command) {
	t.Helper()
	s.mu.Lock()
	head := s.head(shard)
	next := journal.Header{Number: head.Number + 1, Epoch: 1, FirstOffset: head.NextOffset()}
	var entries [][]byte
	for _, c := range commands {
		entry := &logv1.Entry{Type: lots.Name(), Id: c.id, Entry: 1, Command: "test.Command"}
		for _, e := range c.events {
			payload, err := proto.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			entry.Events = append(entry.Events, &logv1.Event{Type: string(e.ProtoReflect().Descriptor().FullName()), Payload: payload})
		}
		s.versions[c.id] += uint64(len(c.events))
		next.Events += uint64(len(c.events))
		entry.Version = s.versions[c.id]
		b, err := proto.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, b)
	}
	s.shards[shard] = append(s.shards[shard], journal.NewRecord(next, entries))
	var watchers []func(uint32)
	for _, w := range s.watchers {
		watchers = append(watchers, w)
	}
	s.mu.Unlock()
	for _, w := range watchers {
		w(shard)
	}
}

// fail lets all reads fail from now on, or work again.
func (s *twin) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
}

// watching is how many follow the twin.
func (s *twin) watching() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

// bid makes the command that stores one or more bids in a lot.
func bid(id string, cents ...int64) command {
	c := command{id: id}
	for _, n := range cents {
		c.events = append(c.events, wrapperspb.Int64(n))
	}
	return c
}

// In a service the messages are of its own .proto file.
type (
	LotOpened = wrapperspb.StringValue // its title
	BidTaken  = wrapperspb.Int64Value  // the new price in cents
	LotClosed = wrapperspb.BoolValue   // whether it was sold
	Noted     = wrapperspb.BytesValue  // an event that no page shows
)

type lot struct{ Price int64 }

var (
	openLot  = entity.On(store[*LotOpened])
	placeBid = entity.On(store[*BidTaken])
)

var lots = entity.Define[lot]("lot",
	openLot, placeBid,
	entity.Apply(func(l lot, _ *LotOpened) lot { return l }),
	entity.Apply(func(_ lot, e *BidTaken) lot { return lot{e.GetValue()} }),
	entity.Apply(func(l lot, _ *LotClosed) lot { return l }),
	entity.Apply(func(l lot, _ *Noted) lot { return l }),
)

// store makes an event of the command.
func store[M proto.Message](_ lot, cmd entity.Command[M]) (entity.Effect, *emptypb.Empty, error) {
	return entity.Persist(cmd.Msg), &emptypb.Empty{}, nil
}

// fact is one event of a log.
type fact struct {
	offset uint64
	id     string
	cents  int64
}

// events returns the bids of a shard, read without the code under test.
func (s *twin) events(t testing.TB, shard uint32) []fact {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []fact
	offset := uint64(0)
	for _, rec := range s.shards[shard] {
		var stored logv1.Record
		if err := proto.Unmarshal(rec.Body, &stored); err != nil {
			t.Fatal(err)
		}
		for _, entry := range stored.GetEntries() {
			for _, e := range entry.GetEvents() {
				var taken BidTaken
				if err := proto.Unmarshal(e.GetPayload(), &taken); err != nil {
					t.Fatal(err)
				}
				offset++
				out = append(out, fact{offset, entry.GetId(), taken.GetValue()})
			}
		}
	}
	return out
}
