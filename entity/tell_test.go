package entity_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// heldJournal keeps appends waiting while it is held.
type heldJournal struct {
	journal.Journal
	mu      sync.Mutex
	release chan struct{}
}

func (j *heldJournal) hold() (release func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := make(chan struct{})
	j.release = c
	return sync.OnceFunc(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.release = nil
		close(c)
	})
}

func (j *heldJournal) Append(ctx context.Context, shard uint32, rec journal.Record) (journal.Slot, error) {
	j.mu.Lock()
	c := j.release
	j.mu.Unlock()
	if c != nil {
		<-c
	}
	return j.Journal.Append(ctx, shard, rec)
}

// answerOf asks until the answer is there: each lookup that says "running" is an answer of its own.
func answerOf(t *testing.T, ticket entity.Ticket[*wrapperspb.Int64Value]) (*wrapperspb.Int64Value, error) {
	t.Helper()
	for t.Context().Err() == nil {
		got, err := ticket.Result(long(t))
		if !errors.Is(err, entity.ErrRunning) {
			return got, err
		}
	}
	return nil, t.Context().Err()
}

func TestATellIsAnsweredLater(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	h := startHost(t, j, nil)
	ref := tallies.Ref(h, "a")
	ticket, err := addTo.Tell(long(t), ref, wrapperspb.Int64(2), entity.Key("k"))
	if err != nil || ticket.Key() != "k" {
		t.Fatal(ticket.Key(), err)
	}
	if got, err := answerOf(t, ticket); err != nil || got.GetValue() != 2 {
		t.Fatalf("the answer is %v, %v", got, err)
	}
	var r entity.Receipt
	if got, err := entity.Result[*wrapperspb.Int64Value](long(t), ref, "k", entity.Receive(&r)); err != nil || got.GetValue() != 2 || !r.Repeated || r.Version != 1 {
		t.Fatalf("asked again: %v, %+v, %v", got, r, err)
	}
	stopHost(t, h)
	ref = tallies.Ref(startHost(t, j, nil), "a")
	if got, err := entity.Result[*wrapperspb.Int64Value](long(t), ref, "k"); err != nil || got.GetValue() != 2 {
		t.Fatalf("after a restart: %v, %v", got, err)
	}
	if _, err := entity.Result[*wrapperspb.Int64Value](long(t), ref, "other"); !errors.Is(err, entity.ErrNotKnown) {
		t.Fatalf("a key that was never sent: %v", err)
	}
}

func TestATellWithoutAKeyGetsOneOfItsOwn(t *testing.T) {
	t.Parallel()
	ref := tallies.Ref(startHost(t, journal.NewMemory(), nil), "a")
	for want := range int64(3) {
		ticket, err := addTo.Tell(long(t), ref, wrapperspb.Int64(1))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := answerOf(t, ticket); err != nil || got.GetValue() != want+1 {
			t.Fatalf("%v, %v", got, err)
		}
	}
}

func TestANoToATellIsFinal(t *testing.T) {
	t.Parallel()
	ref := tallies.Ref(startHost(t, journal.NewMemory(), nil), "a")
	ticket, err := addTo.Tell(long(t), ref, wrapperspb.Int64(-1))
	if err != nil {
		t.Fatal(err)
	}
	var no *entity.Rejection
	for range 2 {
		if _, err := answerOf(t, ticket); !errors.As(err, &no) || no.Code != "negative" {
			t.Fatalf("the answer is %v", err)
		}
	}
}

func TestATellThatFailsIsNotKnown(t *testing.T) {
	t.Parallel()
	ref := tallies.Ref(startHost(t, journal.NewMemory(), nil), "a")
	ticket, err := addTo.Tell(long(t), ref, wrapperspb.Int64(666))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answerOf(t, ticket); !errors.Is(err, entity.ErrNotKnown) {
		t.Fatalf("the answer is %v", err)
	}
}

