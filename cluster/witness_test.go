package cluster

import (
	"fmt"
	"testing"
	"time"
)

// decided is how long after a change all is told: 2.4 s until the last node's gossip has noticed, 2 s for rows to be renewed,
// and what readings take.
const decided = 6 * time.Second

func TestWitnessTellsCrashesFromPartitions(t *testing.T) {
	t.Parallel()
	stories := []struct {
		name  string
		nodes int
		tell  func(w *witnessWorld)
	}{
		{"a crash: the rows stand still", 3, func(w *witnessWorld) {
			w.crash(2)
			w.run(decided)
			w.expect("0: 2 gone; 1: 2 gone")
		}},
		{"survivors take over, however few they are and whoever is the oldest", 5, func(w *witnessWorld) {
			w.crash(0, 1, 2, 3)
			w.run(decided)
			w.expect("4: 0 gone, 1 gone, 2 gone, 3 gone")
		}},
		{"a restart behind a cut: another incarnation at its address", 2, func(w *witnessWorld) {
			w.cut([]int{0}, []int{1})
			w.crash(1)
			w.run(time.Second)
			w.start(1)
			w.run(1500 * time.Millisecond)
			if f := w.fateOf(0, "n1-1"); f != gone {
				w.t.Errorf("the process that ended has the fate %d", f)
			}
		}},
		{"a pause, and the wake", 3, func(w *witnessWorld) {
			w.pause(0)
			w.run(5 * time.Second)
			w.expect("1: 0 gone; 2: 0 gone")
			w.wake(0)
			w.run(time.Second)
			w.expect("")
		}},
		{"a pause that gossip does not notice", 3, func(w *witnessWorld) {
			w.pause(0)
			w.run(1500 * time.Millisecond)
			w.wake(0)
			w.run(decided)
			w.expect("")
		}},
		{"3 and 2: the larger side claims, and the smaller one nothing", 5, func(w *witnessWorld) {
			w.cut([]int{0, 1}, []int{2, 3, 4})
			w.run(decided)
			w.expect("0: 2 apart, 3 apart, 4 apart; 1: 2 apart, 3 apart, 4 apart; 2: 0 gone, 1 gone; 3: 0 gone, 1 gone; 4: 0 gone, 1 gone")
		}},
		{"2 and 2: the oldest's side claims", 4, func(w *witnessWorld) {
			w.cut([]int{0, 2}, []int{1, 3})
			w.run(decided)
			w.expect("0: 1 gone, 3 gone; 1: 0 apart, 2 apart; 2: 1 gone, 3 gone; 3: 0 apart, 2 apart")
		}},
		{"1 and 1: the oldest claims", 2, func(w *witnessWorld) {
			w.cut([]int{0}, []int{1})
			w.run(decided)
			w.expect("0: 1 gone; 1: 0 apart")
		}},
		{"1 and 1, then the oldest crashes", 2, func(w *witnessWorld) {
			w.cut([]int{0}, []int{1})
			w.run(decided)
			w.crash(0)
			w.run(decided)
			w.expect("1: 0 gone")
		}},
		{"1 and 1, the oldest is paused and wakes", 2, func(w *witnessWorld) {
			w.cut([]int{0}, []int{1})
			w.run(decided)
			w.pause(0)
			w.run(decided)
			w.expect("1: 0 gone")
			w.wake(0)
			w.nodes[1].witness.lives(w.now, w.nodes[0].self.Incarnation) // it fences node 1
			w.run(decided)
			w.expect("0: 1 gone; 1: 0 apart")
		}},
		{"a bridge: who is linked to two sides counts for the oldest's", 3, func(w *witnessWorld) {
			w.unlink(0, 2)
			w.run(decided)
			w.expect("0: 2 gone; 2: 0 apart")
		}},
		{"the bridge is the oldest: it counts for the older of the others", 3, func(w *witnessWorld) {
			w.unlink(1, 2)
			w.run(decided)
			w.expect("1: 2 gone; 2: 1 apart")
		}},
		{"one does not hear the other", 3, func(w *witnessWorld) {
			w.deafen(2, 0)
			w.run(decided)
			w.expect("2: 0 apart")
		}},
		{"the oldest is deaf to one", 3, func(w *witnessWorld) {
			w.deafen(0, 2)
			w.run(decided)
			w.expect("0: 2 gone")
		}},
		{"three sides", 6, func(w *witnessWorld) {
			w.cut([]int{0, 5}, []int{1, 2, 3, 4})
			w.cut([]int{1}, []int{2, 3, 4})
			w.run(decided)
			w.expect("0: 1 apart, 2 apart, 3 apart, 4 apart; 1: 0 apart, 2 apart, 3 apart, 4 apart, 5 apart; " +
				"2: 0 gone, 1 gone, 5 gone; 3: 0 gone, 1 gone, 5 gone; 4: 0 gone, 1 gone, 5 gone; 5: 1 apart, 2 apart, 3 apart, 4 apart")
		}},
		{"a crash beyond a partition is left to the side that claims", 5, func(w *witnessWorld) {
			w.cut([]int{0, 1}, []int{2, 3, 4})
			w.run(decided)
			w.crash(1)
			w.run(decided)
			w.expect("0: 1 apart, 2 apart, 3 apart, 4 apart; 2: 0 gone, 1 gone; 3: 0 gone, 1 gone; 4: 0 gone, 1 gone")
		}},
		{"the larger side shrinks without a word to us: it does not claim any more", 5, func(w *witnessWorld) {
			w.cut([]int{0, 1}, []int{2, 3, 4})
			w.run(decided)
			w.journalAway(3)
			w.run(decided)
			for _, i := range []int{0, 1} {
				if f := w.fate(i, 2); f != gone {
					w.t.Errorf("node 2 has the fate %d on node %d", f, i)
				}
				if f := w.fate(2, i); f != apart {
					w.t.Errorf("node %d has the fate %d on node 2", i, f)
				}
			}
		}},
		{"gateways do not count", 5, func(w *witnessWorld) {
			for i := 2; i < 5; i++ {
				w.nodes[i].self.Weight = 0
				w.start(i)
			}
			w.run(time.Second)
			w.cut([]int{0}, []int{1, 2, 3, 4})
			w.run(decided)
			w.expect("0: 1 gone, 2 gone, 3 gone, 4 gone; 1: 0 apart; 2: 0 apart; 3: 0 apart; 4: 0 apart")
		}},
		{"a partition, and the journal is away for one of the larger side: it is on no side", 3, func(w *witnessWorld) {
			w.journalAway(1)
			w.run(3 * time.Second)
			w.cut([]int{0, 1}, []int{2})
			w.run(decided)
			w.expect("0: 2 gone; 1: 2 unsure; 2: 0 apart, 1 apart")
		}},
		{"a crash while the journal is away for all: nothing is decided before it is back", 3, func(w *witnessWorld) {
			for i := range w.nodes {
				w.journalAway(i)
			}
			w.crash(2)
			w.run(20 * time.Second)
			w.expect("0: 2 unsure; 1: 2 unsure")
			w.journalBack(0)
			w.journalBack(1)
			w.run(decided)
			w.expect("0: 2 gone; 1: 2 gone")
		}},
		{"a partition, and the journal is away for all: who lives beyond it is unknown again", 2, func(w *witnessWorld) {
			w.cut([]int{0}, []int{1})
			w.run(decided)
			for i := range w.nodes {
				w.journalAway(i)
			}
			w.run(decided)
			w.expect("0: 1 unsure; 1: 0 unsure")
			for i := range w.nodes {
				w.journalBack(i)
			}
			w.run(decided)
			w.expect("0: 1 gone; 1: 0 apart")
		}},
		{"everything heals", 5, func(w *witnessWorld) {
			w.cut([]int{0, 1}, []int{2, 3, 4})
			w.unlink(3, 4)
			w.deafen(0, 1)
			w.run(decided)
			w.heal()
			w.run(time.Second)
			w.expect("")
			reads := w.readings()
			w.run(10 * time.Second)
			if w.readings() != reads {
				w.t.Error("rows are read although all is well")
			}
		}},
		{"flapping gossip: a member is never thought gone", 3, func(w *witnessWorld) {
			for range 5 {
				w.unlink(1, 2)
				w.run(2500 * time.Millisecond)
				w.heal()
				w.run(100 * time.Millisecond)
				w.expect("")
			}
		}},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				w := newWitnessWorld(t, seed, s.nodes)
				w.run(2 * time.Second)
				s.tell(w)
			}
		})
	}
}

