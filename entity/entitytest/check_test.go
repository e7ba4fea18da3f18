package entitytest_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"
)

type depositHandler = func(Wallet, entity.Command[*Deposit]) (entity.Effect, *Amount, error)

// with is a wallet whose handler of deposits and whose rule for them are replaced; nil keeps the one that works.
func with(handle depositHandler, apply func(Wallet, *Deposited) Wallet) *entity.Type[Wallet] {
	if handle == nil {
		handle = deposit
	}
	if apply == nil {
		apply = deposited
	}
	return entity.Define("wallet", entity.On(handle), entity.On(expire), entity.Query(balance), entity.Apply(apply), entity.Apply(expired))
}

// after makes a handler that does something before it decides as usual.
func after(what func(Wallet, *Deposit)) depositHandler {
	return func(w Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		what(w, cmd.Msg)
		return deposit(w, cmd)
	}
}

// twoDeposits is the story that every broken wallet is put through.
func twoDeposits(typ *entity.Type[Wallet]) string {
	return reportsOf(func(t testing.TB) {
		entitytest.New(t, typ).At(noon).
			Given(&Deposited{Value: 31}, &Deposited{Value: 12}).
			When(&Deposit{Value: 3}).
			When(&Deposit{Value: 4})
	})
}

func TestEachCheckCatchesWhatItIsFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handle depositHandler
		apply  func(Wallet, *Deposited) Wallet
		want   string
	}{
		"handler sorts a slice of the state": {
			after(func(w Wallet, _ *Deposit) { slices.Sort(w.Entries) }), nil,
			"the handler changed the state at version 2",
		},
		"handler writes to a map of the state": {
			after(func(w Wallet, _ *Deposit) { w.ByTens[99] = 1 }), nil,
			"the handler changed the state",
		},
		"handler writes through a pointer of the state": {
			after(func(w Wallet, _ *Deposit) { w.Newest.Text += "!" }), nil,
			"the handler changed the state",
		},
		"handler changes its command": {
			after(func(_ Wallet, d *Deposit) { d.Value++ }), nil,
			"the handler changed the command",
		},
		"rule writes to a map of the state": {
			nil, func(w Wallet, e *Deposited) Wallet {
				next := deposited(w, e)
				if w.ByTens != nil {
					w.ByTens[7]++
				}
				return next
			},
			"the rule that applies google.protobuf.UInt64Value changed the state",
		},
		"rule deletes from a slice of the state": {
			nil, func(w Wallet, e *Deposited) Wallet {
				if len(w.Entries) > 1 {
					w.Entries = append(w.Entries[:0], w.Entries[1:]...)
				}
				return deposited(w, e)
			},
			"the rule that applies google.protobuf.UInt64Value changed the state",
		},
		"rule changes the event": {
			nil, func(w Wallet, e *Deposited) Wallet { e.Value++; return deposited(w, e) },
			"changed the event",
		},
		"handler counts its calls": {
			counting(), nil,
			"the handler is not a pure function",
		},
		"handler depends on the order of a map": {
			func(Wallet, entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
				many := map[int]bool{}
				for i := range 1000 {
					many[i] = true
				}
				sum := 0
				for k := range many {
					sum = sum*31 + k
				}
				return entity.None, &Amount{Value: float64(sum)}, nil
			}, nil,
			"the handler is not a pure function",
		},
		"rule counts its calls": {
			nil, func() func(Wallet, *Deposited) Wallet {
				var calls uint64
				return func(w Wallet, e *Deposited) Wallet { calls++; w.Cents += calls; return w }
			}(),
			"is not a pure function",
		},
		"rule depends on what was applied before": {
			nil, func() func(Wallet, *Deposited) Wallet {
				var last uint64
				return func(w Wallet, e *Deposited) Wallet {
					if e.GetValue() == 31 && last == 4 { // the first event again, after the last one
						w.Cents += 1000
					}
					last = e.GetValue()
					w.Cents += e.GetValue()
					return w
				}
			}(),
			"replaying the events from the start gives another state",
		},
		"rule panics": {
			nil, func(Wallet, *Deposited) Wallet { panic("no rule") },
			"the rule that applies google.protobuf.UInt64Value panics: no rule",
		},
		"timer arms what the type does not answer": {
			func(_ Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
				return entity.None.Remind("x", cmd.Time.Add(time.Hour), &Deposited{}), &Amount{}, nil
			}, nil,
			"which type \"wallet\" does not answer",
		},
		"timer arms a query": {
			func(_ Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
				return entity.None.Remind("x", cmd.Time.Add(time.Hour), &Balance{}), &Amount{}, nil
			}, nil,
			"which is a query",
		},
		"event without a rule": {
			func(Wallet, entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
				return entity.Persist(&structpb.Value{}), &Amount{}, nil
			}, nil,
			"has no rule that applies google.protobuf.Value",
		},
		"event that cannot be encoded": {
			func(Wallet, entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
				return entity.Persist(&Expired{Value: "\xff"}), &Amount{}, nil
			}, nil,
			"does not survive encoding: as protobuf",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := twoDeposits(with(tt.handle, tt.apply)); !strings.Contains(got, tt.want) {
				t.Errorf("reports\n%s\nwant in it\n%s", got, tt.want)
			}
		})
	}
}

