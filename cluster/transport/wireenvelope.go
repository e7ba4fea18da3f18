package transport

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Field numbers of skerry.wire.v1.Envelope.
const (
	envelopeNumber      = 1
	envelopeRemaining   = 2
	envelopeEpoch       = 3
	envelopeSubject     = 4
	envelopeDestination = 5
	envelopeOrigin      = 6
	envelopeType        = 7
	envelopeID          = 8
	envelopeCommand     = 9
	envelopePayload     = 10
	envelopeCallerKey   = 11
	envelopeNumberedKey = 12
	envelopeAttempt     = 13
	envelopeIfVersion   = 14
	envelopeLocal       = 15
	envelopeAfter       = 16
	envelopeAsync       = 17
	envelopeLookup      = 18
	envelopeQuery       = 19
	envelopePrincipal   = 20
	envelopeCause       = 21
	envelopeTrace       = 22

	keyClient = 1
	keyNumber = 2
	keyOldest = 3
	keyIssued = 4

	tokenHistory   = 1
	tokenPositions = 2
)

// The kinds of keys that cross nodes: chosen by a caller, or counted by a client. Timers' never leave their node.
var callerKind = entity.CallerKey("").Kind

const numberedKind = 1

const (
	// maxAttempt bounds what is told of attempts; from the second on, their count makes no difference.
	maxAttempt = 1 << 30
	// maxRemaining bounds how long a sender may wait.
	maxRemaining = time.Hour
)

// check returns the answer for an envelope that can never be sent.
func (e *Envelope) check() (Answer, bool) {
	kind := e.Request.Key.Kind
	switch {
	case kind != (entity.CommandKey{}).Kind && kind != callerKind && kind != numberedKind:
		return refusal(entity.ErrMalformed, "a key of kind %d belongs to one node: it is never sent to another", kind), false
	case len(e.Subject) > MaxName || len(e.Destination) > MaxName || len(e.Origin) > MaxName:
		return refusal(entity.ErrMalformed, "the envelope's subject, destination or origin has more than %d bytes", MaxName), false
	case e.Remaining <= 0:
		return notSent(nil, 0, "its time was over before it was sent"), false
	}
	return Answer{}, true
}

// size is at least the encoded size, without the fields of fixed size beyond.
func (e *Envelope) size() int {
	r := &e.Request
	n := len(r.Type) + len(r.ID) + len(r.Command) + len(r.Payload) + len(r.Key.Name)
	n += len(r.Principal) + len(r.Cause) + len(r.Trace) + len(r.After.History) + len(r.After.Offsets)*15
	return n + len(e.Subject) + len(e.Destination) + len(e.Origin) + envelopeOverhead
}

// envelopeOverhead is more than an envelope with nothing in it needs.
const envelopeOverhead = 256

func appendEnvelope(b []byte, number uint64, remaining time.Duration, e *Envelope) []byte {
	r := &e.Request
	b = appendUint(b, envelopeNumber, number)
	b = appendUint(b, envelopeRemaining, uint64(remaining))
	b = appendUint(b, envelopeEpoch, e.Epoch)
	b = appendText(b, envelopeSubject, e.Subject)
	b = appendText(b, envelopeDestination, e.Destination)
	b = appendText(b, envelopeOrigin, e.Origin)
	b = appendText(b, envelopeType, r.Type)
	b = appendText(b, envelopeID, r.ID)
	b = appendText(b, envelopeCommand, r.Command)
	b = appendBytes(b, envelopePayload, r.Payload)
	b = appendKey(b, &r.Key)
	b = appendUint(b, envelopeAttempt, uint64(min(max(r.Attempt, 0), maxAttempt)))
	if r.IfVersion != nil {
		b = protowire.AppendTag(b, envelopeIfVersion, protowire.VarintType)
		b = protowire.AppendVarint(b, *r.IfVersion)
	}
	b = appendBool(b, envelopeLocal, r.Local)
	b = appendToken(b, envelopeAfter, r.After)
	b = appendBool(b, envelopeAsync, r.Async)
	b = appendBool(b, envelopeLookup, r.Lookup)
	b = appendBool(b, envelopeQuery, r.Query)
	b = appendText(b, envelopePrincipal, r.Principal)
	b = appendText(b, envelopeCause, r.Cause)
	return appendText(b, envelopeTrace, r.Trace)
}

func appendKey(b []byte, k *entity.CommandKey) []byte {
	switch k.Kind {
	case callerKind: // also an empty one: it is refused by who judges it, not made none
		b = protowire.AppendTag(b, envelopeCallerKey, protowire.BytesType)
		return protowire.AppendString(b, k.Name)
	case numberedKind:
		return appendNested(b, envelopeNumberedKey, func(b []byte) []byte {
			b = appendBytes(b, keyClient, k.Client[:])
			b = appendUint(b, keyNumber, k.Number)
			b = appendUint(b, keyOldest, k.Oldest)
			return appendUint(b, keyIssued, uint64(k.Issued))
		})
	}
	return b
}