func TestNothingIsReadWhileNobodyIsLost(t *testing.T) {
	t.Parallel()
	w := newWitnessWorld(t, 1, 5)
	w.run(time.Minute)
	if n := w.readings(); n > 0 {
		t.Errorf("%d readings", n)
	}
	w.crash(4)
	w.run(decided)
	reads := w.readings()
	w.run(time.Minute)
	if n := w.readings(); n != reads || reads == 0 {
		t.Errorf("%d readings, %d more when all was known", reads, n-reads)
	}
}

func TestVerdictIsThereWithGossipsWhereTheTransportSawSilence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w := newWitnessWorld(t, seed, 3)
		w.hints = true
		w.run(2 * time.Second)
		w.pause(0)
		for w.fate(1, 0) == present {
			w.run(time.Duration(worldStep))
		}
		after := w.now
		for w.fate(1, 0) != gone {
			w.run(time.Duration(worldStep))
		}
		if late := time.Duration(w.now - after); late > readPause+100*time.Millisecond {
			t.Fatalf("seed %d: the verdict came %v after gossip's", seed, late)
		}
	}
}

func TestSuspicionOfAMemberPasses(t *testing.T) {
	t.Parallel()
	w := newWitnessWorld(t, 1, 2)
	w.run(time.Second)
	w.nodes[0].witness.suspect(w.now, w.nodes[1].self.Incarnation)
	w.run(10 * time.Second)
	if reads, most := w.nodes[0].reads, int(suspectFor/readPause)+1; reads == 0 || reads > most {
		t.Errorf("%d readings, at most %d were expected", reads, most)
	}
	w.expect("")
}

