package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// listener keeps a feed informed for as long as somebody watches it. It asks each member to tell how far its shards
// come, and asks again while it listens: who was not asked for a while tells nothing any more, and each answer
// repeats everything, so that what was lost on its way is late and not missing. Where no owner can be heard, it looks into
// the journal.
type listener struct {
	feed   *Feed
	cancel context.CancelFunc
	signal chan struct{}
	first  chan struct{} // closed when all members were asked once
	asked  map[string]time.Time
	looked time.Time
}

const (
	// askEvery is how often a member is asked to go on telling; tellFor, how long it does without. Both are longer than any
	// pause of a healthy process.
	askEvery = 4 * time.Second
	tellFor  = 3 * askEvery
	// askAgain is the wait after one has not answered.
	askAgain = 500 * time.Millisecond
	// firstPatience bounds how long the first watcher waits: for a member, for the way around to it, and for the journal.
	firstPatience = 2*notePatience + rowPatience
	// unheardAfter is how long nobody may tell of a shard until the journal is asked.
	unheardAfter = 2*askEvery + notePatience
	// lookEvery is how often the shards of this node are looked at while somebody is lost.
	lookEvery = 20 * time.Second
	// unheardBytes is read of a shard at a time, to find the end of its log.
	unheardBytes = 256 << 10
	// maxAsking bounds the members that are asked at a time.
	maxAsking = 16
)

// startListener starts one, which ends with its cancel or with the node.
func startListener(f *Feed) *listener {
	ctx, cancel := context.WithCancel(f.node.ctx)
	l := &listener{feed: f, cancel: cancel, signal: make(chan struct{}, 1), first: make(chan struct{}), asked: map[string]time.Time{}}
	f.node.serving.Go(func() { l.run(ctx) })
	return l
}

// await returns when all members were asked, and the journal for those that did not answer; or when it is too late.
func (l *listener) await() {
	late := time.NewTimer(firstPatience)
	defer late.Stop()
	select {
	case <-l.first:
	case <-late.C:
	case <-l.feed.node.ctx.Done():
	}
}

// look has the members looked at again. It does not block.
func (l *listener) look() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

func (l *listener) run(ctx context.Context) {
	defer l.cancel()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		pause := askEvery
		if !l.askMembers(ctx) {
			pause = askAgain
		}
		l.readUnheard(ctx)
		l.lookOwn()
		if !isClosed(l.first) {
			close(l.first)
		}
		timer.Reset(pause)
		select {
		case <-l.signal:
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// askMembers asks those whose turn it is, and tells whether all have answered.
func (l *listener) askMembers(ctx context.Context) bool {
	var asking sync.WaitGroup
	var mu sync.Mutex
	places, now, members := make(chan struct{}, maxAsking), time.Now(), map[string]time.Time{}
	all := true
	for _, peer := range l.feed.node.routes.others() {
		at, ok := l.asked[peer.Node]
		if ok && now.Sub(at) < askEvery-askAgain {
			mu.Lock()
			members[peer.Node] = at
			mu.Unlock()
			continue
		}
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			answered := l.ask(ctx, peer)
			mu.Lock()
			defer mu.Unlock()
			if all = all && answered; answered {
				members[peer.Node] = now
			}
		})
	}
	asking.Wait()
	l.asked = members
	return all
}

// ask asks one member, through another one if need be.
func (l *listener) ask(ctx context.Context, peer transport.Peer) bool {
	a := l.feed.node.askPeer(ctx, peer, subjectWatch, nil)
	var heads wirev1.Heads
	if a.Err != nil || proto.Unmarshal(a.Response.Payload, &heads) != nil {
		return false
	}
	l.feed.told(peer.Node, heads.GetHeads())
	return true
}

// readUnheard finds the end of the logs that nobody tells of.
func (l *listener) readUnheard(ctx context.Context) {
	since := max(l.feed.node.now()-int64(unheardAfter), 1)
	for number, known := range l.feed.unheard(since) {
		head, err := l.feed.end(ctx, number, known)
		if err != nil {
			return // the journal is away: that is told elsewhere, and this is tried again
		}
		l.feed.raise(number, head)
	}
}

// lookOwn has this node look whether its shards are still its own while others are lost: on a side that is cut off, one
// that nobody commands would never learn that it has been taken over, and readers here would not see what comes next.
func (l *listener) lookOwn() {
	n := l.feed.node
	if time.Since(l.looked) < lookEvery || len(n.gossip.Membership().Lost) == 0 {
		return
	}
	l.looked = time.Now()
	for number := range uint32(l.feed.Shards()) { //nolint:gosec // a count of shards
		if _, serves := l.feed.Feed.Head(number); serves {
			n.host.Look(number)
		}
	}
}

// askPeer sends a message to a member and waits for the answer. One that cannot be reached is asked through another node.
func (n *Node) askPeer(ctx context.Context, peer transport.Peer, subject string, payload []byte) transport.Answer {
	ctx, cancel := context.WithTimeout(ctx, notePatience)
	defer cancel()
	envelope := func() *transport.Envelope {
		return &transport.Envelope{Subject: subject, Remaining: notePatience, Request: entity.Request{Payload: payload}}
	}
	a := transport.Ask(ctx, n.transport, peer, envelope())
	if by := n.through(peer); by != peer && errors.Is(a.Err, transport.ErrUnreachable) {
		around := envelope()
		around.Destination = peer.Node
		a = transport.Ask(ctx, n.transport, by, around)
	}
	return a
}
