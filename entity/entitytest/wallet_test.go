package entitytest_test

import (
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
)

// Well-known messages stand in for those that a service would define.
type (
	Deposit   = wrapperspb.Int64Value  // command: so many cents
	Expire    = wrapperspb.BoolValue   // command, sent by a timer
	Balance   = emptypb.Empty          // query
	Deposited = wrapperspb.UInt64Value // event
	Expired   = wrapperspb.StringValue // event
	Amount    = wrapperspb.DoubleValue // reply
)

// Wallet is the state of the entity under test, with one of each kind of field.
type Wallet struct {
	Cents   uint64
	Entries []uint64
	ByTens  map[uint64]int
	Newest  *Note
	Since   time.Time
	Over    bool
}

// Note is reached through a pointer.
type Note struct{ Text string }

var wallets = entity.Define("wallet", walletRules()...)

// walletRules are the rules of a wallet that works.
func walletRules() []entity.Rule[Wallet] {
	return []entity.Rule[Wallet]{
		entity.On(deposit), entity.On(expire), entity.Query(balance),
		entity.Apply(deposited), entity.Apply(expired),
	}
}

func deposit(w Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
	cents := cmd.Msg.GetValue()
	switch {
	case w.Over:
		return entity.None, nil, entity.Reject("over", "wallet %s is closed", cmd.EntityID)
	case cents <= 0:
		return entity.None, nil, entity.Reject("amount", "%d is not a positive amount", cents)
	}
	e := &Deposited{Value: uint64(cents)}
	effect := entity.Persist(e).Remind("expire", cmd.Time.Add(time.Hour), &Expire{})
	return effect, &Amount{Value: float64(w.Cents + e.GetValue())}, nil
}

func expire(w Wallet, _ entity.Command[*Expire]) (entity.Effect, *Amount, error) {
	if w.Over {
		return entity.None, nil, entity.Reject("over", "it is closed already")
	}
	return entity.Persist(&Expired{Value: "unused for an hour"}).Cancel("expire"), &Amount{}, nil
}

func balance(w Wallet, _ entity.Command[*Balance]) (*Amount, error) {
	return &Amount{Value: float64(w.Cents)}, nil
}

func deposited(w Wallet, e *Deposited) Wallet {
	tens := map[uint64]int{}
	for k, n := range w.ByTens {
		tens[k] = n
	}
	tens[e.GetValue()/10]++
	w.Cents += e.GetValue()
	w.Entries = append(w.Entries, e.GetValue())
	w.ByTens = tens
	w.Newest = &Note{Text: "deposit"}
	return w
}

func expired(w Wallet, e *Expired) Wallet {
	w.Over = true
	w.Newest = &Note{Text: e.GetValue()}
	return w
}