func TestSlowJournalIsNobodysDeath(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w := newWitnessWorld(t, seed, 2)
		w.run(2 * time.Second)
		w.slow = int64(rowPatience / 2)
		w.cut([]int{0}, []int{1})
		for range 200 {
			w.run(100 * time.Millisecond)
			if w.fate(1, 0) == gone {
				t.Fatalf("seed %d: the oldest lives and is called gone after %v", seed, time.Duration(w.now)-time.Hour)
			}
		}
	}
}

func TestProcessThatWasNeverHeardOf(t *testing.T) {
	t.Parallel()
	w := newWitnessWorld(t, 1, 2)
	w.run(2 * time.Second)
	if f := w.fateOf(0, "x-1"); f != unsure {
		t.Errorf("before a reading its fate is %d", f)
	}
	w.run(100 * time.Millisecond)
	if f := w.fateOf(0, "x-1"); f != gone {
		t.Errorf("without a row its fate is %d", f)
	}
	t.Run("it is a member of the other side", func(t *testing.T) {
		w := newWitnessWorld(t, 1, 4)
		for i := range 3 {
			w.unlink(3, i)
		}
		for i := range w.nodes { // the four start as two clusters
			w.start(i)
		}
		w.run(2 * time.Second)
		w.expect("0: 3 unsure; 1: 3 unsure; 2: 3 unsure; 3: 0 unsure, 1 unsure, 2 unsure")
		w.run(decided)
		w.expect("0: 3 gone; 1: 3 gone; 2: 3 gone; 3: 0 apart, 1 apart, 2 apart")
	})
	t.Run("gossip tells of it later", func(t *testing.T) {
		w := newWitnessWorld(t, 1, 2)
		w.unlink(0, 1)
		w.start(0)
		w.start(1)
		w.run(2 * time.Second)
		w.expect("0: 1 unsure; 1: 0 unsure")
		w.heal()
		w.run(100 * time.Millisecond)
		w.expect("")
	})
	t.Run("it was gone, and then fences", func(t *testing.T) {
		x := w.nodes[0].witness
		x.lives(w.now, "x-1")
		if f := w.fateOf(0, "x-1"); f != unsure {
			t.Errorf("its fate is %d", f)
		}
		w.run(time.Second)
		if f := w.fateOf(0, "x-1"); f != gone {
			t.Errorf("its fate is %d in the end", f)
		}
	})
	t.Run("a reading that began before it was asked for says nothing", func(t *testing.T) {
		x := newWitness(Member{Incarnation: "a-1"})
		own := []Witness{{Address: "a", Incarnation: "a-1", Beat: 1}}
		x.begin(5)
		x.see(6, Membership{})
		x.fate("b-1")
		x.read(7, own)
		if f := x.fate("b-1"); f != unsure {
			t.Errorf("its fate is %d", f)
		}
		x.begin(8)
		x.read(9, own)
		if f := x.fate("b-1"); f != gone {
			t.Errorf("its fate is %d", f)
		}
	})
	t.Run("it has left", func(t *testing.T) {
		x := newWitness(Member{Incarnation: "a-1"})
		x.see(1, Membership{Members: []Member{{Incarnation: "a-1"}, {Incarnation: "b-1"}}})
		x.see(2, Membership{Members: []Member{{Incarnation: "a-1"}}})
		if f := x.fate("b-1"); f != gone {
			t.Errorf("its fate is %d", f)
		}
		if _, ok := x.due(); ok {
			t.Error("rows are to be read")
		}
	})
}

