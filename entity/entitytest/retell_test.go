package entitytest_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/entitytest"
)

// runsInTwoSteps is how often a story's own checks run a handler in two steps.
const runsInTwoSteps = 18

// changesItsMind is a handler that decides otherwise once it ran n times. With n
// above the runs of the story's own checks, only a host sees that.
func changesItsMind(n int64) depositHandler {
	var runs atomic.Int64
	return func(w Wallet, cmd entity.Command[*Deposit]) (entity.Effect, *Amount, error) {
		if runs.Add(1) > n {
			return entity.None, &Amount{Value: -1}, nil
		}
		return deposit(w, cmd)
	}
}

func TestHostThatAnswersOtherwiseIsReported(t *testing.T) {
	t.Parallel()
	got := twoDeposits(with(changesItsMind(runsInTwoSteps), nil))
	if want := "a host answers otherwise"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

// An apply rule that goes wrong once it runs on a host shows in the state there.
func TestHostWithAnotherStateIsReported(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	handle := after(func(Wallet, *Deposit) { runs.Add(1) })
	apply := func(w Wallet, e *Deposited) Wallet {
		next := deposited(w, e)
		if runs.Load() > runsInTwoSteps {
			next.Newest = &Note{Text: "on a host"}
		}
		return next
	}
	got := twoDeposits(with(handle, apply))
	if want := "the host has the state"; !strings.Contains(got, want) {
		t.Errorf("reports %q, want in it %q", got, want)
	}
}

// Time passes on the host as it does in the story, timers in between included.
func TestStoryWithTimersIsRetoldAtTheSameTimes(t *testing.T) {
	t.Parallel()
	type clock struct{ Rings []time.Time }
	ring := func(_ clock, cmd entity.Command[*Expire]) (entity.Effect, *Amount, error) {
		e := &Expired{Value: cmd.Time.UTC().Format(time.RFC3339)}
		if cmd.Msg.GetValue() {
			return entity.Persist(e), &Amount{}, nil
		}
		return entity.Persist(e).Remind("ring", cmd.Time.Add(time.Hour), &Expire{}), &Amount{}, nil
	}
	clocks := entity.Define("clock", entity.On(ring), entity.Apply(func(c clock, e *Expired) clock {
		at, err := time.Parse(time.RFC3339, e.GetValue())
		if err != nil {
			panic(err)
		}
		c.Rings = append(c.Rings, at)
		return c
	}))
	entitytest.New(t, clocks).At(noon).
		GivenTimer("ring", noon, &Expire{}).
		WhenTimer("ring").ThenEvents(&Expired{Value: "2026-05-01T12:00:00Z"}).
		WhenTimer("ring").ThenEvents(&Expired{Value: "2026-05-01T13:00:00Z"}).
		After(2*time.Hour). // two rings' time, but one ring: the clock was off
		When(&Expire{Value: true}).ThenEvents(&Expired{Value: "2026-05-01T15:00:00Z"}).
		ThenTimer("ring", noon.Add(4*time.Hour)).
		ThenState(clock{Rings: []time.Time{noon, noon.Add(time.Hour), noon.Add(3 * time.Hour), noon.Add(3 * time.Hour)}}).
		WhenTimer("ring").ThenTimer("ring", noon.Add(5*time.Hour))
}

func TestStoryOfAFailureIsRetold(t *testing.T) {
	t.Parallel()
	typ := entity.Define("fragile",
		entity.On(func(_ Wallet, _ entity.Command[*durationpb.Duration]) (entity.Effect, *Amount, error) { panic("glass") }),
		entity.On(deposit), entity.On(expire), entity.Apply(deposited), entity.Apply(expired))
	entitytest.New(t, typ).
		When(&Deposit{Value: 1}).
		When(&durationpb.Duration{}).ThenFailed("glass").
		When(&Deposit{Value: 1}).ThenReply(&Amount{Value: 2})
}
