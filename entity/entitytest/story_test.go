package entitytest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestStoryOfAnEntityThatWorks(t *testing.T) {
	t.Parallel()
	entitytest.New(t, wallets).ID("ann's").
		At(noon).As("ann").
		Given(&Deposited{Value: 5}).
		GivenTimer("expire", noon.Add(time.Minute), &Expire{}).
		When(&Balance{}).ThenReply(&Amount{Value: 5}).ThenEvents().
		When(&Deposit{Value: 7}).
		ThenEvents(&Deposited{Value: 7}).ThenReply(&Amount{Value: 12}).
		ThenTimer("expire", noon.Add(time.Hour)).
		When(&Deposit{Value: -7}).ThenRejected("amount").
		ThenState(Wallet{Cents: 12, Entries: []uint64{5, 7}, ByTens: map[uint64]int{0: 2}, Newest: &Note{"deposit"}}).
		WhenTimer("expire").ThenEvents(&Expired{Value: "unused for an hour"}).ThenNoTimer().
		When(&Deposit{Value: 1}).ThenRejected("over")
}

func TestTimersThatAreDueFireBeforeTheCommand(t *testing.T) {
	t.Parallel()
	entitytest.New(t, wallets).
		At(noon).When(&Deposit{Value: 1}).
		After(59 * time.Minute).When(&Deposit{Value: 1}).ThenReply(&Amount{Value: 2}).
		After(time.Hour).When(&Deposit{Value: 1}).ThenRejected("over").ThenNoTimer("expire")
}

// A story whose words are wrong fails, and says what it got.
func TestStoryThatIsWrong(t *testing.T) {
	t.Parallel()
	start := func(t testing.TB) *entitytest.Story[Wallet] {
		return entitytest.New(t, wallets).At(noon).When(&Deposit{Value: 1})
	}
	no := func(t testing.TB) *entitytest.Story[Wallet] { return start(t).When(&Deposit{Value: 0}) }
	for _, tt := range []struct {
		name  string
		story func(testing.TB)
		want  string
	}{
		{"events", func(t testing.TB) { start(t).ThenEvents(&Deposited{Value: 2}) }, "want\n  google.protobuf.UInt64Value \"2\""},
		{"no events", func(t testing.TB) { start(t).ThenEvents() }, "want\n  nothing"},
		{"reply", func(t testing.TB) { start(t).ThenReply(&Amount{Value: 2}) }, "answers"},
		{"state", func(t testing.TB) { start(t).ThenState(Wallet{Cents: 2}) }, "want: Cents = 2"},
		{"timer's time", func(t testing.TB) { start(t).ThenTimer("expire", noon) }, `pending are ["expire" at 2026-05-01T13:00:00Z]`},
		{"timer's name", func(t testing.TB) { start(t).ThenTimer("close", noon) }, `want timer "close"`},
		{"no timer", func(t testing.TB) { start(t).ThenNoTimer("expire") }, "pending"},
		{"not rejected", func(t testing.TB) { start(t).ThenRejected("amount") }, `want a rejection with the code "amount"`},
		{"another code", func(t testing.TB) { no(t).ThenRejected("over") }, `want the code "over"`},
		{"not failed", func(t testing.TB) { no(t).ThenFailed("panic") }, `does not fail with "panic"`},
		{"rejected, reply wanted", func(t testing.TB) { no(t).ThenReply(&Amount{}) }, "rejected (amount)"},
		{"rejected, not mentioned", func(t testing.TB) { no(t) }, "unexpected answer: rejected (amount)"},
		{"rejected, not mentioned, goes on", func(t testing.TB) { no(t).When(&Balance{}) }, "unexpected answer: rejected (amount)"},
		{"unknown command", func(t testing.TB) { start(t).When(&Expired{}) }, "answers no"},
		{"unknown event", func(t testing.TB) { entitytest.New(t, wallets).Given(&Deposit{}) }, "has no rule that applies"},
		{"no such timer", func(t testing.TB) { start(t).WhenTimer("close") }, `no timer "close" is pending`},
		{"time falls", func(t testing.TB) { start(t).At(noon.Add(-1)) }, "never falls"},
		{"given too late", func(t testing.TB) { start(t).Given(&Deposited{}) }, "Given comes before the first When"},
		{"then too early", func(t testing.TB) { entitytest.New(t, wallets).ThenEvents() }, "ThenEvents comes after a When"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := reportsOf(tt.story); !strings.Contains(got, tt.want) {
				t.Errorf("reports\n%s\nwant in it\n%s", got, tt.want)
			}
		})
	}
}

func TestReportNamesTheLineOfTheStep(t *testing.T) {
	t.Parallel()
	got := reportsOf(func(t testing.TB) {
		entitytest.New(t, wallets).When(&Deposit{Value: 0})
	})
	if !strings.HasPrefix(got, "story_test.go:") || !strings.Contains(got, ": Int64Value: ") {
		t.Errorf("the report %q names no file, line and command", got)
	}
}

func TestFailuresAreTold(t *testing.T) {
	t.Parallel()
	typ := entity.Define("wallet", entity.On(func(w Wallet, _ entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		return entity.None, &Amount{Value: float64(w.Entries[3])}, nil
	}))
	entitytest.New(t, typ).When(&Deposit{}).ThenFailed("index out of range")
}

// A report begins with the line of the test that calls the story; only another line is named beside it.
func TestReportNamesTheLineOfTheStepOnlyWhereItIsAnother(t *testing.T) {
	t.Parallel()
	same := reportsOf(func(t testing.TB) {
		entitytest.New(t, wallets).When(&Deposit{Value: 1}).ThenReply(&Amount{Value: 2})
	})
	if !strings.HasPrefix(same, "Int64Value answers") {
		t.Errorf("the report %q names its line for the second time", same)
	}
	other := reportsOf(func(t testing.TB) {
		entitytest.New(t, wallets).
			When(&Deposit{Value: 1}).
			ThenReply(&Amount{Value: 2})
	})
	if !strings.HasPrefix(other, "story_test.go:") || !strings.Contains(other, ": Int64Value answers") {
		t.Errorf("the report %q does not name the line of the When", other)
	}
}

func TestCommandsOfTimersAreSentByTimersOnly(t *testing.T) {
	t.Parallel()
	typ := entity.Define("wallet",
		entity.OnTimer(func(_ Wallet, cmd entity.Command[*Expire]) (entity.Effect, *Amount, error) {
			return entity.None, nil, entity.Reject(cmd.Timer, "fired by %q", cmd.Timer)
		}),
		entity.On(deposit), entity.Apply(deposited))
	entitytest.New(t, typ).At(noon).
		GivenTimer("expire", noon.Add(time.Minute), &Expire{}).
		WhenTimer("expire").ThenRejected("expire")
	got := reportsOf(func(t testing.TB) { entitytest.New(t, typ).When(&Expire{}) })
	if !strings.Contains(got, "only timers send google.protobuf.BoolValue") {
		t.Errorf("reports %q", got)
	}
}