// TestMinorityNeverClaims looks at each moment, also while some nodes have noticed a partition and others have not.
func TestMinorityNeverClaims(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		w := newWitnessWorld(t, seed, 3+int(seed%4)) //nolint:gosec // a small number
		if seed%2 == 0 {                             // with hints it may take longer until all are noticed
			w.hints, w.spread = true, int64(1500*time.Millisecond)
		}
		for i := range w.nodes {
			w.start(i)
		}
		w.run(2 * time.Second)
		order := w.r.Perm(len(w.nodes))
		few := 1 + w.r.IntN((len(w.nodes)-1)/2)
		w.cut(order[:few], order[few:])
		for until := w.now + int64(decided); w.now < until; {
			w.run(time.Duration(worldStep))
			for _, i := range order[:few] {
				for _, j := range order[few:] {
					if w.fate(i, j) == gone {
						t.Fatalf("seed %d: %d of %v claims from the others after %v", seed, i, order[:few], time.Duration(w.now)-time.Hour)
					}
				}
			}
		}
	}
}

func TestOutageOfTheJournalIsNobodysDeath(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w := newWitnessWorld(t, seed, 2)
		w.run(2 * time.Second)
		w.hang = 0
		w.cut([]int{0}, []int{1})
		w.run(time.Second)
		for range 3 {
			for i := range w.nodes {
				w.journalAway(i)
			}
			w.run(5 * time.Second)
			w.journalBack(1)
			w.run(350 * time.Millisecond)
			w.journalBack(0)
			for range 30 {
				w.run(100 * time.Millisecond)
				if w.fate(1, 0) == gone {
					t.Fatalf("seed %d: the oldest lives and is called gone after %v", seed, time.Duration(w.now)-time.Hour)
				}
			}
		}
	}
}

func TestWhoIsGoneStaysGoneWhenRowsAreReadForAnother(t *testing.T) {
	t.Parallel()
	w := newWitnessWorld(t, 1, 4)
	w.run(2 * time.Second)
	w.crash(3)
	w.run(decided)
	w.crash(2)
	w.unlink(0, 1)
	for until := w.now + int64(decided); w.now < until; {
		w.run(time.Duration(worldStep))
		if f := w.fate(0, 3); f != gone {
			t.Fatalf("its fate is %d", f)
		}
	}
}

func TestCasesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWitness(Member{Incarnation: "a-1"})
	w.see(1, Membership{Members: []Member{{Incarnation: "a-1"}}})
	for i := range maxCases + 10 {
		w.fate(fmt.Sprint("x-", i))
	}
	if len(w.cases) > maxCases {
		t.Errorf("%d cases", len(w.cases))
	}
	if f := w.fate("one more"); f != gone {
		t.Errorf("beyond the limit the fate is %d", f)
	}
	w.begin(2)
	w.read(3, []Witness{{Address: "a", Incarnation: "a-1", Beat: 1}})
	if f := w.fate("another"); f != unsure || len(w.cases) != 1 {
		t.Errorf("the fate is %d and there are %d cases although all old ones are decided", f, len(w.cases))
	}
}

func TestReadingWithoutOurOwnRowDecidesNothing(t *testing.T) {
	t.Parallel()
	rows := map[string][]Witness{
		"missing":         {},
		"another process": {{Address: "n0", Incarnation: "n0-9", Beat: 1}},
		"not renewed":     {{Address: "n0", Incarnation: "n0-1", Beat: 1}, {Address: "n1", Incarnation: "n1-1", Beat: 1}},
	}
	for name, rows := range rows {
		w := newWitness(Member{Node: "n0", Incarnation: "n0-1", Weight: 1})
		w.see(1, Membership{Lost: []Member{{Node: "n1", Incarnation: "n1-1"}}})
		for now := int64(time.Second); now < int64(20*time.Second); now += int64(readPause) {
			w.begin(now)
			w.read(now+1, rows)
		}
		if f := w.fate("n1-1"); f != unsure {
			t.Errorf("our row is %s: the fate is %d", name, f)
		}
	}
}

