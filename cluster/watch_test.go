package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
)

func TestWatcherThatIsSlowIsToldHowMuchItMissed(t *testing.T) {
	t.Parallel()
	e := newEvents()
	const all = 3*maxEvents + 7
	for range all {
		e.publish(event{kind: eventView})
	}
	found, missed, _ := e.after(5)
	if want := uint64(all - maxEvents - 5); missed != want || len(found) != maxTold {
		t.Fatalf("%d events are told and %d missed, want %d and %d", len(found), missed, maxTold, want)
	}
	told := 0
	for at := uint64(5); ; {
		found, missed, _ := e.after(at)
		if len(found) == 0 {
			break
		}
		for _, x := range found {
			if x.number != at+missed+1 {
				t.Fatalf("event %d follows %d, with %d missed", x.number, at, missed)
			}
			at, missed = x.number, 0
			told++
		}
	}
	if told != maxEvents {
		t.Errorf("%d events were told, want the newest %d", told, maxEvents)
	}
}

func TestNumbersBeyondTheNewestAreOfAnotherProcess(t *testing.T) {
	t.Parallel()
	e := newEvents()
	e.publish(event{kind: eventView})
	if found, missed, _ := e.after(900); len(found) != 1 || missed != 0 {
		t.Errorf("%d events, %d missed; want all there are", len(found), missed)
	}
}

func TestEachWatcherSeesEachEventOnceWhileTheyCome(t *testing.T) {
	t.Parallel()
	e := newEvents()
	const all = maxEvents / 2
	var watching sync.WaitGroup
	for range 4 {
		watching.Go(func() {
			for at := uint64(0); at < all; {
				found, missed, changed := e.after(at)
				if missed > 0 {
					t.Errorf("%d were missed", missed)
					return
				}
				for _, x := range found {
					if x.number != at+1 {
						t.Errorf("event %d follows %d", x.number, at)
					}
					at = x.number
				}
				if len(found) == 0 {
					<-changed
				}
			}
		})
	}
	for range all {
		e.publish(event{kind: eventView})
	}
	watching.Wait()
}

// kinds are those of the events so far.
func kinds(c *chronicle) (all []eventKind) {
	found, _, _ := c.events.after(0)
	for _, x := range found {
		all = append(all, x.kind)
	}
	return all
}

func wantKinds(t *testing.T, c *chronicle, want ...eventKind) {
	t.Helper()
	got := kinds(c)
	if len(got) != len(want) {
		t.Fatalf("the events are %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("the events are %v, want %v", got, want)
		}
	}
}

func TestChronicleTellsWhoComesGoesAndChanges(t *testing.T) {
	t.Parallel()
	c := newChronicle("a-1", 4)
	a, b := Member{Node: "a", Incarnation: "a-1"}, Member{Node: "b", Incarnation: "b-1"}
	ready := b
	ready.Ready = true
	c.look(Membership{Members: []Member{a, b}})
	c.look(Membership{Members: []Member{a, ready}})
	c.look(Membership{Members: []Member{a}, Lost: []Member{ready}})
	c.look(Membership{Members: []Member{a, ready}})
	c.look(Membership{Members: []Member{a, ready}})
	c.look(Membership{Members: []Member{a}})
	wantKinds(t, c, eventJoined, eventJoined, eventChanged, eventLost, eventBack, eventLeft)
}

func TestChronicleCountsThePauseOfAMoveOnBothSides(t *testing.T) {
	t.Parallel()
	s := newSteward(Member{Node: "a", Incarnation: "a-1"}, 2, func(string) fate { return present })
	taker := newChronicle("a-1", 2)
	taker.ordered(order{kind: orderPrepare}, s)
	taker.happened(entity.Ownership{State: entity.Prepared})
	taker.ordered(order{kind: sendYield, to: "b-1"}, s)
	taker.ordered(order{kind: orderClaim}, s)
	taker.happened(entity.Ownership{State: entity.Serving, Owner: "a-1", Epoch: 2})
	wantKinds(t, taker, eventPrepared, eventAsking, eventClaimed)

	s.shards[1].yieldsTo = "c-1"
	giver := newChronicle("a-1", 2)
	giver.ordered(order{kind: orderYield, shard: 1}, s)
	giver.ordered(order{kind: orderYield, shard: 1}, s) // it is asked again
	giver.happened(entity.Ownership{Shard: 1, State: entity.Yielded})
	giver.happened(entity.Ownership{Shard: 1, State: entity.Fenced, Owner: "c-1", Epoch: 3})
	wantKinds(t, giver, eventYielding, eventYielded, eventFenced)

	for name, c := range map[string]*chronicle{"taker": taker, "giver": giver} {
		found, _, _ := c.events.after(2)
		if found[0].pause <= 0 || found[0].pause > time.Minute {
			t.Errorf("the %s tells of a pause of %v", name, found[0].pause)
		}
	}
}

func TestNamesOfProcessesAreToldAsNodes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{NewIncarnation("n-1"): "n-1", "n-1": "n-1", "": ""} {
		if got := nodeOf(in); got != want {
			t.Errorf("the node of %q is %q, want %q", in, got, want)
		}
	}
}
