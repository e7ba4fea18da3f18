package gateway

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/entity"
)

// frameBytes is what gRPC puts before a message.
const frameBytes = 5

// rpcRequest is what headers tell about a request, before its message is read.
type rpcRequest struct {
	meta
	id        string
	principal string
	body      *body
}

// rpcRequestKey finds the rpcRequest in a context: connect gives a procedure nothing else of ours.
type rpcRequestKey struct{}

// serveProcedure checks what needs no message and leaves the rest to connect, which knows the protocols.
func (g *gateway) serveProcedure(w http.ResponseWriter, r *http.Request, p *procedure) error {
	if err := g.checkOrigin(r); err != nil {
		return err
	}
	req, err := g.readRPC(r, p)
	if err != nil {
		return err
	}
	if req.body, err = g.open(w, r, int64(g.MaxBodyBytes)+frameBytes); err != nil {
		return err
	}
	defer req.body.done()
	req.body.explain = func(err error) error { return problemOf(err).rpc(r.Header) }
	r = r.WithContext(context.WithValue(r.Context(), rpcRequestKey{}, req))
	r.Body = req.body
	w.Header().Set("Cache-Control", "no-store")
	p.ServeHTTP(w, r)
	return nil
}

// readRPC reads the headers of a request. The one that reaches all types has everything in its message.
func (g *gateway) readRPC(r *http.Request, p *procedure) (*rpcRequest, error) {
	req := &rpcRequest{}
	var err error
	if p.command.Name != "" {
		if req.meta, err = readMeta(r, p.command.Query, g.Timeout); err != nil {
			return nil, err
		}
		if req.async {
			return nil, malformed("%s: %s is for the paths below %s", headerPrefer, respondAsync, root).
				remedied("Leave the header out, or send the command to its path there.")
		}
		if req.id, err = readID(r.Header); err != nil {
			return nil, err
		}
	}
	req.principal, err = g.principal(r)
	return req, err
}

// readID reads which entity a message is for. An id that is not ASCII comes in the form that gRPC has for bytes.
func readID(h http.Header) (string, error) {
	plain, given, err := single(h, headerEntityID)
	if err != nil {
		return "", err
	}
	binary, coded, err := single(h, headerEntityID+"-Bin")
	switch {
	case err != nil:
		return "", err
	case given && coded:
		return "", malformed("the entity's id is given as %s and as %s-Bin", headerEntityID, headerEntityID).remedied("Give it once.")
	case coded:
		id, err := connect.DecodeBinaryHeader(binary)
		if err != nil || len(id) == 0 {
			return "", malformed("the header %s-Bin is no base64 of an id", headerEntityID)
		}
		return string(id), nil
	case plain == "":
		return "", malformed("the entity's id is not given").
			remedied("Give it as the header or metadata " + headerEntityID + "; as " + headerEntityID + "-Bin if it is not ASCII.")
	}
	return plain, nil
}

// typed makes the procedure of an rpc that stands for a command.
func (g *gateway) typed(path string, rpc protoreflect.MethodDescriptor, typ string, command entity.CommandInfo) *procedure {
	p := &procedure{typ: typ, command: command}
	idempotency := connect.IdempotencyUnknown
	if command.Query {
		idempotency = connect.IdempotencyNoSideEffects
	}
	p.Handler = connect.NewUnaryHandler(path,
		func(ctx context.Context, req *connect.Request[message]) (*connect.Response[message], error) {
			resp, err := g.send(ctx, p, req.Msg)
			if err != nil {
				return nil, g.rpcError(ctx, path, req.Header(), err)
			}
			out := connect.NewResponse(&message{payload: resp.Payload, empty: command.NewReply})
			setReceipt(out.Header(), resp.Receipt)
			return out, nil
		},
		connect.WithSchema(rpc), connect.WithIdempotency(idempotency),
		connect.WithCodec(binary{}), connect.WithCodec(textual{"json"}), connect.WithCodec(textual{"json; charset=utf-8"}),
		connect.WithRequestInitializer(func(_ connect.Spec, v any) error {
			m, err := asMessage(v)
			if err == nil {
				m.empty = command.NewCommand
			}
			return err
		}),
		uncompressed,
	)
	return p
}