// TestAtMostOneSideClaims lets chance cut links, one way or both, crash, pause, restart, heal and take the journal away. When all
// rows tell of what happened, nobody who has the journal is unsure, and no two that have lost each other may both claim.
func TestAtMostOneSideClaims(t *testing.T) {
	t.Parallel()
	worlds := 1000
	if testing.Short() {
		worlds = 40
	}
	for seed := range uint64(worlds) { //nolint:gosec // a small number
		w := newWitnessWorld(t, seed, 2+int(seed%6)) //nolint:gosec // a small number
		for _, n := range w.nodes[1:] {
			n.self.Weight = min(w.r.IntN(5), 1)
		}
		for i := range w.nodes {
			w.start(i)
		}
		w.hints = seed%2 == 0
		w.run(time.Second)
		for round := range 3 {
			what := w.mishap()
			w.run(time.Second) // a process claims, and so is asked for, after its first row
			w.picture()        // asks for all, also for those that were never heard of
			for range 7 {
				w.run(decided / 6)
				w.fence()
			}
			w.run(decided / 2)
			for range 8 {
				w.run(250 * time.Millisecond)
				if err := w.contradiction(); err != nil {
					t.Fatalf("seed %d, round %d, %s: %v\n%s", seed, round, what, err, w.picture())
				}
			}
		}
	}
}

// mishap changes some things at once.
func (w *witnessWorld) mishap() (what string) {
	if w.r.IntN(5) == 0 {
		w.heal()
		what = "heal; "
	}
	density := w.r.Float64()
	for i := range w.nodes {
		for j := range i {
			switch {
			case w.r.Float64() > density:
			case w.r.IntN(4) > 0:
				w.unlink(i, j)
				what += fmt.Sprintf("%d|%d; ", i, j)
			default:
				w.deafen(i, j)
				what += fmt.Sprintf("%d deaf to %d; ", i, j)
			}
		}
		if n := w.nodes[i]; n.crashed && w.r.IntN(3) == 0 {
			w.start(i)
			what += fmt.Sprintf("%d starts; ", i)
		} else if w.r.IntN(8) == 0 {
			w.crash(i)
			what += fmt.Sprintf("%d crashes; ", i)
		} else if w.r.IntN(10) == 0 {
			n.paused = !n.paused
			what += fmt.Sprintf("%d pauses or wakes; ", i)
		} else if w.r.IntN(10) == 0 {
			n.noJournal = !n.noJournal
			what += fmt.Sprintf("%d loses or finds the journal; ", i)
		}
	}
	return what
}

// fence has those that both claim learn of each other, as they do by their claims. It happens where a process was dead
// for all and wakes behind a cut: nobody reads its row any more.
func (w *witnessWorld) fence() {
	for i := range w.nodes {
		for j := range i {
			if w.fate(i, j) == gone && w.fate(j, i) == gone && w.claims(i) && w.claims(j) {
				w.nodes[i].witness.lives(w.now, w.nodes[j].self.Incarnation)
				w.nodes[j].witness.lives(w.now, w.nodes[i].self.Incarnation)
			}
		}
	}
}

// claims tells that a node runs and has the journal.
func (w *witnessWorld) claims(i int) bool {
	n := w.nodes[i]
	return !n.crashed && !n.paused && !n.noJournal
}

// contradiction finds what must not be when all is known.
func (w *witnessWorld) contradiction() error {
	for i := range w.nodes {
		for j := range w.nodes {
			f := w.fate(i, j)
			switch {
			case i == j || !w.claims(i):
			case f == unsure:
				return fmt.Errorf("%d is unsure of %d", i, j)
			case w.claims(j) && f == gone && w.fate(j, i) == gone:
				return fmt.Errorf("%d and %d both claim", i, j)
			case !w.claims(j) && f == apart && !w.losesToAnyone(i):
				return fmt.Errorf("%d waits for %d, which does not run", i, j)
			}
		}
	}
	return nil
}

// losesToAnyone tells whether a node takes one that runs to be on the side that claims.
func (w *witnessWorld) losesToAnyone(i int) bool {
	for j := range w.nodes {
		if w.claims(j) && w.fate(i, j) == apart {
			return true
		}
	}
	return false
}
