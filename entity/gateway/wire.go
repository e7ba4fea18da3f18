package gateway

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// toWire puts a request in the form in which [Dial]'s client sends it.
func toWire(req *entity.Request) *apiv1.CallRequest {
	out := &apiv1.CallRequest{
		Type: req.Type, Id: req.ID, Command: req.Command, Payload: req.Payload, Attempt: uint32(max(req.Attempt, 1)),
		IfVersion: req.IfVersion, Local: req.Local, After: req.After.String(), Async: req.Async, Lookup: req.Lookup,
		Cause: req.Cause, Trace: req.Trace,
	}
	switch k := req.Key; k.Kind {
	case shard.CallerKey:
		out.Key = &apiv1.CallRequest_CallerKey{CallerKey: k.Name}
	case shard.ClientKey:
		out.Key = &apiv1.CallRequest_NumberedKey{NumberedKey: &apiv1.NumberedKey{
			Client: k.Client[:], Number: k.Number, Oldest: k.Oldest, IssuedUnixNanos: k.Issued,
		}}
	}
	return out
}

// maxAttempt bounds what a client says of its attempts; from the second on, their count makes no difference.
const maxAttempt = 1 << 30

// fromWire reads a request. What only an entity's node can judge is left to it.
func fromWire(in *apiv1.CallRequest) (*entity.Request, error) {
	after, err := journal.ParseToken(in.GetAfter())
	if err != nil {
		return nil, malformed("after: %v", err)
	}
	key, err := keyFromWire(in)
	if err != nil {
		return nil, err
	}
	return &entity.Request{
		Type: in.GetType(), ID: in.GetId(), Command: in.GetCommand(), Payload: in.GetPayload(), Key: key,
		Attempt: int(min(in.GetAttempt(), maxAttempt)), IfVersion: in.IfVersion, Local: in.GetLocal(), After: after,
		Async: in.GetAsync(), Lookup: in.GetLookup(), Cause: in.GetCause(), Trace: in.GetTrace(),
	}, nil
}

func keyFromWire(in *apiv1.CallRequest) (entity.CommandKey, error) {
	switch k := in.GetKey().(type) {
	case *apiv1.CallRequest_CallerKey:
		if wrong := wrongKey(k.CallerKey); wrong != "" {
			return entity.CommandKey{}, malformed("the key is none: %s", wrong)
		}
		return entity.CallerKey(k.CallerKey), nil
	case *apiv1.CallRequest_NumberedKey:
		n := k.NumberedKey
		key := entity.CommandKey{Kind: shard.ClientKey, Number: n.GetNumber(), Oldest: n.GetOldest(), Issued: n.GetIssuedUnixNanos()}
		if copy(key.Client[:], n.GetClient()) != len(key.Client) || len(n.GetClient()) != len(key.Client) {
			return key, malformed("the key's client has %d bytes, not %d", len(n.GetClient()), len(key.Client))
		}
		return key, nil
	}
	return entity.CommandKey{}, nil
}

// kinds are the failures that have a name on the wire.
var kinds = map[error]apiv1.FailureKind{
	entity.ErrUnavailable:    apiv1.FailureKind_FAILURE_KIND_UNAVAILABLE,
	entity.ErrBusy:           apiv1.FailureKind_FAILURE_KIND_BUSY,
	entity.ErrUnknownOutcome: apiv1.FailureKind_FAILURE_KIND_UNKNOWN_OUTCOME,
	entity.ErrFailed:         apiv1.FailureKind_FAILURE_KIND_FAILED,
	entity.ErrRunning:        apiv1.FailureKind_FAILURE_KIND_RUNNING,
	entity.ErrNotKnown:       apiv1.FailureKind_FAILURE_KIND_NOT_KNOWN,
}

// outcomeToWire puts what a Caller returned in a response.
func outcomeToWire(resp *entity.Response, err error) *apiv1.CallResponse {
	if err == nil {
		return &apiv1.CallResponse{Outcome: &apiv1.CallResponse_Reply{Reply: &apiv1.Reply{
			Payload: resp.Payload, Version: resp.Receipt.Version, Token: resp.Receipt.Token.String(), Repeated: resp.Receipt.Repeated,
		}}}
	}
	var p *problem
	var no *entity.Rejection
	switch {
	case errors.As(err, &p):
		return rejectionToWire(&entity.Rejection{Code: p.body.GetCode(), Message: reasonOf(p.body), Version: p.body.GetVersion()})
	case errors.As(err, &no):
		return rejectionToWire(no)
	}
	return failureToWire(err)
}

func rejectionToWire(no *entity.Rejection) *apiv1.CallResponse {
	return &apiv1.CallResponse{Outcome: &apiv1.CallResponse_Rejection{Rejection: &apiv1.Rejection{
		Code: valid(no.Code), Message: valid(no.Message), Version: no.Version,
	}}}
}

// failureToWire takes an error without a kind for an unknown outcome: a Caller that breaks its
// promise may have sent the command.
func failureToWire(err error) *apiv1.CallResponse {
	f := &apiv1.Failure{Kind: apiv1.FailureKind_FAILURE_KIND_UNKNOWN_OUTCOME, Reason: valid(err.Error())}
	var e *entity.Error
	if errors.As(err, &e) {
		f.Reason = valid(e.Reason)
		if kind, ok := kinds[e.Kind]; ok {
			f.Kind = kind
		}
		if e.RetryAfter > 0 {
			f.RetryAfter = durationpb.New(e.RetryAfter)
		}
	}
	return &apiv1.CallResponse{Outcome: &apiv1.CallResponse_Failure{Failure: f}}
}

// outcomeFromWire is the other side of outcomeToWire. A response that says nothing known tells nothing
// of what became of the command.
func outcomeFromWire(in *apiv1.CallResponse) (*entity.Response, error) {
	switch out := in.GetOutcome().(type) {
	case *apiv1.CallResponse_Reply:
		r := out.Reply
		token, err := journal.ParseToken(r.GetToken())
		if err != nil {
			return nil, unknownOutcome("the answer's token cannot be read: %v", err)
		}
		return &entity.Response{Payload: r.GetPayload(), Receipt: entity.Receipt{
			Version: r.GetVersion(), Token: token, Repeated: r.GetRepeated(),
		}}, nil
	case *apiv1.CallResponse_Rejection:
		r := out.Rejection
		return nil, &entity.Rejection{Code: r.GetCode(), Message: r.GetMessage(), Version: r.GetVersion()}
	case *apiv1.CallResponse_Failure:
		return nil, failureFromWire(out.Failure)
	}
	return nil, unknownOutcome("the answer is of a kind that this client does not know: it is older than the service")
}

func failureFromWire(f *apiv1.Failure) error {
	for kind, named := range kinds {
		if named == f.GetKind() {
			return &entity.Error{Kind: kind, Reason: f.GetReason(), RetryAfter: max(f.GetRetryAfter().AsDuration(), 0)}
		}
	}
	return unknownOutcome("the answer is a failure of kind %d, which this client does not know: %s", f.GetKind(), f.GetReason())
}

func unknownOutcome(format string, args ...any) *entity.Error {
	return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf(format, args...)}
}
