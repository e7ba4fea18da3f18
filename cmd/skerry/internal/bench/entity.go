package bench

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
)

// typeName names the measured entity in the journal.
const typeName = "bench"

// ledger is the state of the measured entity: as small as a state can be, so that
// the figures are those of the runtime.
type ledger struct {
	Events, Bytes int64
}

// deposit stores its payload as one event.
var deposit = entity.On(func(_ ledger, cmd entity.Command[*wrapperspb.BytesValue]) (entity.Effect, *emptypb.Empty, error) {
	return entity.Persist(cmd.Msg), &emptypb.Empty{}, nil
})

// balance tells how many events the entity has.
var balance = entity.Query(func(l ledger, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
	return wrapperspb.Int64(l.Events), nil
})

var ledgers = entity.Define[ledger](typeName, deposit, balance,
	entity.Apply(func(l ledger, e *wrapperspb.BytesValue) ledger {
		return ledger{Events: l.Events + 1, Bytes: l.Bytes + int64(len(e.GetValue()))}
	}),
)

// recount is the state of the same entities with another shape. A host that runs it
// ignores all snapshots of ledger and rebuilds each entity from its events.
type recount struct {
	Count int64
}

var recountBalance = entity.Query(func(r recount, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
	return wrapperspb.Int64(r.Count), nil
})

var recounts = entity.Define[recount](typeName, recountBalance,
	entity.Apply(func(r recount, _ *wrapperspb.BytesValue) recount { return recount{Count: r.Count + 1} }),
)

// put deposits a payload in one entity.
func put(ctx context.Context, host entity.Caller, id string, payload []byte) error {
	_, err := deposit.Ask(ctx, ledgers.Ref(host, id), wrapperspb.Bytes(payload))
	return err
}
