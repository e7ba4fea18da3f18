package gateway

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// What a Caller returned is what the client's caller gets.
func TestOutcomesSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&entity.Rejection{Code: "low", Message: "bid more", Version: 8},
		&entity.Error{Kind: entity.ErrBusy, Reason: "full", RetryAfter: 1500 * time.Microsecond},
		&entity.Error{Kind: entity.ErrUnavailable, Reason: "no disk"},
		&entity.Error{Kind: entity.ErrUnknownOutcome, Reason: "lost"},
		&entity.Error{Kind: entity.ErrFailed, Reason: "panic"},
		&entity.Error{Kind: entity.ErrRunning, Reason: "not yet"},
		&entity.Error{Kind: entity.ErrNotKnown, Reason: "forgotten"},
	} {
		if _, got := outcomeFromWire(outcomeToWire(nil, err)); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", err) {
			t.Errorf("the client gets %#v, the caller gave %#v", got, err)
		}
		if _, got := outcomeFromWire(outcomeToWire(nil, fmt.Errorf("on the way: %w", err))); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", err) {
			t.Errorf("wrapped, the client gets %#v, the caller gave %#v", got, err)
		}
	}
}

// A client that is older than the service takes what it does not know for an unknown outcome.
func TestWhatIsNotKnownIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]*apiv1.CallResponse{
		"nothing":            {},
		"a failure to come":  {Outcome: &apiv1.CallResponse_Failure{Failure: &apiv1.Failure{Kind: 99}}},
		"a token of no form": {Outcome: &apiv1.CallResponse_Reply{Reply: &apiv1.Reply{Token: "x"}}},
	} {
		if _, err := outcomeFromWire(in); !errors.Is(err, entity.ErrUnknownOutcome) {
			t.Errorf("%s is read as %v", name, err)
		}
	}
	if _, err := outcomeFromWire(outcomeToWire(nil, errors.New("odd"))); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Errorf("an error of no kind is read as %v", err)
	}
}

// Whatever arrives is read as a request or refused, and one that is read has one form.
func FuzzRequestFromWire(f *testing.F) {
	version := uint64(7)
	for _, in := range []*apiv1.CallRequest{
		{Type: "lot", Id: "42", Command: "PlaceBid", Payload: []byte("x"), Key: &apiv1.CallRequest_CallerKey{CallerKey: "k"}, IfVersion: &version, After: "h.2:9"},
		{Type: "lot", Id: "42", Key: &apiv1.CallRequest_NumberedKey{NumberedKey: &apiv1.NumberedKey{Client: make([]byte, 16), Number: 3, Oldest: 2, IssuedUnixNanos: 5}}, Attempt: 1 << 31},
		{Key: &apiv1.CallRequest_NumberedKey{NumberedKey: &apiv1.NumberedKey{Client: make([]byte, 17)}}, After: "x"},
	} {
		wire, _ := proto.Marshal(in)
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := new(apiv1.CallRequest)
		if proto.Unmarshal(wire, in) != nil {
			return
		}
		req, err := fromWire(in)
		if err != nil {
			return
		}
		if req.Attempt < 0 || req.Principal != "" {
			t.Fatalf("read as %+v", req)
		}
		again, err := fromWire(toWire(req))
		if err != nil {
			t.Fatalf("%+v is not read again: %v", req, err)
		}
		if req.Attempt = max(req.Attempt, 1); fmt.Sprintf("%+v", flat(again)) != fmt.Sprintf("%+v", flat(req)) {
			t.Fatalf("%+v is read again as %+v", req, again)
		}
	})
}

// flat makes a request comparable by its text.
func flat(r *entity.Request) any {
	if r.IfVersion != nil {
		return []any{*r.IfVersion, r.Type, r.ID, r.Command, r.Payload, r.Key, r.Attempt, r.Local, r.After, r.Async, r.Lookup}
	}
	return *r
}

func FuzzOutcomeFromWire(f *testing.F) {
	for _, out := range []*apiv1.CallResponse{
		outcomeToWire(&entity.Response{Payload: []byte("x"), Receipt: entity.Receipt{Version: 3}}, nil),
		outcomeToWire(nil, &entity.Rejection{Code: "low", Message: "bid more"}),
		outcomeToWire(nil, &entity.Error{Kind: entity.ErrBusy, RetryAfter: time.Second}),
	} {
		wire, _ := proto.Marshal(out)
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := new(apiv1.CallResponse)
		if proto.Unmarshal(wire, in) != nil {
			return
		}
		resp, err := outcomeFromWire(in)
		if (resp == nil) == (err == nil) {
			t.Fatalf("read as %v and %v", resp, err)
		}
		if e := new(entity.Error); errors.As(err, &e) && e.RetryAfter < 0 {
			t.Fatalf("read as %v with %v", e, e.RetryAfter)
		}
	})
}
