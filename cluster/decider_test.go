package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// deciding is one node's decider among members that the test invents.
type deciding struct {
	*decider
	t   *testing.T
	at  int64
	all []Member
}

// decides returns the decider of member a of a cluster of these nodes, all ready.
func decides(t *testing.T, shards int, nodes ...string) *deciding {
	t.Helper()
	w := &deciding{t: t, at: int64(time.Hour)}
	for i, node := range nodes {
		w.all = append(w.all, Member{Node: node, Incarnation: node + "-1", Peer: node + ":1", Weight: 1, StartedMillis: int64(i + 1), Ready: true})
	}
	w.decider = newDecider(Identity{Cluster: "test", Shards: shards}, w.all[0])
	w.membership(w.at, Membership{Members: w.all})
	return w
}

// told returns the orders of a kind.
func (w *deciding) told(kind orderKind) (found []order) {
	w.tick(w.at)
	for _, o := range w.take(w.at) {
		if o.kind == kind {
			found = append(found, o)
		}
	}
	return found
}

// owns has all shards claimed by where they belong, as each owner tells.
func (w *deciding) owns() {
	for number := range uint32(w.identity.Shards) { //nolint:gosec // few
		owner := w.steward.table.Of(int(number)).Node + "-1"
		if owner == w.self.Incarnation {
			w.happened(w.at, entity.Ownership{Shard: number, State: entity.Serving, Owner: owner, Epoch: 1})
			continue
		}
		w.noted(w.at, note{subject: subjectOwned, from: owner, claims: []*wirev1.Claim{{Shard: number, Owner: owner, Epoch: 1}}})
	}
	w.take(w.at)
}

func (w *deciding) without(node string) []Member {
	return slices.DeleteFunc(slices.Clone(w.all), func(m Member) bool { return m.Node == node })
}

func (w *deciding) lost(node string) Membership {
	m := Membership{Members: w.without(node)}
	for _, x := range w.all {
		if x.Node == node {
			m.Lost = append(m.Lost, x)
		}
	}
	return m
}

func TestTheShardsOfAProcessThatRefusesConnectionsAreClaimedAtOnce(t *testing.T) {
	t.Parallel()
	w := decides(t, 16, "a", "b")
	w.owns()
	w.refused(w.at, "b-1")
	orders := w.take(w.at)
	claims := slices.DeleteFunc(slices.Clone(orders), func(o order) bool { return o.kind != orderClaim })
	if len(claims) == 0 || len(claims) > 16 || w.fate("b-1") != gone {
		t.Fatalf("%d claims, fate %d", len(claims), w.fate("b-1"))
	}
	if !slices.ContainsFunc(orders, func(o order) bool { return o.kind == orderTellGone && o.to == "b-1" }) {
		t.Error("nobody else is told to look")
	}
	w.refused(w.at, "b-1")
	if again := w.told(orderTellGone); len(again) != 0 {
		t.Error("the others are told twice")
	}
}

func TestARefusalStandsUntilGossipHasNoticedAndThenForGood(t *testing.T) {
	t.Parallel()
	w := decides(t, 16, "a", "b")
	w.refused(w.at, "b-1")
	w.at += int64(2 * time.Second)
	w.membership(w.at, w.lost("b"))
	w.at += int64(time.Minute)
	w.tick(w.at)
	if f := w.fate("b-1"); f != gone {
		t.Errorf("the fate is %d: gossip and the sockets agree, nothing else need be asked", f)
	}
}

func TestARefusalThatGossipDoesNotConfirmIsForgotten(t *testing.T) {
	t.Parallel()
	w := decides(t, 16, "a", "b")
	w.refused(w.at, "b-1")
	if len(w.view.Members()) != 1 {
		t.Fatal("it is in the view still")
	}
	at, end := w.wake(), w.at+int64(refusedFor)
	for at < end { // what else is due comes first
		w.at = at
		w.tick(w.at)
		w.take(w.at)
		if w.reading {
			w.ordersRead(w.at, orders{}, nil)
		}
		if w.witness.reading {
			w.rowsRead(w.at, rowsRead{err: errors.New("away")})
		}
		at = w.wake()
	}
	w.at = at
	w.tick(w.at)
	if len(w.view.Members()) != 2 || w.fate("b-1") != present {
		t.Errorf("members %v, fate %d", w.view, w.fate("b-1"))
	}
}

func TestWhoFencesAfterItRefusedIsDoubtedNoMore(t *testing.T) {
	t.Parallel()
	w := decides(t, 16, "a", "b")
	w.owns()
	w.refused(w.at, "b-1")
	w.happened(w.at, entity.Ownership{Shard: 1, State: entity.Fenced, Owner: "b-1", Epoch: 7})
	if w.fate("b-1") != present || len(w.view.Members()) != 2 {
		t.Fatal("it wrote to a log: it lives")
	}
	w.refused(w.at, "b-1")
	if w.fate("b-1") != present {
		t.Error("something refuses in its name: that tells nothing any more")
	}
	w.at += int64(doubtFor)
	w.membership(w.at, w.known)
	if w.refused(w.at, "b-1"); w.fate("b-1") != gone {
		t.Error("after a while a refusal counts again")
	}
}

func TestANodeIsReadyWhenItsRowIsInTheJournal(t *testing.T) {
	t.Parallel()
	w := decides(t, 4, "a")
	w.self.Ready = false
	w.stored()
	if len(w.told(orderAnnounce)) != 1 || !w.self.Ready {
		t.Error("it does not say that it is ready")
	}
	w.stored()
	w.journalLost(false)
	if len(w.told(orderAnnounce)) != 0 {
		t.Error("nothing has changed")
	}
	w.journalLost(true)
	if len(w.told(orderAnnounce)) != 1 || !w.self.JournalLost {
		t.Error("it does not say that the journal is lost")
	}
}

