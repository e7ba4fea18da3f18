package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// ownedBy is what a node knows when that process owns shard 0 and is a member.
func ownedBy(owner string) *routes {
	r := newRoutes("a-1", 1)
	v := NewView(Identity{Cluster: "c", Shards: 1}).WithMembers([]Member{{Node: "b", Incarnation: owner, Peer: "b", Weight: 1, Ready: true}})
	r.see(v, Place(v))
	r.learn(0, owner, 3)
	return r
}

var unreachable = &entity.Error{Kind: entity.ErrUnavailable, Cause: transport.ErrUnreachable}

func TestATripThatReachesNobodyBacksOffAlthoughItTriesAWayAround(t *testing.T) {
	t.Parallel()
	r, trip := ownedBy("b-1"), newTrip(0, entity.Request{})
	tried, _, _, _ := r.to(0)
	var pauses []time.Duration
	for range 8 {
		if trip.judge(r, unreachable) {
			t.Fatal("that nothing was sent is not the last word")
		}
		pauses = append(pauses, trip.again(r, tried))
	}
	for i, pause := range pauses {
		if around := i%2 == 0; around != (pause == 0) || i >= 3 && !around && pause <= pauses[i-2] {
			t.Errorf("the pauses are %v: each second one, after the way around, must be longer than the one before", pauses)
			break
		}
	}
	trip.nowhere()
	if pause := trip.again(newRoutes("a-1", 1), tried); pause == 0 {
		t.Error("where there is nobody to send to, it tries again without a pause")
	}
}

func TestATripEndsUnknownOnceAnAttemptMayHaveRun(t *testing.T) {
	t.Parallel()
	unknown := &entity.Error{Kind: entity.ErrUnknownOutcome}
	busy := &entity.Error{Kind: entity.ErrBusy}
	r, trip := ownedBy("b-1"), newTrip(0, entity.Request{})
	if trip.judge(r, unknown) || trip.judge(r, busy) {
		t.Error("unavailable is the last word, though an attempt before may have run")
	}
	if err := trip.giveUp(nil); !errors.Is(err, entity.ErrUnknownOutcome) {
		t.Errorf("it gives up with %v", err)
	}
	if !trip.judge(r, &entity.Rejection{Code: "no"}) {
		t.Error("a rejection of a later attempt is stored, so it is the last word")
	}
	if !newTrip(0, entity.Request{}).judge(r, busy) {
		t.Error("unavailable is the last word where nothing may have run")
	}
}

func TestAHostThatHasForgottenSendsCommandsWhereItsNodeKnows(t *testing.T) {
	t.Parallel()
	var moved *transport.Moved
	a := answerOf(ownedBy("b-1"), nil, &entity.MovedError{Shard: 0})
	if !errors.As(a.Err, &moved) || moved.Node != "b-1" || moved.Epoch != 3 {
		t.Errorf("the answer is %+v", a.Err)
	}
	a = answerOf(ownedBy("b-1"), nil, &entity.MovedError{Shard: 0, Owner: "c-1", Epoch: 4})
	if !errors.As(a.Err, &moved) || moved.Node != "c-1" || moved.Epoch != 4 {
		t.Errorf("the host knows better, and the answer is %+v", a.Err)
	}
}
