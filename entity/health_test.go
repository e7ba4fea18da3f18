package entity_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// patientHost is a host whose clock the test moves.
type patientHost struct {
	*entity.Host
	clock atomic.Int64
}

func startPatientHost(t *testing.T, cfg entity.Config) *patientHost {
	t.Helper()
	p := &patientHost{}
	p.clock.Store(time.Now().UnixNano())
	cfg.Clock = func() time.Time { return time.Unix(0, p.clock.Load()) }
	h, err := entity.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p.Host = h
	t.Cleanup(func() { stopHost(t, h) })
	return p
}

func (p *patientHost) pass(d time.Duration) { p.clock.Add(int64(d)) }

// becomes asks the host how it is until that is as it should be.
func (p *patientHost) becomes(t *testing.T, what string, ok func(entity.Health) bool) entity.Health {
	t.Helper()
	var got entity.Health
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = p.look(t); ok(got) {
			return got
		}
	}
	t.Fatalf("the host never %s: %+v", what, got)
	return got
}

// look waits a moment for those that do not answer: a machine that is slow makes all of them such.
func (p *patientHost) look(t *testing.T) entity.Health {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	return p.Health(ctx)
}

func isWell(h entity.Health) bool {
	return h.Stuck.Age+h.Command.Age+h.Handler.Age+h.Unflushed.Age+h.Journal.Age == 0 && len(h.Unready) == 0
}

func TestHostThatIsIdleOwesNothing(t *testing.T) {
	t.Parallel()
	p := startPatientHost(t, entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{tallies}, Shards: 8})
	p.becomes(t, "comes to rest", isWell)
	p.pass(24 * time.Hour)
	if got := p.becomes(t, "owes nothing", isWell); got.Shards != 8 {
		t.Errorf("it looked at %d shards, want 8", got.Shards)
	}
}

func TestFrozenJournalAgesWhatWaitsForIt(t *testing.T) {
	t.Parallel()
	j := newSick(journal.NewMemory())
	p := startPatientHost(t, entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 4})
	p.becomes(t, "comes to rest", isWell)
	j.freeze(true)
	answered := make(chan error, 1)
	go func() {
		_, err := addTo.Ask(patient{t.Context(), time.Now().Add(time.Minute)}, tallies.Ref(p, "a"), wrapperspb.Int64(1))
		answered <- err
	}()
	p.pass(3 * time.Second) // it is asked whether it is there
	p.becomes(t, "waits for the journal", func(h entity.Health) bool { return h.Journal.Age > 0 && h.Command.Age > 0 })
	p.pass(20 * time.Second)
	got := p.becomes(t, "owes for 20 s, and nothing is stuck", func(h entity.Health) bool {
		return h.Journal.Age >= 20*time.Second && h.Command.Age >= 20*time.Second && h.Stuck.Age == 0
	})
	if !strings.HasPrefix(got.Journal.Of, "shard ") {
		t.Errorf("after 20 s it owes %+v", got)
	}
	j.freeze(false)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	p.becomes(t, "hears from the journal again", func(h entity.Health) bool { return h.Journal.Age == 0 && h.Command.Age == 0 })
}

func TestDerivedDataThatIsNotWrittenAges(t *testing.T) {
	t.Parallel()
	j := newSick(journal.NewMemory())
	p := startPatientHost(t, entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 1})
	j.freezeDerive(true)
	defer j.freezeDerive(false)
	if _, err := addTo.Ask(long(t), tallies.Ref(p, "a"), wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	p.pass(time.Minute)
	p.becomes(t, "owes pages for a minute, and nothing else", func(h entity.Health) bool { return h.Unflushed.Age >= time.Minute && h.Journal.Age == 0 })
}

func TestHandlerThatDoesNotReturnIsToldAlsoAfterItsCallerGaveUp(t *testing.T) {
	t.Parallel()
	entered, until := make(chan struct{}), make(chan struct{})
	hang := entity.On(func(int64, entity.Command[*emptypb.Empty]) (entity.Effect, *emptypb.Empty, error) {
		close(entered)
		<-until
		return entity.None, &emptypb.Empty{}, nil
	})
	hanging := entity.Define[int64]("hanging", hang)
	p := startPatientHost(t, entity.Config{Journal: journal.NewMemory(), Types: []entity.Definition{hanging}, Shards: 1})
	answered := make(chan error, 1)
	go func() { // it hears what the owner says at the deadline
		_, err := hang.Ask(patient{t.Context(), time.Now().Add(2 * time.Second)}, hanging.Ref(p, "a"), &emptypb.Empty{})
		answered <- err
	}()
	<-entered
	p.pass(30 * time.Second)
	if err := <-answered; !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Errorf("the caller is told %v", err)
	}
	p.becomes(t, "tells of the handler, and of nothing else", func(h entity.Health) bool {
		return h.Handler.Age >= 30*time.Second && h.Handler.Of == "hanging a" && h.Stuck.Age == 0 && h.Command.Age == 0
	})
	close(until)
	p.becomes(t, "recovers", func(h entity.Health) bool { return h.Handler.Age == 0 })
}

func TestShardThatDoesNotAnswerIsStuckSinceItWasAskedFirst(t *testing.T) {
	t.Parallel()
	until, stuck := make(chan struct{}), make(chan struct{})
	p := startPatientHost(t, entity.Config{
		Journal: journal.NewMemory(), Types: []entity.Definition{tallies}, Shards: 2, Node: "n",
		Ownership: func(o entity.Ownership) {
			if o.Shard == 1 && o.State == entity.Serving {
				close(stuck)
				<-until // a defect: it must not wait
			}
		},
	})
	p.Claim(0)
	p.Claim(1)
	<-stuck
	p.becomes(t, "tells which shard is stuck", func(h entity.Health) bool { return h.Stuck.Of == "shard 1" && h.Shards == 2 })
	p.pass(time.Minute)
	p.becomes(t, "is stuck for a minute", func(h entity.Health) bool { return h.Stuck.Of == "shard 1" && h.Stuck.Age >= time.Minute })
	close(until)
	p.becomes(t, "is no longer stuck", func(h entity.Health) bool { return h.Stuck.Age == 0 })
}