// A node that nobody can talk to, for its certificate is wrong, would own shards that nobody reaches.
func TestANodeAmongOthersIsReadyWhenOneHasAnsweredIt(t *testing.T) {
	t.Parallel()
	w := decides(t, 4, "a", "b")
	w.all[0].Ready, w.self.Ready = false, false
	w.membership(w.at, Membership{Members: w.all})
	w.stored()
	if w.self.Ready {
		t.Fatal("nobody has answered it")
	}
	w.take(w.at)
	w.at += int64(meetPause)
	if len(w.told(orderWatchRing)) != 1 {
		t.Error("it does not try again")
	}
	w.answered()
	if !w.self.Ready || len(w.told(orderAnnounce)) != 1 {
		t.Error("it is answered and not ready")
	}
	lonely := decides(t, 4, "a", "b")
	lonely.all[0].Ready, lonely.self.Ready = false, false
	lonely.membership(lonely.at, Membership{Members: lonely.all})
	lonely.stored()
	lonely.membership(lonely.at, lonely.lost("b"))
	if !lonely.self.Ready {
		t.Error("those that were ready have gone: it must not wait for them")
	}
}

func TestOrdersAreReadAtOnceWhenTheyHaveChangedAndNeverTwiceAtATime(t *testing.T) {
	t.Parallel()
	w := decides(t, 4, "a", "b")
	if len(w.told(orderReadOrders)) != 1 {
		t.Fatal("they are not read at the start")
	}
	w.ordersStale(w.at)
	if len(w.told(orderReadOrders)) != 0 {
		t.Error("a reading is under way")
	}
	w.ordersRead(w.at, orders{drains: []string{"b"}}, nil)
	if len(w.told(orderReadOrders)) != 1 {
		t.Error("what changed while they were read is not looked at")
	}
	if !w.view.Drained("b") {
		t.Error("the drain is not in the view")
	}
	w.ordersRead(w.at, orders{}, errors.New("the journal is away"))
	if !w.view.Drained("b") {
		t.Error("a reading that failed has changed the orders")
	}
}

func TestANodeThatLeavesIsFreeWhenItHasNothingOrNobodyToGiveItTo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		nodes []string
		free  bool
	}{{"alone", []string{"a"}, true}, {"among others", []string{"a", "b"}, false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := decides(t, 8, c.nodes...)
			w.owns()
			if w.isFree() {
				t.Error("it does not leave yet")
			}
			w.leave()
			w.all[0].Leaving = true
			w.membership(w.at, Membership{Members: w.all})
			if w.isFree() != c.free {
				t.Errorf("free: %v", w.isFree())
			}
			for number := range uint32(8) {
				w.happened(w.at, entity.Ownership{Shard: number, State: entity.Fenced, Owner: "b-1", Epoch: 2})
			}
			if !w.isFree() {
				t.Error("it serves nothing any more")
			}
		})
	}
}

// A host that is dropping what it had prepared loses what it is told meanwhile.
func TestWhatAHostWasToldWhileItDroppedAShardIsToldAgain(t *testing.T) {
	t.Parallel()
	w := decides(t, 1, "a")
	if len(w.told(orderPrepare)) != 1 {
		t.Fatal("the shard is not taken")
	}
	w.happened(w.at, entity.Ownership{State: entity.Abandoned})
	if len(w.told(orderPrepare)) != 1 {
		t.Error("it is not told to prepare again")
	}
	w.happened(w.at, entity.Ownership{State: entity.Prepared})
	w.take(w.at)
	w.happened(w.at, entity.Ownership{State: entity.Abandoned})
	if len(w.told(orderClaim)) != 1 {
		t.Error("it is not told to claim again")
	}
}

func TestEachMemberIsWatchedByTwoOthers(t *testing.T) {
	t.Parallel()
	w := decides(t, 1, "a", "b", "c", "d", "e")
	watched := map[string]int{}
	for _, m := range w.all {
		for _, x := range ring(w.all, m.Incarnation) {
			watched[x.Incarnation]++
		}
	}
	for _, m := range w.all {
		if watched[m.Incarnation] != ringWidth {
			t.Errorf("%s is watched by %d", m.Node, watched[m.Incarnation])
		}
	}
	if alone := ring(w.all[:1], "a-1"); len(alone) != 0 {
		t.Errorf("a node alone watches %v", alone)
	}
}

// Behind a cut the members that are not heard any more are members still for seconds, and they may be the larger side.
func TestAnOwnerThatNothingIsHeardOfIsNotOvertakenAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		silent bool
		asks   int
	}{{"it is heard and does not answer", false, 1}, {"nothing is heard of it", true, maxAsks}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := decides(t, 1, "a", "b")
			w.ordersRead(w.at, orders{pins: []Pin{{Shard: 0, Node: "a"}}}, nil)
			w.noted(w.at, note{subject: subjectOwned, from: "b-1", claims: []*wirev1.Claim{{Owner: "b-1", Epoch: 1}}})
			w.take(w.at)
			w.happened(w.at, entity.Ownership{State: entity.Prepared, Owner: "b-1", Epoch: 1})
			asks := 0
			for range 2 * maxAsks {
				if c.silent {
					w.silent(w.at, "b-1")
				}
				w.tick(w.at)
				for _, o := range w.take(w.at) {
					switch o.kind {
					case sendYield:
						asks++
					case orderClaim:
						if asks != c.asks {
							t.Errorf("it was overtaken after %d questions, not %d", asks, c.asks)
						}
						return
					}
				}
				w.at += int64(askPatience)
			}
			t.Error("it is not overtaken at all")
		})
	}
}
