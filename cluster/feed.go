package cluster

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// Feed lets readers on this node follow the logs of all shards of the cluster: those of this node as
// [entity.Feed] does, those of others by what their owners tell. Nothing is asked of anybody before the first
// Watch. All methods may be called concurrently.
type Feed struct {
	*entity.Feed
	node *Node

	mu       sync.Mutex
	watching bool
	watchers map[int]func(uint32)
	next     int
	heads    map[uint32]journal.Header // of shards that others serve
}

// Feed returns the logs of all shards as readers on this node see them.
func (n *Node) Feed() *Feed { return n.feed }

// Head is the newest record of a shard that this node knows to be committed, and whether this node serves the shard.
func (f *Feed) Head(number uint32) (journal.Header, bool) {
	head, serves := f.Feed.Head(number)
	if serves {
		return head, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if told := f.heads[number]; told.Number > head.Number {
		head = told
	}
	return head, false
}

// Records returns committed records of a shard: from memory where this node serves it, from its owner's memory
// where that has them, else from the journal.
func (f *Feed) Records(ctx context.Context, number uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if _, serves := f.Feed.Head(number); serves {
		return f.Feed.Records(ctx, number, from, maxBytes)
	}
	if found := f.node.recordsOf(ctx, number, from, maxBytes); len(found) > 0 {
		return found, nil
	}
	return f.node.cfg.Host.Journal.Read(ctx, number, from, maxBytes)
}

// Watch calls changed after each change of what Head returns, until stop is called. Calls may overlap, and changed
// must return at once.
func (f *Feed) Watch(changed func(number uint32)) (stop func()) {
	stopOwn := f.Feed.Watch(changed)
	f.mu.Lock()
	id := f.next
	f.next++
	f.watchers[id] = changed
	first := !f.watching
	f.watching = true
	f.mu.Unlock()
	if first {
		f.node.inbox.put(watched{})
	}
	return func() {
		stopOwn()
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, id)
	}
}

// told takes in how far shards have come elsewhere.
func (f *Feed) told(heads []*wirev1.Head) {
	for _, h := range heads {
		header, err := journal.ParseHeader(h.GetHeader())
		if err != nil || int(h.GetShard()) >= f.Shards() {
			continue // of a release that we cannot read: readers see the journal when they look the next time
		}
		f.raise(h.GetShard(), header)
	}
}

func (f *Feed) raise(number uint32, header journal.Header) {
	f.mu.Lock()
	if header.Number <= f.heads[number].Number {
		f.mu.Unlock()
		return
	}
	f.heads[number] = header
	watchers := make([]func(uint32), 0, len(f.watchers))
	for _, w := range f.watchers {
		watchers = append(watchers, w)
	}
	f.mu.Unlock()
	for _, changed := range watchers {
		changed(number)
	}
}

// follower is another node that wants to know how far this node's shards have come. One message is under way at a
// time; what changes meanwhile gathers for the next.
type follower struct {
	mu      sync.Mutex
	changed map[uint32]bool
	sending bool
}

// followers are those of a node.
type followers struct {
	mu   sync.Mutex
	list map[string]*follower // by incarnation
	stop func()               // ends the watching of the host's feed
}

// add lets another node follow.
func (s *followers) add(n *Node, incarnation string) {
	s.mu.Lock()
	if s.list == nil {
		s.list = map[string]*follower{}
		s.stop = n.host.Feed().Watch(func(number uint32) { s.changed(n, number) })
	}
	if s.list[incarnation] == nil {
		s.list[incarnation] = &follower{changed: map[uint32]bool{}}
	}
	f := s.list[incarnation]
	s.mu.Unlock()
	for number := range uint32(n.identity.Shards) { //nolint:gosec // at most 4096
		if _, serves := n.host.Feed().Head(number); serves {
			f.mark(n, incarnation, number)
		}
	}
}

// keep drops the followers that are no members any more.
func (s *followers) keep(n *Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for incarnation := range s.list {
		if _, ok := n.routes.peer(incarnation); !ok {
			delete(s.list, incarnation)
		}
	}
}

func (s *followers) changed(n *Node, number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for incarnation, f := range s.list {
		f.mark(n, incarnation, number)
	}
}

// close ends the watching.
func (s *followers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
}

