package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

// Each command adds a power of two, so that the sum tells which of them took effect, and how often.
const (
	outageQueue    = 8
	outageCommands = 16
	outageWait     = 500 * time.Millisecond
)

// The journal freezes in mid-air. Callers are told busy while others still wait, and at their deadline whether their
// command may have run; when the journal is back the host goes on by itself.
func TestDuringAnOutageCallersAreToldWhatIsKnown(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	node := launch.ForTest(t, launch.Config{}).Nodes[0]
	j, err := cassandra.Open(t.Context(), cassandra.Config{Hosts: []string{node.Address()}, Keyspace: "outage", Development: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }() // after the host
	duringAnOutage(t, j, node.Pause, node.Resume)
}

// The same over the journal in memory, which is frozen whatever is asked of it.
func TestDuringAnOutageOfAMemoryCallersAreToldWhatIsKnown(t *testing.T) {
	t.Parallel()
	j := newSick(journal.NewMemory())
	duringAnOutage(t, j, func() error { j.freeze(true); return nil }, func() error { j.freeze(false); return nil })
}

func duringAnOutage(t *testing.T, j journal.Journal, freeze, thaw func() error) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	host, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 1, MaxPending: outageQueue, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	defer stopHost(t, host)
	o := &outage{t: t, host: host, told: map[int]error{}}
	if err := o.send(long(t), outageCommands); err != nil { // the entity is live
		t.Fatal(err)
	}

	if err := freeze(); err != nil {
		t.Fatal(err)
	}
	o.sendToPassive()
	o.fillQueue()
	if err := thaw(); err != nil {
		t.Fatal(err)
	}
	o.goesOn()
}

// patient has a deadline, but waits on: so it hears what the command's owner says of it at that time.
type patient struct {
	context.Context //nolint:containedctx // it is one, with another deadline
	deadline        time.Time
}

func (p patient) Deadline() (time.Time, bool) { return p.deadline, true }

// outage is what callers were told.
type outage struct {
	t    *testing.T
	host *entity.Host

	mu   sync.Mutex
	told map[int]error
}

func (o *outage) send(ctx context.Context, n int) error {
	_, err := addTo.Ask(ctx, tallies.Ref(o.host, "a"), wrapperspb.Int64(1<<n), entity.Key(fmt.Sprint(n)))
	return err
}

// sendToPassive sends a command to an entity that must be read first: it is taken from the queue at its
// deadline, so that it has surely not run.
func (o *outage) sendToPassive() {
	_, err := addTo.Ask(patient{o.t.Context(), time.Now().Add(outageWait)}, tallies.Ref(o.host, "passive"), wrapperspb.Int64(1))
	if !errors.Is(err, entity.ErrUnavailable) || errors.Is(err, entity.ErrBusy) {
		o.t.Errorf("a command to a passive entity: %v, want it to be unavailable", err)
	}
}

// fillQueue sends more commands than the queue holds. Those beyond it are told busy before anybody's deadline: no
// deadline begins until one of them was told.
func (o *outage) fillQueue() {
	waiting, giveUp := context.WithCancel(o.t.Context())
	defer giveUp()
	var calls sync.WaitGroup
	busy := make(chan struct{}, outageCommands)
	for n := range outageCommands {
		calls.Go(func() {
			err := o.send(patient{waiting, time.Now().Add(time.Minute)}, n)
			if errors.Is(err, entity.ErrBusy) {
				busy <- struct{}{}
			}
			o.mu.Lock()
			defer o.mu.Unlock()
			o.told[n] = err
		})
	}
	for range outageCommands - outageQueue {
		select {
		case <-busy:
		case <-time.After(50 * time.Second): // before any deadline
			o.t.Error("the queue is full, and callers wait")
		}
	}
	time.AfterFunc(outageWait, giveUp)
	calls.Wait()
	kinds := map[string]int{}
	for n, err := range o.told {
		switch {
		case errors.Is(err, entity.ErrBusy):
			kinds["busy"]++
		case errors.Is(err, entity.ErrUnavailable):
			kinds["unavailable"]++
		case errors.Is(err, entity.ErrUnknownOutcome):
			kinds["unknown"]++
		default:
			o.t.Errorf("command %d: %v, while the journal answers nothing", n, err)
		}
	}
	o.t.Log(kinds)
	if kinds["busy"] < outageCommands-outageQueue || kinds["unknown"] == 0 {
		o.t.Errorf("%v: with a queue of %d, %d of %d must be told busy, and some unknown", kinds, outageQueue, outageCommands-outageQueue, outageCommands)
	}
}

// goesOn: what was unavailable has not happened, and what was unknown happens once if it is sent again.
func (o *outage) goesOn() {
	want := int64(1) << outageCommands
	for n, err := range o.told {
		if !errors.Is(err, entity.ErrUnknownOutcome) {
			continue
		}
		want |= 1 << n
		if err := o.sendUntilTaken(n); err != nil {
			o.t.Errorf("command %d, again: %v", n, err)
		}
	}
	got, err := sum.Ask(long(o.t), tallies.Ref(o.host, "a"), &emptypb.Empty{})
	if err != nil || got.GetValue() != want {
		o.t.Errorf("the sum is %b, %v; want %b", got.GetValue(), err, want)
	}
}

func (o *outage) sendUntilTaken(n int) (err error) {
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		err = o.send(ctx, n)
		if !errors.Is(err, entity.ErrUnavailable) && !errors.Is(err, entity.ErrUnknownOutcome) {
			return err
		}
		<-time.After(10 * time.Millisecond) // the journal is on its way back
	}
	return err
}
