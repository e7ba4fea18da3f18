// Package readsidetest is for tests of processors: a log in memory that a test writes
// events to, in place of a host.
//
//	log := readsidetest.New(4, auction.Lots)
//	runner, err := readside.Start(ctx, readside.Config{Source: log, Processors: …})
//	seen := log.Store("lot", "42", &auctionv1.LotOpened{…}, &auctionv1.BidTaken{…})
//	err = runner.WaitFor(ctx, "lot-prices", seen) // now look at the rows
//
// It keeps the promises that a journal's logs keep: dense records, offsets and versions,
// all events of a command together.
package readsidetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// Log is a readside.Source that tests write to. All methods may be called concurrently.
type Log struct {
	history string
	types   []entity.Definition

	mu       sync.Mutex
	shards   []shardLog
	entities map[journal.Entity]numbers
	watchers map[int]func(uint32)
	watches  int
	failing  func(shard uint32, from uint64) error
}

type shardLog struct {
	records []journal.Record
	epoch   uint64
	serves  bool
}

// numbers are the newest of an entity.
type numbers struct{ entry, version uint64 }

// Command is one stored command.
type Command struct {
	Type, ID string
	Events   []proto.Message
	// The rest may be left out.
	Time                    time.Time
	Name                    string
	Principal, Cause, Trace string
}

// New returns a log of some shards, all of them served. Each begins with a claim, as on a node.
func New(shards int, types ...entity.Definition) *Log {
	l := &Log{
		history: "test", types: types, shards: make([]shardLog, shards),
		entities: map[journal.Entity]numbers{}, watchers: map[int]func(uint32){},
	}
	for i := range l.shards {
		l.Claim(uint32(i)) //nolint:gosec // a handful
		l.shards[i].serves = true
	}
	return l
}

// ShardOf returns the shard of an entity.
func (l *Log) ShardOf(entityType, id string) uint32 {
	return uint32(xxhash.Sum64String(entityType+"\x00"+id) % uint64(len(l.shards))) //nolint:gosec // below the count of shards
}

// Store appends one command with these events, as a record of its own, and returns the token that its caller would get.
func (l *Log) Store(entityType, id string, events ...proto.Message) journal.Token {
	return l.StoreAll(Command{Type: entityType, ID: id, Events: events})
}

// StoreAll appends commands, those of one shard as one record. It panics on a type of
// entity that the log was not made with, and on a message that cannot be encoded.
func (l *Log) StoreAll(commands ...Command) journal.Token {
	for _, c := range commands {
		l.mustKnow(c.Type)
	}
	var order []uint32
	of := map[uint32][]Command{}
	for _, c := range commands {
		shard := l.ShardOf(c.Type, c.ID)
		if of[shard] == nil {
			order = append(order, shard)
		}
		of[shard] = append(of[shard], c)
	}
	token := journal.Token{History: l.history}
	for _, shard := range order {
		token = token.With(shard, l.append(shard, of[shard]))
	}
	return token
}

func (l *Log) mustKnow(entityType string) {
	known := slices.ContainsFunc(l.types, func(t entity.Definition) bool { return t.Name() == entityType })
	if !known && len(l.types) > 0 {
		panic(fmt.Sprintf("readsidetest: Store: there are no entities of type %q: give the definition to New", entityType))
	}
}

// append adds one record and returns the offset of its last event.
func (l *Log) append(shard uint32, commands []Command) uint64 {
	l.mu.Lock()
	s := &l.shards[shard]
	h := s.header()
	var entries [][]byte
	for _, c := range commands {
		entries = append(entries, l.entry(c))
		h.Events += uint64(len(c.Events))
	}
	s.records = append(s.records, journal.NewRecord(h, entries))
	l.mu.Unlock()
	l.tell(shard)
	return h.NextOffset() - 1
}

// header is that of the next record.
func (s *shardLog) header() journal.Header {
	h := journal.Header{Number: 1, FirstOffset: 1, Epoch: s.epoch, Batch: journal.NewBatch(), Time: time.Now().UnixNano()}
	if n := len(s.records); n > 0 {
		h.Number, h.FirstOffset = s.records[n-1].Number+1, s.records[n-1].NextOffset()
	}
	return h
}