func appendToken(b []byte, field protowire.Number, t journal.Token) []byte {
	if t.History == "" {
		return b
	}
	return appendNested(b, field, func(b []byte) []byte {
		b = appendText(b, tokenHistory, t.History)
		if len(t.Offsets) == 0 {
			return b
		}
		return appendNested(b, tokenPositions, func(b []byte) []byte {
			for _, o := range t.Offsets {
				b = protowire.AppendVarint(b, uint64(o.Shard))
				b = protowire.AppendVarint(b, o.Offset)
			}
			return b
		})
	})
}

// parseEnvelope reads an envelope; in keeps nothing of b. wrong tells what makes it one that can never be
// taken, and an error that b is no message.
func parseEnvelope(b []byte, known names, in *Incoming) (wrong string, err error) {
	r := &in.Request
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case envelopeNumber:
			in.number = c.value
		case envelopeRemaining:
			in.Remaining = time.Duration(min(c.value, uint64(maxRemaining)))
		case envelopeEpoch:
			in.Epoch = c.value
		case envelopeSubject:
			in.Subject = known.of(c.bytes)
		case envelopeDestination:
			in.Destination = known.of(c.bytes)
		case envelopeOrigin:
			in.Origin = known.of(c.bytes)
		case envelopePayload:
			r.Payload = bytes.Clone(c.bytes)
		case envelopeNumberedKey:
			wrong = first(wrong, parseKey(c.bytes, &r.Key))
		case envelopeAfter:
			wrong = first(wrong, parseTokenInto(&r.After, c.bytes, known))
		default:
			requestField(&c, known, r)
		}
	}
	return wrong, c.err
}

// requestField reads a field that is one of the request's as it is.
func requestField(c *cursor, known names, r *entity.Request) {
	switch c.number {
	case envelopeType:
		r.Type = known.of(c.bytes)
	case envelopeID:
		r.ID = string(c.bytes)
	case envelopeCommand:
		r.Command = known.of(c.bytes)
	case envelopeCallerKey:
		r.Key = entity.CallerKey(string(c.bytes))
	case envelopeAttempt:
		r.Attempt = int(min(c.value, maxAttempt))
	case envelopeIfVersion:
		version := c.value
		r.IfVersion = &version
	case envelopeLocal:
		r.Local = c.value != 0
	case envelopeAsync:
		r.Async = c.value != 0
	case envelopeLookup:
		r.Lookup = c.value != 0
	case envelopeQuery:
		r.Query = c.value != 0
	case envelopePrincipal:
		r.Principal = known.of(c.bytes)
	case envelopeCause:
		r.Cause = string(c.bytes)
	case envelopeTrace:
		r.Trace = string(c.bytes)
	}
}

func first(wrong, why string) string {
	if wrong != "" {
		return wrong
	}
	return why
}

func parseKey(b []byte, k *entity.CommandKey) (wrong string) {
	*k = entity.CommandKey{Kind: numberedKind}
	client := 0
	c := cursor{rest: b}
	for c.next() {
		switch c.number {
		case keyClient:
			client = len(c.bytes)
			copy(k.Client[:], c.bytes)
		case keyNumber:
			k.Number = c.value
		case keyOldest:
			k.Oldest = c.value
		case keyIssued:
			k.Issued = int64(c.value) //nolint:gosec // as protobuf writes an int64
		}
	}
	if c.err != nil || client != len(k.Client) {
		return fmt.Sprintf("its numbered key has a client of %d bytes, or cannot be read", client)
	}
	return ""
}

// parseTokenInto reads a token into t, whose offsets may have room.
func parseTokenInto(t *journal.Token, b []byte, known names) (wrong string) {
	c := cursor{rest: b}
	for c.next() && wrong == "" {
		switch c.number {
		case tokenHistory:
			t.History = known.of(c.bytes)
		case tokenPositions:
			t.Offsets, wrong = parsePositions(t.Offsets, c.bytes)
		}
	}
	switch {
	case wrong != "":
	case c.err != nil:
		wrong = "its token cannot be read"
	case t.History == "" || len(t.History) > journal.MaxHistory:
		wrong = fmt.Sprintf("its token has a history of %d bytes", len(t.History))
	}
	return wrong
}

func parsePositions(to []journal.ShardOffset, b []byte) (_ []journal.ShardOffset, wrong string) {
	for len(b) > 0 {
		shard, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return nil, "its token is cut"
		}
		offset, m := protowire.ConsumeVarint(b[n:])
		if m < 0 {
			return nil, "its token is cut"
		}
		b = b[n+m:]
		switch {
		case shard > math.MaxUint32:
			return nil, "its token names a shard beyond 32 bits"
		case len(to) == journal.MaxTokenShards:
			return nil, fmt.Sprintf("its token names more than %d shards", journal.MaxTokenShards)
		case len(to) > 0 && uint64(to[len(to)-1].Shard) >= shard:
			return nil, "its token's shards do not ascend"
		}
		to = append(to, journal.ShardOffset{Shard: uint32(shard), Offset: offset})
	}
	return to, ""
}
