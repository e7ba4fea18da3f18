package cluster

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// witnessWorld is a cluster of witnesses and heartbeats on a clock of its own, with a modelled gossip and journal.
// Node 0 is the oldest. One seed replays it exactly.
type witnessWorld struct {
	t      testing.TB
	r      *rand.Rand
	now    int64
	nodes  []*worldNode
	hears  [][]bool // [i][j]: i hears j
	rows   map[string]Witness
	slow   int64 // how long calls to the journal take at most
	spread int64 // by how much gossip's detection differs from peer to peer
	hang   int64 // how long calls take without a journal
	hints  bool  // the transport tells of silence after a second
}

type worldNode struct {
	self            Member
	starts          int
	witness         *witness
	heart           *heartbeat
	crashed, paused bool
	noJournal       bool
	detects         []int64 // how long gossip takes to lose each peer
	silent          []int64
	known           Membership
	calls           []worldCall
	reads           int
}

// worldCall is a call to the journal under way.
type worldCall struct {
	at, end int64
	put     *Witness // nil for a reading
	rows    []Witness
	done    bool // at the journal
	err     error
}

const worldStep = int64(10 * time.Millisecond)

func newWitnessWorld(t testing.TB, seed uint64, count int) *witnessWorld {
	w := &witnessWorld{
		t: t, r: rand.New(rand.NewPCG(seed, seed)), now: int64(time.Hour), //nolint:gosec // a seed of a test
		rows: map[string]Witness{}, slow: int64(20 * time.Millisecond), hang: int64(rowPatience / 2), spread: int64(400 * time.Millisecond),
	}
	for i := range count {
		w.nodes = append(w.nodes, &worldNode{self: Member{Node: fmt.Sprint("n", i), Weight: 1, StartedMillis: int64(i)}})
		w.hears = append(w.hears, slices.Repeat([]bool{true}, count))
	}
	for i := range w.nodes {
		w.start(i)
	}
	return w
}

// start begins a process: the first one, or one after a crash.
func (w *witnessWorld) start(i int) {
	n := w.nodes[i]
	n.starts++
	n.self.Incarnation = fmt.Sprintf("n%d-%d", i, n.starts)
	if n.starts > 1 {
		n.self.StartedMillis = w.now / 1e6
	}
	n.witness, n.heart, n.calls = newWitness(n.self), newHeartbeat(n.self), nil
	n.heart.began = w.now - w.r.Int64N(int64(beatPause)) // nodes do not beat together
	n.heart.outdated = false
	n.detects = nil
	for range w.nodes {
		n.detects = append(n.detects, int64(2*time.Second)+w.r.Int64N(w.spread))
	}
	n.silent, n.known = make([]int64, len(w.nodes)), Membership{}
	n.crashed, n.paused = false, false
	for j, peer := range w.nodes {
		if w.hears[i][j] || j == i {
			n.known.Members = append(n.known.Members, peer.self)
		}
	}
	n.tell(w.now)
}

func (n *worldNode) tell(now int64) {
	n.tells(func() bool { return n.witness.see(now, n.known) })
	n.heart.hear(n.known.Members)
}

// tells checks that the witness tells of a change of its verdicts, and of none where there is none.
func (n *worldNode) tells(input func() bool) {
	before := n.witness.verdicts()
	if told := input(); told == maps.Equal(before, n.witness.verdicts()) {
		panic(fmt.Sprintf("told %v of verdicts %v after %v", told, n.witness.verdicts(), before))
	}
}

// run lets time pass.
func (w *witnessWorld) run(d time.Duration) {
	for until := w.now + int64(d); w.now < until; {
		w.now += worldStep
		w.journal()
		for i, n := range w.nodes {
			if !n.crashed && !n.paused {
				w.gossip(i)
				w.step(n)
			}
		}
	}
}

// journal lets puts land and readings read, also those of processes that have stopped meanwhile.
func (w *witnessWorld) journal() {
	for _, n := range w.nodes {
		for i := range n.calls {
			c := &n.calls[i]
			switch {
			case c.done || c.at > w.now:
				continue
			case n.noJournal:
				c.err, c.end = errors.New("no journal"), max(c.end, w.now+w.hang)
			case c.put != nil:
				w.rows[c.put.Address] = *c.put
			default:
				for _, row := range w.rows {
					c.rows = append(c.rows, row)
				}
			}
			c.done = true
		}
	}
}