func (f *follower) mark(n *Node, incarnation string, number uint32) {
	f.mu.Lock()
	f.changed[number] = true
	idle := !f.sending
	f.sending = true
	f.mu.Unlock()
	if idle {
		f.send(n, incarnation)
	}
}

// send tells what has changed, and again when that was answered and more has.
func (f *follower) send(n *Node, incarnation string) {
	peer, ok := n.routes.peer(incarnation)
	heads := f.take(n, !ok)
	if heads == nil {
		return
	}
	payload, err := proto.Marshal(heads)
	if err != nil {
		n.log.Error("heads cannot be encoded", "cause", err)
		return
	}
	e := &transport.Envelope{Subject: subjectHeads, Remaining: notePatience, Request: entity.Request{Payload: payload}}
	n.transport.Send(peer, e, func(transport.Answer) { f.send(n, incarnation) })
}

// take returns what is to be told; nil, and the follower rests, if that is nothing.
func (f *follower) take(n *Node, gone bool) *wirev1.Heads {
	f.mu.Lock()
	defer f.mu.Unlock()
	if gone {
		clear(f.changed)
	}
	heads := &wirev1.Heads{}
	for number := range f.changed {
		if head, serves := n.host.Feed().Head(number); serves {
			heads.Heads = append(heads.Heads, &wirev1.Head{Shard: number, Header: journal.NewRecord(head, nil).Body})
		}
	}
	clear(f.changed)
	if len(heads.Heads) == 0 {
		f.sending = false
		return nil
	}
	return heads
}

// recordsPatience bounds asking an owner for records: the journal has them too.
const recordsPatience = time.Second

// recordsOf asks the owner of a shard for records that it has in memory.
func (n *Node) recordsOf(ctx context.Context, number uint32, from uint64, maxBytes int) []journal.Record {
	owner, ok := n.routes.peer(n.routes.owner(number).owner)
	if !ok || owner.Node == n.self.Incarnation {
		return nil
	}
	payload, err := proto.Marshal(&wirev1.RecordsRequest{Shard: number, From: from, MaxBytes: uint32(min(maxBytes, maxRecordsBytes))}) //nolint:gosec // bounded
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordsPatience)
	defer cancel()
	a := transport.Ask(ctx, n.transport, owner, &transport.Envelope{
		Subject: subjectRecords, Remaining: recordsPatience, Request: entity.Request{Payload: payload},
	})
	if a.Err != nil {
		return nil
	}
	return parseRecords(a.Response.Payload, from)
}

// parseRecords reads records; none if they are not what was asked for.
func parseRecords(payload []byte, from uint64) []journal.Record {
	var in wirev1.Records
	if err := proto.Unmarshal(payload, &in); err != nil {
		return nil
	}
	var out []journal.Record
	for i, body := range in.GetRecords() {
		r, err := journal.ParseRecord(body)
		if err != nil || r.Number != from+uint64(i) {
			return nil
		}
		out = append(out, r)
	}
	return out
}

// maxRecordsBytes bounds the records in one answer.
const maxRecordsBytes = 1 << 20

// records answers another node's question for records. It reads from the journal what is not in memory, so it
// has a goroutine of its own.
func (n *Node) records(ctx context.Context, payload []byte) transport.Answer {
	var ask wirev1.RecordsRequest
	if err := proto.Unmarshal(payload, &ask); err != nil || int(ask.GetShard()) >= n.identity.Shards {
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrFailed, Reason: "the question for records cannot be understood"}}
	}
	out := &wirev1.Records{}
	if _, serves := n.host.Feed().Head(ask.GetShard()); serves {
		found, err := n.host.Feed().Records(ctx, ask.GetShard(), ask.GetFrom(), int(min(ask.GetMaxBytes(), maxRecordsBytes)))
		if err != nil {
			return transport.Answer{Err: &entity.Error{Kind: entity.ErrUnavailable, Reason: "the journal does not answer", Cause: err}}
		}
		for _, r := range found {
			out.Records = append(out.Records, r.Body)
		}
	}
	reply, err := proto.Marshal(out)
	if err != nil {
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrFailed, Reason: err.Error()}}
	}
	return transport.Answer{Response: &entity.Response{Payload: reply}}
}
