package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// Limits of a client's connections.
const (
	dialPatience = time.Second
	// A connection that is silent for so long is asked whether it is alive, and given up if it does not
	// answer: its calls then go on over another one.
	silencePatience = time.Second
	pingPatience    = time.Second
	// idleLife ends connections that nobody uses.
	idleLife = 90 * time.Second
	// maxAnswerBytes limits one answer.
	maxAnswerBytes = 16 << 20
)

// newTransport makes connections of HTTP/2, without TLS too.
func newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Protocols:           protocols,
		DialContext:         (&net.Dialer{Timeout: dialPatience}).DialContext,
		TLSHandshakeTimeout: dialPatience,
		IdleConnTimeout:     idleLife,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: silencePatience, PingTimeout: pingPatience},
	}
}

// links are the gateways that a client knows. All calls use the current one.
type links struct {
	all     []*link
	current atomic.Int64
	header  http.Header
	log     *slog.Logger
}

type link struct {
	url  string
	call *connect.Client[apiv1.CallRequest, apiv1.CallResponse]
}

func newLinks(cfg ClientConfig) *links {
	l := &links{header: cfg.Header.Clone(), log: cfg.Logger}
	for _, u := range cfg.URLs {
		l.all = append(l.all, &link{url: u, call: connect.NewClient[apiv1.CallRequest, apiv1.CallResponse](
			cfg.HTTP, trimmed(u)+entitiesCall,
			connect.WithAcceptCompression("gzip", nil, nil), connect.WithReadMaxBytes(maxAnswerBytes),
		)})
	}
	return l
}

// send makes one attempt. reached is false if no gateway was there: the next attempt goes to the next one.
func (l *links) send(ctx context.Context, req *entity.Request) (resp *entity.Response, reached bool, err error) {
	at := l.current.Load()
	link := l.all[at%int64(len(l.all))]
	out := connect.NewRequest(toWire(req))
	maps.Copy(out.Header(), l.header)
	var w writing
	in, err := link.call.CallUnary(httptrace.WithClientTrace(ctx, w.trace()), out)
	if err == nil {
		resp, err = outcomeFromWire(in.Msg)
		return resp, true, err
	}
	if told := toldBy(err); told != nil {
		return nil, true, told
	}
	if ctx.Err() == nil && l.current.CompareAndSwap(at, at+1) && len(l.all) > 1 {
		l.log.InfoContext(ctx, "a gateway is lost; the next one is tried", "url", link.url, "error", err)
	}
	return nil, false, w.lost(link.url, err)
}

// toldBy returns the error that a gateway answered with; nil if it was not a gateway that answered.
func toldBy(err error) error {
	var e *connect.Error
	if !errors.As(err, &e) || !connect.IsWireError(err) {
		return nil
	}
	for _, detail := range e.Details() {
		msg, err := detail.Value()
		if body, ok := msg.(*apiv1.Error); ok && err == nil && body.GetCode() != "" {
			return errorOf(body, body.GetRetryAfter().AsDuration())
		}
	}
	return nil
}

// writing watches how far a request came.
type writing struct{ watched, written atomic.Bool }

func (w *writing) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { w.watched.Store(true) },
		WroteHeaders: func() { w.written.Store(true) },
	}
}

// lost is the error of a request without an answer. Only one of which nothing was written has surely not
// run. What cannot be watched may have been written.
func (w *writing) lost(url string, err error) error {
	if w.watched.Load() && !w.written.Load() {
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("no gateway can be reached at %s: %v", url, err), Cause: err}
	}
	return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf("it was sent to %s, and no answer came: %v", url, err), Cause: err}
}
