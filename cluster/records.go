package cluster

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

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