// uncompressed takes the one compression out that connect has: small messages gain nothing,
// and a small request must not become a large one here.
var uncompressed = connect.WithCompression("gzip", nil, nil)

// send gives the message of an rpc to its entity.
func (g *gateway) send(ctx context.Context, p *procedure, msg *message) (*entity.Response, error) {
	req := ctx.Value(rpcRequestKey{}).(*rpcRequest)
	if msg.wrong != nil {
		return nil, msg.wrong
	}
	ctx, cancel := g.limited(ctx)
	defer cancel()
	resp, err := g.ask(ctx, newRequest(target{typ: p.typ, id: req.id, command: p.command}, req.meta, req.principal, msg.payload))
	if err != nil {
		return nil, ofCall(err, req.key != "")
	}
	if err := proto.Unmarshal(resp.Payload, p.command.NewReply()); err != nil {
		return nil, defect("the reply to %s cannot be read: %s", p.command.Name, protoText(err))
	}
	return resp, nil
}

// limited gives a context its time: the protocol's own timeout within [MaxTimeout], or the default.
func (g *gateway) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := MaxTimeout
	if _, given := ctx.Deadline(); !given {
		limit = g.Timeout
	}
	return context.WithTimeout(ctx, limit)
}

// rpcError logs an error as fail does, and puts it in the words of the protocol.
func (g *gateway) rpcError(ctx context.Context, path string, h http.Header, err error) error {
	p := problemOf(err)
	g.note(ctx, g.Logger.With("path", path), p, err)
	return p.rpc(h)
}

// codes are what the protocols call an answer that is no reply. Only those that say that it did not run and will not are
// ones that clients repeat by habit. What is not here is an entity's own no.
var codes = map[string]connect.Code{
	codeMalformed:       connect.CodeInvalidArgument,
	codeTooLarge:        connect.CodeInvalidArgument,
	codeTimeout:         connect.CodeInvalidArgument,
	codeUnknownType:     connect.CodeNotFound,
	codeUnknownCommand:  connect.CodeUnimplemented,
	codeNotFound:        connect.CodeUnimplemented,
	codeVersionMismatch: connect.CodeAborted,
	codeKeyReused:       connect.CodeAlreadyExists,
	codeUnauthenticated: connect.CodeUnauthenticated,
	codeCrossOrigin:     connect.CodePermissionDenied,
	codeBusy:            connect.CodeResourceExhausted,
	codeUnavailable:     connect.CodeUnavailable,
	codeUnknown:         connect.CodeDeadlineExceeded,
	codeFailed:          connect.CodeInternal,
	codeRunning:         connect.CodeDeadlineExceeded,
	codeNotKnown:        connect.CodeNotFound,
}

// headerPushback is gRPC's word to clients that repeat by themselves: after so many
// milliseconds, or, if negative, not at all.
const headerPushback = "Grpc-Retry-Pushback-Ms"

// rpc puts a problem in the words of gRPC and Connect. h is the request's header.
func (p *problem) rpc(h http.Header) *connect.Error {
	code, ok := codes[p.body.GetCode()]
	switch {
	case !ok:
		code = connect.CodeFailedPrecondition
	case code == connect.CodeDeadlineExceeded && p.status == http.StatusInternalServerError:
		code = connect.CodeUnknown
	}
	err := connect.NewError(code, p)
	told := proto.CloneOf(p.body)
	switch code {
	case connect.CodeResourceExhausted, connect.CodeUnavailable:
		wait := max(p.retryAfter, leastRetry)
		told.RetryAfter = durationpb.New(wait)
		err.Meta().Set("Retry-After", strconv.Itoa(retrySeconds(wait)))
		err.Meta().Set(headerPushback, strconv.FormatInt(wait.Milliseconds(), 10))
	case connect.CodeDeadlineExceeded, connect.CodeUnknown:
		if strings.TrimSpace(h.Get(headerKey)) == "" {
			err.Meta().Set(headerPushback, "-1")
		}
	}
	if told.Version != nil {
		err.Meta().Set("ETag", etag(told.GetVersion()))
	}
	if detail, wrong := connect.NewErrorDetail(told); wrong == nil {
		err.AddDetail(detail)
	}
	return err
}

// leastRetry is what a client waits where nothing better is known.
const leastRetry = 100 * time.Millisecond
