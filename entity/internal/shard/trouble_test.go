package shard

import (
	"fmt"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// troubled is a serving machine whose entities cannot be recovered.
func troubled() *Machine {
	m := New(Config{IdleAfter: time.Hour})
	m.phase = Serving
	m.timers.horizon = journal.HourOf(int64(time.Hour)) + 1
	return m
}

// ask sends a query that waits until the deadline, and returns the recovery that it begins, if it does, valid until
// the next Done.
func ask(m *Machine, now, deadline int64, of journal.Entity) *Recover {
	m.Done()
	m.Command(now, &Command{To: of, Name: "get", Query: true, Local: true, Deadline: deadline, Tag: 1})
	if len(m.out.Recovers) == 0 {
		return nil
	}
	return &m.out.Recovers[0]
}

func TestAFailedRecoveryIsRememberedWhenNobodyWaitsForIt(t *testing.T) {
	t.Parallel()
	m, of := troubled(), journal.Entity{Type: "lot", ID: "a"}
	begun := ask(m, 1, 10, of)
	if begun == nil || begun.Retry {
		t.Fatalf("the first command begins %+v", begun)
	}
	r := *begun
	m.Tick(10) // its caller gives up
	m.Recovered(11, &Recovered{Entity: r.Entity, Generation: r.Generation, Err: errNoAnswer})
	at := r.Entity.retryAt
	if again := ask(m, 12, at+10, of); again != nil {
		t.Errorf("the next command begins another recovery at once: %+v", again)
	}
	m.Done()
	m.Tick(at)
	if n := len(m.out.Recovers); n != 1 || !m.out.Recovers[0].Retry {
		t.Errorf("at its time the recovery is tried again: %+v", m.out.Recovers)
	}
}

func TestRememberedFailuresAreForgottenInTime(t *testing.T) {
	t.Parallel()
	m := troubled()
	last := int64(0)
	for i := range 3 * maxTroubled {
		r := ask(m, 1, 1, journal.Entity{Type: "lot", ID: fmt.Sprint("expired", i)})
		if r != nil {
			t.Fatal("a command whose deadline has passed begins a recovery")
		}
		r = ask(m, 1, 2, journal.Entity{Type: "lot", ID: fmt.Sprint(i)})
		for c := m.commands.first; c != nil; c = m.commands.first {
			m.expired(c)
		}
		m.Recovered(1, &Recovered{Entity: r.Entity, Generation: r.Generation, Err: errNoAnswer})
		last = max(last, r.Entity.retryAt)
	}
	if len(m.entities) != maxTroubled {
		t.Errorf("%d failures are remembered, the bound is %d", len(m.entities), maxTroubled)
	}
	m.Tick(last)
	if len(m.entities) != 0 {
		t.Errorf("%d failures are remembered after their time", len(m.entities))
	}
}

func TestARecoveryIsWantedUntilTheLastCallerGivesUp(t *testing.T) {
	t.Parallel()
	m, of := troubled(), journal.Entity{Type: "lot", ID: "a"}
	r := *ask(m, 1, 10, of)
	if r.Until != 10 {
		t.Errorf("one caller, who gives up at 10; it is wanted until %d", r.Until)
	}
	m.Done()
	m.Command(2, &Command{To: of, Name: "get", Query: true, Deadline: 20, Tag: 1})
	if len(m.out.Awaits) != 1 || m.out.Awaits[0].Until != 20 {
		t.Errorf("another caller, who gives up at 20: %+v", m.out.Awaits)
	}
	skipped := Recovered{Entity: r.Entity, Generation: r.Generation, Skipped: true}
	m.Done()
	m.Recovered(11, &skipped)
	if len(m.out.Recovers) != 1 || m.out.Recovers[0].Retry {
		t.Errorf("it was skipped while somebody came: %+v", m.out.Recovers)
	}
	m.Done()
	m.Recovered(20, &skipped)
	if len(m.out.Recovers) != 0 || len(m.out.Answers) != 1 || len(m.entities) != 0 {
		t.Errorf("it was skipped and nobody waits: %+v, %+v, %d entities", m.out.Recovers, m.out.Answers, len(m.entities))
	}
}