func TestATellPromisesNothingBeforeItIsStored(t *testing.T) {
	t.Parallel()
	j := &heldJournal{Journal: journal.NewMemory()}
	h := startHost(t, j, nil)
	ref := tallies.Ref(h, "a")
	release := j.hold()
	defer release()
	ticket, err := addTo.Tell(long(t), ref, wrapperspb.Int64(5), entity.Key("k"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, err := ticket.Result(ctx); err == nil {
		t.Fatalf("it has the answer %v before it is stored", got)
	}
	release()
	if got, err := answerOf(t, ticket); err != nil || got.GetValue() != 5 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestTheEndOfTheContextDoesNotCallATellBack(t *testing.T) {
	t.Parallel()
	j := &heldJournal{Journal: journal.NewMemory()}
	ref := tallies.Ref(startHost(t, j, nil), "a")
	release := j.hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	ticket, err := addTo.Tell(ctx, ref, wrapperspb.Int64(5))
	cancel()
	release()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := answerOf(t, ticket); err != nil || got.GetValue() != 5 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestRequestsThatCannotBeToldOrLookedUpAreRefused(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	for name, req := range map[string]entity.Request{
		"a tell without a key":      {Type: "tally", ID: "a", Command: "Int64Value", Async: true},
		"a told query":              {Type: "tally", ID: "a", Command: "Empty", Async: true, Key: entity.CallerKey("k")},
		"a lookup without a key":    {Type: "tally", ID: "a", Lookup: true},
		"a lookup with a command":   {Type: "tally", ID: "a", Lookup: true, Key: entity.CallerKey("k"), Command: "Empty"},
		"a lookup without an id":    {Type: "tally", Lookup: true, Key: entity.CallerKey("k")},
		"a lookup nobody waits for": {Type: "tally", ID: "a", Lookup: true, Async: true, Key: entity.CallerKey("k")},
	} {
		if _, err := h.Call(long(t), &req); !errors.Is(err, entity.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTellsAreBoundedLikeAllCommands(t *testing.T) {
	t.Parallel()
	j := &heldJournal{Journal: journal.NewMemory()}
	h := startHost(t, j, func(c *entity.Config) { c.Shards, c.MaxPending = 1, 10 })
	release := j.hold()
	defer release()
	var last error
	for range 20 {
		if _, err := addTo.Tell(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1)); err != nil {
			last = err
		}
	}
	if !errors.Is(last, entity.ErrBusy) {
		t.Fatalf("the last of 20 tells: %v", last)
	}
}

func TestAQueryAfterATokenSeesOnesOwnWrite(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	ref := tallies.Ref(h, "a")
	var r entity.Receipt
	if _, err := addTo.Ask(long(t), ref, wrapperspb.Int64(7), entity.Receive(&r)); err != nil {
		t.Fatal(err)
	}
	for _, opts := range [][]entity.QueryOption{{entity.After(r.Token)}, {entity.After(r.Token), entity.Local}} {
		if got, err := sum.Ask(long(t), ref, &emptypb.Empty{}, opts...); err != nil || got.GetValue() != 7 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	shard := r.Token.Offsets[0].Shard
	for name, token := range map[string]journal.Token{
		"of another history": {History: "other", Offsets: r.Token.Offsets},
		"of the future":      r.Token.With(shard, 1000),
	} {
		if _, err := sum.Ask(long(t), ref, &emptypb.Empty{}, entity.After(token), entity.Local); !errors.Is(err, entity.ErrMalformed) {
			t.Errorf("a token %s: %v", name, err)
		}
	}
}

// A token is for queries: on a command it must not become a no to something that ran.
func TestACommandWithATokenOfTheFutureRunsAndIsAnswered(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	future := journal.Token{History: h.Feed().History()}
	for shard := range uint32(h.Feed().Shards()) {
		future = future.With(shard, 1<<40)
	}
	for name, token := range map[string]journal.Token{"of the future": future, "of another history": {History: "other"}} {
		_, err := h.Call(long(t), &entity.Request{Type: "tally", ID: "a", Command: "Int64Value", After: token, Key: entity.CallerKey(name)})
		if err != nil {
			t.Errorf("a command with a token %s: %v", name, err)
		}
	}
}
