package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
		h.n.inbox.put(ordersChanged{})
		return transport.Answer{Response: &entity.Response{}}
	case subjectClock:
		return h.n.tellClock()
	case subjectWatch:
		return h.n.followers.add(h.n, cmp.Or(in.Origin, in.From.Node))
	case subjectHeads:
		var heads wirev1.Heads
		if err := proto.Unmarshal(in.Request.Payload, &heads); err == nil {
			h.n.feed.told(heads.GetHeads())
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
	h.n.inbox.put(note{subject: in.Subject, from: in.From.Node, claims: claims.GetClaims()})
	return transport.Answer{Response: &entity.Response{}}
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
