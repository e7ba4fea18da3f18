package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// handler takes in what other nodes send. It implements transport.Handler.
type handler struct{ n *Node }

// Deliver gives a command to the host, and a message to the loop.
func (h handler) Deliver(in *transport.Incoming) {
	if in.Subject == "" {
		h.n.host.Deliver(&in.Request, in.Remaining, func(resp *entity.Response, err error) { in.Answer(answerOf(h.n.routes, resp, err)) })
		return
	}
	if in.Subject == subjectRecords {
		h.n.serving.Go(func() {
			ctx, cancel := context.WithTimeout(h.n.ctx, in.Remaining)
			defer cancel()
			in.Answer(h.n.records(ctx, in.Request.Payload))
		})
		return
	}
	in.Answer(h.note(in))
}

// note takes in a message about shards.
func (h handler) note(in *transport.Incoming) transport.Answer {
	switch in.Subject {
	case subjectOrders:
		return h.put(in, ordersChanged{}, 0)
	case subjectClock:
		return h.n.tellClock()
	case subjectWatch:
		return h.n.followers.add(h.n, cmp.Or(in.Origin, in.From.Node))
	case subjectHeads:
		var heads wirev1.Heads
		if err := proto.Unmarshal(in.Request.Payload, &heads); err == nil {
			h.n.feed.told(cmp.Or(in.Origin, in.From.Node), heads.GetHeads())
		}
		return transport.Answer{Response: &entity.Response{}}
	case subjectOwned, subjectYield, subjectYielded, subjectRefused, subjectGone:
	default:
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("this node does not know messages about %q", in.Subject)}}
	}
	var claims wirev1.Claims
	if err := proto.Unmarshal(in.Request.Payload, &claims); err != nil {
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrFailed, Reason: fmt.Sprintf("the message about %s cannot be read: %v", in.Subject, err)}}
	}
	return h.put(in, note{subject: in.Subject, from: in.From.Node, claims: claims.GetClaims()}, len(claims.GetClaims()))
}

// put has the loop look at what a message says, if its sender has not sent too much already that the loop has not looked at. Of a
// process that is no member as far as is known here only those messages are taken in which are not repeated: it may be one that
// gossip tells of in a moment.
func (h handler) put(in *transport.Incoming, x any, claims int) transport.Answer {
	from, n := in.From.Node, h.n
	if _, known := n.routes.peer(from); !known {
		if in.Subject != subjectOwned && in.Subject != subjectRefused && in.Subject != subjectOrders {
			return notMember(from)
		}
		from = stranger
	}
	size := messageCost + claims*claimCost + len(in.Request.Payload)
	if !n.backlog.add(from, size, backlogLimit(n.identity.Shards)) {
		return transport.Answer{Err: &entity.Error{Kind: entity.ErrBusy, Reason: "too many messages about shards were not looked at yet", RetryAfter: busyPause}}
	}
	n.inbox.put(look(func(d *decider) {
		n.backlog.done(from, size)
		n.happened(d, x)
	}))
	return transport.Answer{Response: &entity.Response{}}
}

// notMember refuses a message of a process that this node does not know.
func notMember(incarnation string) transport.Answer {
	return transport.Answer{Err: &entity.Error{
		Kind: entity.ErrUnavailable, RetryAfter: askAgain, Reason: fmt.Sprintf("%s is no member that this node knows: if it has just joined, try again", strconv.Quote(incarnation)),
	}}
}

// Accept refuses streams: nodes need none.
func (h handler) Accept(_ context.Context, s *transport.Stream) error {
	return errors.New("this node takes no streams")
}

// answerOf is an answer of the host as it travels. Where a shard is, the node may know better than a host that has
// forgotten.
func answerOf(r *routes, resp *entity.Response, err error) transport.Answer {
	var moved *entity.MovedError
	if errors.As(err, &moved) {
		to := claimed{moved.Owner, moved.Epoch}
		if known := r.owner(moved.Shard); known.epoch > to.epoch {
			to = known
		}
		err = &transport.Moved{Shard: moved.Shard, Node: to.owner, Epoch: to.epoch, Reason: moved.Error()}
	}
	return transport.Answer{Response: resp, Err: err}
}