func counting() depositHandler {
	var calls float64
	return func(Wallet, entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		calls++
		return entity.None, &Amount{Value: calls}, nil
	}
}

func TestMessageThatJSONCannotHold(t *testing.T) {
	t.Parallel()
	typ := entity.Define("clock", entity.On(func(_ Wallet, cmd entity.Command[*timestamppb.Timestamp]) (entity.Effect, *Amount, error) {
		return entity.None, &Amount{}, nil
	}))
	got := reportsOf(func(t testing.TB) {
		entitytest.New(t, typ).When(&timestamppb.Timestamp{Seconds: 1 << 60})
	})
	if want := "does not survive encoding: as JSON"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

// forgetful loses a part of itself on the way through JSON.
type forgetful struct{ kept, lost int }

func (f forgetful) MarshalJSON() ([]byte, error)  { return json.Marshal(f.kept) }
func (f *forgetful) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &f.kept) }

// half reads back half of what was written.
type half struct{ N int }

func (h half) MarshalJSON() ([]byte, error)  { return json.Marshal(h.N) }
func (h *half) UnmarshalJSON(b []byte) error { err := json.Unmarshal(b, &h.N); h.N /= 2; return err }

func TestStateThatDoesNotSurviveASnapshot(t *testing.T) {
	t.Parallel()
	got := reportsOf(func(t testing.TB) {
		typ := entity.Define("half", entity.Apply(func(h half, e *Deposited) half { return half{h.N + int(e.GetValue())} }))
		entitytest.New(t, typ).Given(&Deposited{Value: 8})
	})
	if want := "the state does not survive a snapshot"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

// A part of the state that its own JSON leaves out is seen by what the handler then decides.
func TestHandlerThatNeedsWhatASnapshotLoses(t *testing.T) {
	t.Parallel()
	typ := entity.Define("forgetful",
		entity.On(func(f forgetful, _ entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
			return entity.None, &Amount{Value: float64(f.lost)}, nil
		}),
		entity.Apply(func(f forgetful, e *Deposited) forgetful { return forgetful{f.kept + 1, f.lost + 1} }),
	)
	got := reportsOf(func(t testing.TB) {
		entitytest.New(t, typ).Given(&Deposited{}).When(&Deposit{})
	})
	if want := "on a state read back from a snapshot the handler decides otherwise"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

func TestProtobufStateThatARuleChanges(t *testing.T) {
	t.Parallel()
	list := func(apply func(*structpb.ListValue, *Deposited) *structpb.ListValue) *entity.Type[*structpb.ListValue] {
		return entity.Define("list", entity.Apply(apply))
	}
	add := func(l *structpb.ListValue, e *Deposited) *structpb.ListValue {
		l.Values = append(l.Values, structpb.NewNumberValue(float64(e.GetValue())))
		return l
	}
	copied := func(l *structpb.ListValue, e *Deposited) *structpb.ListValue { return add(proto.CloneOf(l), e) }
	story := func(typ *entity.Type[*structpb.ListValue]) func(testing.TB) {
		return func(t testing.TB) { entitytest.New(t, typ).Given(&Deposited{Value: 1}, &Deposited{Value: 2}) }
	}
	if got, want := reportsOf(story(list(add))), "changed the initial state"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
	if got := reportsOf(story(list(copied))); got != "" {
		t.Errorf("a rule that copies is reported: %s", got)
	}
}

// A state that was shared with the outside is caught when it changes later.
func TestStateThatIsChangedLater(t *testing.T) {
	t.Parallel()
	var leaked []map[uint64]int
	apply := func(w Wallet, e *Deposited) Wallet {
		w.ByTens = maps.Clone(w.ByTens)
		if w.ByTens == nil {
			w.ByTens = map[uint64]int{}
		}
		leaked = append(leaked, w.ByTens)
		if e.GetValue() == 4 {
			for _, m := range leaked[:2] {
				m[1]++
			}
		}
		return w
	}
	if got, want := twoDeposits(with(nil, apply)), "later somebody changed the state at version 1"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

func TestRunawayTimerIsStopped(t *testing.T) {
	t.Parallel()
	handle := func(_ Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		return entity.None.Remind("again", cmd.Time, &Deposit{}), &Amount{}, nil
	}
	if got, want := twoDeposits(with(handle, nil)), "timers fired without time passing"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}
