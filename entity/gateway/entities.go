package gateway

import (
	"context"

	"connectrpc.com/connect"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/internal/shard"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// entitiesCall is the path of the procedure that reaches all types.
const entitiesCall = "/skerry.api.v1.Entities/Call"

// generic makes that procedure.
func (g *gateway) generic() *procedure {
	schema := apiv1.File_skerry_api_v1_entities_proto.Services().ByName("Entities").Methods().ByName("Call")
	return &procedure{Handler: connect.NewUnaryHandler(entitiesCall,
		func(ctx context.Context, req *connect.Request[apiv1.CallRequest]) (*connect.Response[apiv1.CallResponse], error) {
			return connect.NewResponse(g.relay(ctx, req.Msg)), nil
		},
		connect.WithSchema(schema), uncompressed,
	)}
}

// relay gives a request to the caller. Whatever comes of it is a response, so that nothing of it is lost.
func (g *gateway) relay(ctx context.Context, in *apiv1.CallRequest) *apiv1.CallResponse {
	r := ctx.Value(rpcRequestKey{}).(*rpcRequest)
	req, err := fromWire(in)
	if err == nil {
		err = g.catalog.admit(req)
	}
	if err != nil {
		return outcomeToWire(nil, err)
	}
	req.Principal = r.principal
	ctx, cancel := g.limited(ctx)
	defer cancel()
	resp, err := g.ask(ctx, req)
	if err != nil {
		g.note(ctx, g.Logger.With("path", entitiesCall, "type", req.Type, "command", req.Command), problemOf(err), err)
	}
	return outcomeToWire(resp, err)
}

// admit refuses what is not served here. It takes the key from a query: the client cannot
// know that it is one, and a query stores nothing to remember.
func (c *catalog) admit(req *entity.Request) error {
	s, err := c.typeNamed(req.Type)
	if err != nil {
		return err
	}
	if req.Lookup {
		return admitLookup(req)
	}
	info, err := s.named(req.Type, req.Command)
	if err != nil {
		return err
	}
	switch {
	case info.Query:
		req.Key, req.Attempt, req.Async = entity.CommandKey{}, 1, false
	case req.Async && req.Key.Kind != shard.CallerKey:
		return malformed("an asynchronous command needs a key of the caller: it is what the answer can be asked for by").
			remedied("Give caller_key.")
	}
	return nil
}

func admitLookup(req *entity.Request) error {
	if req.Key.Kind != shard.CallerKey || req.Command != "" || len(req.Payload) > 0 {
		return malformed("a lookup has a key of the caller, and neither command nor payload")
	}
	return nil
}