func (l *Log) entry(c Command) []byte {
	of := journal.Entity{Type: c.Type, ID: c.ID}
	n := l.entities[of]
	n.entry, n.version = n.entry+1, n.version+uint64(len(c.Events))
	l.entities[of] = n
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	if c.Name == "" {
		c.Name = "test.Command"
	}
	e := &logv1.Entry{
		Type: c.Type, Id: c.ID, Entry: n.entry, Version: n.version, Command: c.Name,
		Key:       &logv1.Key{Kind: &logv1.Key_Caller{Caller: fmt.Sprint("key-", n.entry)}},
		Principal: c.Principal, Cause: c.Cause, Trace: c.Trace, TimeNs: c.Time.UnixNano(),
	}
	for _, event := range c.Events {
		e.Events = append(e.Events, &logv1.Event{Type: string(event.ProtoReflect().Descriptor().FullName()), Payload: encode(event)})
	}
	return encode(e)
}

func encode(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("readsidetest: encode a %s: %v", m.ProtoReflect().Descriptor().FullName(), err))
	}
	return b
}

// Claim appends a claim record to a shard's log, as a new owner does.
func (l *Log) Claim(shard uint32) {
	l.mu.Lock()
	s := &l.shards[shard]
	s.epoch++
	h := s.header()
	h.Claim = true
	s.records = append(s.records, journal.NewRecord(h, nil))
	l.mu.Unlock()
	l.tell(shard)
}

// Serve says whether this node serves a shard.
func (l *Log) Serve(shard uint32, serves bool) {
	l.mu.Lock()
	l.shards[shard].serves = serves
	l.mu.Unlock()
	l.tell(shard)
}

// FailReads makes reads fail for which fail returns an error; nil ends it.
func (l *Log) FailReads(fail func(shard uint32, from uint64) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = fail
}

// Break replaces a record by what edit makes of it, as no journal ever would.
func (l *Log) Break(shard uint32, number uint64, edit func(*journal.Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit(&l.shards[shard].records[number-1])
}

// Token is the end of all shards.
func (l *Log) Token() journal.Token {
	l.mu.Lock()
	defer l.mu.Unlock()
	token := journal.Token{History: l.history}
	for i := range l.shards {
		if h := l.shards[i].header(); h.FirstOffset > 1 {
			token.Offsets = append(token.Offsets, journal.ShardOffset{Shard: uint32(i), Offset: h.FirstOffset - 1}) //nolint:gosec // a handful
		}
	}
	return token
}

// SetHistory changes the history, as a restore does.
func (l *Log) SetHistory(history string) { l.history = history }

func (l *Log) tell(shard uint32) {
	l.mu.Lock()
	var watchers []func(uint32)
	for _, w := range l.watchers {
		watchers = append(watchers, w)
	}
	l.mu.Unlock()
	for _, w := range watchers {
		w(shard)
	}
}

// History implements readside.Source.
func (l *Log) History() string { return l.history }

// Shards implements readside.Source.
func (l *Log) Shards() int { return len(l.shards) }

// Types implements readside.Source.
func (l *Log) Types() []entity.Definition { return l.types }

// Head implements readside.Source.
func (l *Log) Head(shard uint32) (journal.Header, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.shards[shard]
	return s.records[len(s.records)-1].Header, s.serves
}

// Records implements readside.Source.
func (l *Log) Records(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.failing != nil {
		if err := l.failing(shard, from); err != nil {
			return nil, err
		}
	}
	var page []journal.Record
	bytes := 0
	for n := max(from, 1); n <= uint64(len(l.shards[shard].records)); n++ {
		r := l.shards[shard].records[n-1]
		if bytes += len(r.Body); len(page) > 0 && bytes > maxBytes {
			break
		}
		page = append(page, r)
	}
	return page, nil
}

// Watch implements readside.Source.
func (l *Log) Watch(changed func(shard uint32)) (stop func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches++
	n := l.watches
	l.watchers[n] = changed
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, n)
	}
}
