package catalogue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside"
)

// Processors tell how far the tables are; a readside.Runner does.
type Processors interface {
	// WaitFor waits until a processor has seen all that a token stands for.
	WaitFor(ctx context.Context, processor string, token journal.Token) error
	// Halted tells why a processor has stopped for good.
	Halted(processor string) error
}

// Heads tell how far the logs have been written; an entity.Feed does.
type Heads interface {
	Shards() int
	// Head returns the newest record of a shard, and whether it is known here.
	Head(shard uint32) (head journal.Header, serves bool)
}

// The headers of a request, which may ask for rows that have seen what its token stands
// for, and of an answer, whose token tells what its rows have seen.
const (
	headerToken   = "Skerry-Token"
	headerTimeout = "Skerry-Timeout"
)

// The limits on requests.
const (
	defaultPatience = 5 * time.Second
	maxPatience     = 60 * time.Second
	// maxRequests bounds those that use the tables at a time. Who waits for a token is not among them: the runner
	// bounds those.
	maxRequests = 1024
)

// Mount adds the paths of the read model to mux: GET /v1/lots, /v1/lots/{lot},
// /v1/bidders/{bidder}/bids, /v1/results and /v1/sales, which answer as those of the gateway
// do, errors as well; and the same questions as rpcs of auction.v1.Catalogue.
func (c *Catalogue) Mount(mux *http.ServeMux, p Processors, heads Heads, log *slog.Logger) {
	d := &door{processors: p, heads: heads, log: log, places: make(chan struct{}, maxRequests)}
	add(mux, d, "ListLots", c.ListLots, "GET /v1/lots", "")
	add(mux, d, "ShowLot", c.ShowLot, "GET /v1/lots/{lot}", "lot")
	add(mux, d, "ListBids", c.ListBids, "GET /v1/bidders/{bidder}/bids", "bidder")
	add(mux, d, "ListResults", c.ListResults, "GET /v1/results", "")
	add(mux, d, "ListSales", c.ListSales, "GET /v1/sales", "")
}

// door is what all questions come through.
type door struct {
	processors Processors
	heads      Heads
	log        *slog.Logger
	places     chan struct{} // holds one for each request that uses the tables
}

// message is a message by its type without the pointer.
type message[M any] interface {
	*M
	proto.Message
}

// asker answers one kind of question.
type asker[Q, R any] func(context.Context, *Q) (*R, journal.Token, error)

// add lets one kind of question in, by its path and as an rpc. named is the field that the path gives.
func add[Q, R any, PQ message[Q], PR message[R]](mux *http.ServeMux, d *door, rpc protoName, ask asker[Q, R], path string, named protoName) {
	mux.Handle(path, overHTTP[Q, R, PQ, PR](d, ask, named))
	mux.Handle(overRPC[Q, R, PQ, PR](d, ask, rpc))
}

func overHTTP[Q, R any, PQ message[Q], PR message[R]](d *door, ask asker[Q, R], named protoName) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		question := new(Q)
		if err := readQuestion(r, PQ(question), named); err != nil {
			gateway.WriteError(w, err)
			return
		}
		reply, token, err := answer(r.Context(), d, r.Header, question, ask)
		if err != nil {
			gateway.WriteError(w, err)
			return
		}
		w.Header().Set(headerToken, token.String())
		gateway.WriteMessage(w, PR(reply))
	})
}

// answer asks one question, within the limits and after what the headers want to be waited for. Its
// errors are those of an entity.Caller.
func answer[Q, R any](ctx context.Context, d *door, h http.Header, question *Q, ask asker[Q, R]) (*R, journal.Token, error) {
	after, patience, err := readHeaders(h)
	if err != nil {
		return nil, after, err
	}
	if err := d.processors.Halted(Name); err != nil {
		reason := fmt.Sprintf("the read model cannot be trusted: %v", err)
		return nil, after, &entity.Error{Kind: entity.ErrUnavailable, Reason: reason, RetryAfter: time.Minute, Cause: err}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.wait(ctx, after); err != nil {
		return nil, after, err
	}
	if err := d.enter(); err != nil {
		return nil, after, err
	}
	defer d.leave()
	reply, token, err := ask(ctx, question)
	return reply, token, d.judge(ctx, err)
}

// enter takes a place, or tells that there is none.
func (d *door) enter() error {
	select {
	case d.places <- struct{}{}:
		return nil
	default:
		reason := fmt.Sprintf("%d questions are under way, the limit", maxRequests)
		return &entity.Error{Kind: entity.ErrBusy, Reason: reason, RetryAfter: time.Second}
	}
}

func (d *door) leave() { <-d.places }

// wait lets a request see its own write.
func (d *door) wait(ctx context.Context, token journal.Token) error {
	if len(token.Offsets) == 0 {
		return nil
	}
	if err := d.checkWritten(token); err != nil {
		return err
	}
	err := d.processors.WaitFor(ctx, Name, token)
	switch {
	case errors.Is(err, journal.ErrToken):
		return malformed("the header %s: %v", headerToken, err)
	case errors.Is(err, readside.ErrBehind):
		return &entity.Error{Kind: entity.ErrUnavailable, Reason: fmt.Sprintf("the read model has not seen what %s stands for: %v", headerToken, err), RetryAfter: time.Second, Cause: err}
	}
	return err
}

// checkWritten refuses a token that stands for events that are not there. Nobody was ever given one: a head
// moves before the answer that tells of it goes out.
func (d *door) checkWritten(token journal.Token) error {
	for _, o := range token.Offsets {
		if int64(o.Shard) >= int64(d.heads.Shards()) {
			continue // WaitFor says what is wrong
		}
		if head, serves := d.heads.Head(o.Shard); serves && o.Offset >= head.NextOffset() {
			return malformed("the header %s: shard %d has not come to offset %d: read without the token", headerToken, o.Shard, o.Offset)
		}
	}
	return nil
}

// readHeaders reads what to wait for and how long.
func readHeaders(h http.Header) (after journal.Token, patience time.Duration, err error) {
	if after, err = journal.ParseToken(h.Get(headerToken)); err != nil {
		return after, 0, malformed("the header %s: %v", headerToken, err)
	}
	text := h.Get(headerTimeout)
	if text == "" {
		return after, defaultPatience, nil
	}
	patience, err = time.ParseDuration(text)
	if err != nil {
		patience, err = time.ParseDuration(text + "s")
	}
	if err != nil || patience <= 0 {
		return after, 0, malformed("the header %s is %q: give a time such as 2s or 500ms", headerTimeout, text)
	}
	return after, min(patience, maxPatience), nil
}

// judge takes what is neither the client's doing nor known to be passing for the database's.
func (d *door) judge(ctx context.Context, err error) error {
	var no *entity.Rejection
	if err == nil || errors.As(err, &no) {
		return err
	}
	if ctx.Err() == nil {
		d.log.ErrorContext(ctx, "the read model cannot be read", "error", err)
	}
	return &entity.Error{Kind: entity.ErrUnavailable, Reason: "the read model cannot be read at the moment", RetryAfter: time.Second, Cause: err}
}
