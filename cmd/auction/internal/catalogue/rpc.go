package catalogue

import (
	"context"
	"errors"
	"net/http"

	"connectrpc.com/connect"

	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// maxQuestion limits the bytes of a question.
const maxQuestion = 16 << 10

// overRPC makes the handler of one rpc, for gRPC, gRPC-Web and Connect. Headers of HTTP are its metadata.
func overRPC[Q, R any, PQ message[Q], PR message[R]](d *door, ask asker[Q, R], name protoName) (path string, _ http.Handler) {
	service := auctionv1.File_auction_v1_catalogue_proto.Services().ByName("Catalogue")
	path = "/" + string(service.FullName()) + "/" + string(name)
	return path, connect.NewUnaryHandler(path,
		func(ctx context.Context, req *connect.Request[Q]) (*connect.Response[R], error) {
			reply, token, err := answer(ctx, d, req.Header(), req.Msg, ask)
			if err != nil {
				return nil, rpcError(err)
			}
			resp := connect.NewResponse(reply)
			resp.Header().Set(headerToken, token.String())
			resp.Header().Set("Cache-Control", "no-store")
			return resp, nil
		},
		connect.WithSchema(service.Methods().ByName(name)),
		connect.WithIdempotency(connect.IdempotencyNoSideEffects),
		connect.WithReadMaxBytes(maxQuestion),
	)
}

// rpcError puts an error in the words of the protocol, with the gateway's error as its detail.
func rpcError(err error) error {
	var no *entity.Rejection
	told, code := &apiv1.Error{Code: "skerry/unavailable", Reason: err.Error()}, connect.CodeUnavailable
	switch {
	case errors.As(err, &no):
		told.Code, told.Reason, code = no.Code, no.Message, connect.CodeInvalidArgument
		if no.Code == codeNotFound {
			code = connect.CodeNotFound
		}
	case errors.Is(err, entity.ErrBusy):
		told.Code, code = "skerry/busy", connect.CodeResourceExhausted
	}
	out := connect.NewError(code, err)
	if detail, wrong := connect.NewErrorDetail(told); wrong == nil {
		out.AddDetail(detail)
	}
	return out
}
