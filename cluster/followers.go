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

// followers are the nodes that want to know how far this node's shards have come. The zero value has none. All
// methods may be called concurrently.
type followers struct {
	mu   sync.Mutex
	list map[string]*follower // by incarnation
	stop func()               // ends the watching of the host's feed; nil while there is no follower
}

// follower is one of them. One message is under way at a time; what changes meanwhile gathers for the next. What was
// not taken in is told again.
type follower struct {
	signal chan struct{}

	mu      sync.Mutex
	changed map[uint32]bool
	until   time.Time // it must ask again by then
}

const (
	// tellEvery is the least time from one message to the next: a busy node would else send one per record and follower.
	tellEvery = 10 * time.Millisecond
	// tellAgain is the wait after a follower has not taken in what it was told.
	tellAgain = 200 * time.Millisecond
)

// add lets another member follow for a while, and answers with how far all shards of this node are. A process that this
// node does not know yet asks again soon; one that is no member could ask under any number of names.
func (s *followers) add(n *Node, incarnation string) transport.Answer {
	if _, known := n.routes.peer(incarnation); !known {
		return notMember(incarnation)
	}
	s.mu.Lock()
	f := s.list[incarnation]
	if f == nil {
		f = s.start(n, incarnation)
	}
	f.renew()
	s.mu.Unlock()
	heads := &wirev1.Heads{}
	for number := range uint32(n.identity.Shards) { //nolint:gosec // at most 4096
		addHead(n, heads, number)
	}
	payload, err := proto.Marshal(heads)
	if err != nil {
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrFailed, Reason: err.Error()}}
	}
	return transport.Answer{Response: &entity.Response{Payload: payload}}
}

// addHead adds how far a shard is, if this node serves it.
func addHead(n *Node, heads *wirev1.Heads, number uint32) {
	if head, serves := n.host.Feed().Head(number); serves {
		heads.Heads = append(heads.Heads, &wirev1.Head{Shard: number, Header: journal.NewRecord(head, nil).Body})
	}
}

// start begins to tell a follower. The caller holds mu.
func (s *followers) start(n *Node, incarnation string) *follower {
	f := &follower{signal: make(chan struct{}, 1), changed: map[uint32]bool{}}
	if s.list == nil {
		s.list = map[string]*follower{}
	}
	s.list[incarnation] = f
	if s.stop == nil {
		s.stop = n.host.Feed().Watch(s.changed)
	}
	n.serving.Go(func() {
		f.run(n.ctx, n, incarnation)
		s.drop(incarnation, f)
	})
	return f
}

// drop forgets a follower, and with the last one stops watching.
func (s *followers) drop(incarnation string, f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list[incarnation] == f {
		delete(s.list, incarnation)
	}
	if len(s.list) == 0 && s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// changed is called where commands are served.
func (s *followers) changed(number uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.list {
		f.mark(number)
	}
}

func (f *follower) renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Now().Add(tellFor)
}

func (f *follower) mark(numbers ...uint32) {
	f.mu.Lock()
	for _, number := range numbers {
		f.changed[number] = true
	}
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// run tells what changes until the follower has not asked for a while or ctx ends.
func (f *follower) run(ctx context.Context, n *Node, incarnation string) {
	timer := time.NewTimer(tellFor)
	defer timer.Stop()
	for left := f.left(); left > 0; left = f.left() {
		timer.Reset(left)
		select {
		case <-f.signal:
			rest(ctx, f.tell(ctx, n, incarnation))
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (f *follower) left() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Until(f.until)
}

// tell sends what has changed, and returns how long to wait before the next message. What was not taken in is sent again.
func (f *follower) tell(ctx context.Context, n *Node, incarnation string) time.Duration {
	numbers := f.take()
	heads := &wirev1.Heads{}
	for _, number := range numbers {
		addHead(n, heads, number)
	}
	peer, ok := n.routes.peer(incarnation)
	if len(heads.Heads) == 0 || !ok {
		return tellEvery // one that comes back asks for everything
	}
	payload, err := proto.Marshal(heads)
	if err != nil {
		n.log.Error("heads cannot be encoded", "cause", err)
		return tellAgain
	}
	if a := n.askPeer(ctx, peer, subjectHeads, payload); a.Err != nil {
		f.mark(numbers...)
		return tellAgain
	}
	return tellEvery
}

func (f *follower) take() []uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	numbers := make([]uint32, 0, len(f.changed))
	for number := range f.changed {
		numbers = append(numbers, number)
	}
	clear(f.changed)
	return numbers
}
