package entity_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// In a service these would be messages of its own .proto file.
type (
	Reserve  = wrapperspb.StringValue // command: who wants the seat
	Expire   = emptypb.Empty          // command, sent by a timer
	Holder   = wrapperspb.BoolValue   // query
	Reserved = wrapperspb.BytesValue  // event
	Expired  = wrapperspb.UInt32Value // event
	Answer   = wrapperspb.StringValue // reply
)

// Seat is the state. Only the apply rules change it.
type Seat struct{ By string }

// Each command is typed: ReserveSeat.Ask takes a *Reserve and yields an *Answer.
var (
	ReserveSeat = entity.On(reserve)
	ExpireSeat  = entity.On(expire)
	WhoHolds    = entity.Query(holder)
)

// Seats is the whole entity: what it answers, how events change it.
var Seats = entity.Define[Seat]("seat",
	ReserveSeat, ExpireSeat, WhoHolds,
	entity.Apply(func(_ Seat, e *Reserved) Seat { return Seat{By: string(e.GetValue())} }),
	entity.Apply(func(_ Seat, _ *Expired) Seat { return Seat{} }),
)

// reserve keeps the seat for ten minutes: event and timer are stored together.
func reserve(s Seat, cmd entity.Command[*Reserve]) (entity.Effect, *Answer, error) {
	who := cmd.Msg.GetValue()
	if s.By != "" {
		return entity.None, nil, entity.Reject("taken", "seat %s is held by %s", cmd.EntityID, s.By)
	}
	effect := entity.Persist(&Reserved{Value: []byte(who)}).Remind("expire", cmd.Time.Add(10*time.Minute), &Expire{})
	return effect, &Answer{Value: "reserved for " + who}, nil
}

func expire(Seat, entity.Command[*Expire]) (entity.Effect, *Answer, error) {
	return entity.Persist(&Expired{}), &Answer{}, nil
}

func holder(s Seat, _ entity.Command[*Holder]) (*Answer, error) {
	return &Answer{Value: s.By}, nil
}

// An entity is a table of pure functions; a host runs it on a journal.
func ExampleDefine() {
	ctx := context.Background()
	host, stop := startSeats(ctx)
	defer stop()
	seat := Seats.Ref(host, "12a")

	answer, err := ReserveSeat.Ask(ctx, seat, &Reserve{Value: "ann"})
	fmt.Println(answer.GetValue(), err)
	answer, err = WhoHolds.Ask(ctx, seat, &Holder{})
	fmt.Println(answer.GetValue(), err)
	// Output:
	// reserved for ann <nil>
	// ann <nil>
}

// The kinds of answer tell the caller what to do next.
func ExampleMethod_Ask() {
	ctx := context.Background()
	host, stop := startSeats(ctx)
	defer stop()
	seat := Seats.Ref(host, "12a")

	for _, who := range []string{"ann", "bob"} {
		answer, err := ReserveSeat.Ask(ctx, seat, &Reserve{Value: who}, entity.Key("order of "+who))
		var refused *entity.Rejection
		switch {
		case err == nil:
			fmt.Println(answer.GetValue())
		case errors.As(err, &refused): // the seat said no: tell the user
			fmt.Println("no:", refused.Message)
		case errors.Is(err, entity.ErrUnavailable): // it did not run: try again when you like
		case errors.Is(err, entity.ErrUnknownOutcome): // it may have run: try again with the same key
		case errors.Is(err, entity.ErrFailed): // a defect, named in the error: do not retry blindly
		}
	}
	// Output:
	// reserved for ann
	// no: seat 12a is held by ann
}

// The same key gets the first answer, instead of a second effect.
func ExampleKey() {
	ctx := context.Background()
	host, stop := startSeats(ctx)
	defer stop()
	seat := Seats.Ref(host, "12a")

	for range 2 {
		var got entity.Receipt
		answer, err := ReserveSeat.Ask(ctx, seat, &Reserve{Value: "ann"}, entity.Key("order 7"), entity.Receive(&got))
		fmt.Println(answer.GetValue(), err, "version", got.Version, "repeated", got.Repeated)
	}
	// Output:
	// reserved for ann <nil> version 1 repeated false
	// reserved for ann <nil> version 1 repeated true
}

// IfVersion makes a command depend on what its sender has seen; 0 means a new entity.
func ExampleIfVersion() {
	ctx := context.Background()
	host, stop := startSeats(ctx)
	defer stop()
	seat := Seats.Ref(host, "12a")

	_, err := ReserveSeat.Ask(ctx, seat, &Reserve{Value: "ann"}, entity.IfVersion(3))
	fmt.Println(errors.Is(err, entity.ErrVersionMismatch))
	_, err = ReserveSeat.Ask(ctx, seat, &Reserve{Value: "ann"}, entity.IfVersion(0))
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// Type.Decide and Type.Evolve are the pure functions by themselves, for tests
// and tools. Package entitytest builds on them.
func ExampleType_Decide() {
	effect, reply, err := Seats.Decide(Seat{}, &Reserve{Value: "ann"}, entity.Moment{EntityID: "12a", Time: time.Unix(0, 0)})
	fmt.Println(reply.(*Answer).GetValue(), err, len(effect.Events()), effect.Armings()[0].Name)
	seat, err := Seats.Evolve(Seat{}, effect.Events()[0])
	fmt.Println(seat.By, err)
	// Output:
	// reserved for ann <nil> 1 expire
	// ann <nil>
}

// startSeats starts a host on a journal in memory. A service opens one on disk
// with pebble.Open.
func startSeats(ctx context.Context) (host *entity.Host, stop func()) {
	memory := journal.NewMemory()
	host, err := entity.Start(ctx, entity.Config{Journal: memory, Types: []entity.Definition{Seats}})
	if err != nil {
		panic(err)
	}
	return host, func() {
		if err := errors.Join(host.Stop(ctx), memory.Close()); err != nil {
			panic(err)
		}
	}
}