// gossip is what a perfect detector tells, late.
func (w *witnessWorld) gossip(i int) {
	n, changed := w.nodes[i], false
	for j, peer := range w.nodes {
		if j == i {
			continue
		}
		if w.hears[i][j] && !peer.crashed && !peer.paused {
			n.silent[j] = 0
			changed = n.hear(peer.self) || changed
			continue
		}
		n.silent[j] += worldStep
		if w.hints && n.silent[j] > int64(time.Second) {
			for _, m := range n.known.Members {
				if m.Node == peer.self.Node {
					n.witness.suspect(w.now, m.Incarnation)
				}
			}
		}
		if n.silent[j] > n.detects[j] {
			changed = n.lose(peer.self.Node) || changed
		}
	}
	if changed {
		n.tell(w.now)
	}
}

func (n *worldNode) hear(m Member) bool {
	if slices.Contains(n.known.Members, m) {
		return false
	}
	other := func(x Member) bool { return x.Node == m.Node }
	n.known.Members = append(slices.DeleteFunc(slices.Clone(n.known.Members), other), m)
	n.known.Lost = slices.DeleteFunc(slices.Clone(n.known.Lost), other)
	return true
}

func (n *worldNode) lose(node string) bool {
	at := slices.IndexFunc(n.known.Members, func(m Member) bool { return m.Node == node })
	if at < 0 {
		return false
	}
	n.known.Lost = append(n.known.Lost, n.known.Members[at])
	n.known.Members = slices.Delete(slices.Clone(n.known.Members), at, at+1)
	return true
}

// step lets a node take what is answered and do what is due.
func (w *witnessWorld) step(n *worldNode) {
	calls := n.calls
	n.calls = nil
	for _, c := range calls {
		switch {
		case !c.done || c.end > w.now:
			n.calls = append(n.calls, c)
		case c.put != nil:
			n.heart.end(w.now, c.err)
		case c.err != nil:
			n.tells(func() bool { return n.witness.readFailed(w.now) })
		default:
			n.tells(func() bool { return n.witness.read(w.now, c.rows) })
		}
	}
	if at, ok := n.heart.due(); ok && at <= w.now {
		row := n.heart.begin(w.now)
		n.calls = append(n.calls, w.call(&row))
	}
	if at, ok := n.witness.due(); ok && at <= w.now {
		n.witness.begin(w.now)
		n.reads++
		n.calls = append(n.calls, w.call(nil))
	}
}

func (w *witnessWorld) call(put *Witness) worldCall {
	at := w.now + w.r.Int64N(w.slow)
	return worldCall{put: put, at: at, end: at + w.r.Int64N(w.slow)}
}

// The verbs of stories.

func (w *witnessWorld) crash(nodes ...int) {
	for _, i := range nodes {
		w.nodes[i].crashed = true
	}
}

func (w *witnessWorld) pause(i int)       { w.nodes[i].paused = true }
func (w *witnessWorld) wake(i int)        { w.nodes[i].paused = false }
func (w *witnessWorld) journalAway(i int) { w.nodes[i].noJournal = true }
func (w *witnessWorld) journalBack(i int) { w.nodes[i].noJournal = false }
func (w *witnessWorld) deafen(i, to int)  { w.hears[i][to] = false }
func (w *witnessWorld) unlink(i, j int)   { w.deafen(i, j); w.deafen(j, i) }
func (w *witnessWorld) fate(i, of int) fate {
	return w.nodes[i].witness.fate(w.nodes[of].self.Incarnation)
}
func (w *witnessWorld) fateOf(i int, s string) fate { return w.nodes[i].witness.fate(s) }

func (w *witnessWorld) cut(side, other []int) {
	for _, i := range side {
		for _, j := range other {
			w.unlink(i, j)
		}
	}
}

func (w *witnessWorld) heal() {
	for i := range w.hears {
		for j := range w.hears {
			w.hears[i][j] = true
		}
	}
}

// picture is what all running nodes think of those that they do not hear: "0: 2 gone, 3 apart; 1: …".
func (w *witnessWorld) picture() string {
	var lines []string
	for i, n := range w.nodes {
		if n.crashed || n.paused {
			continue
		}
		var words []string
		for j := range w.nodes {
			if f := w.fate(i, j); f != present {
				words = append(words, fmt.Sprintf("%d %s", j, []string{"gone", "present", "unsure", "apart"}[f]))
			}
		}
		if len(words) > 0 {
			lines = append(lines, fmt.Sprintf("%d: %s", i, strings.Join(words, ", ")))
		}
	}
	return strings.Join(lines, "; ")
}

func (w *witnessWorld) expect(picture string) {
	w.t.Helper()
	if got := w.picture(); got != picture {
		w.t.Fatalf("after %v\n got %q\nwant %q", time.Duration(w.now)-time.Hour, got, picture)
	}
}

func (w *witnessWorld) readings() (total int) {
	for _, n := range w.nodes {
		total += n.reads
	}
	return total
}
