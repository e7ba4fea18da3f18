package cluster_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what is done to a cluster in one run: who starts, what they are asked, and what goes wrong and when. It
// follows from its seed alone, so it replays. What happens inside does not: fake time orders timers, not goroutines.
type plan struct {
	Seed     uint64        `json:"seed"`
	Slots    int           `json:"slots"`  // names of nodes
	First    int           `json:"first"`  // of them start at once, the rest when the plan says
	Anchor   int           `json:"anchor"` // a slot that may own shards when all is mended, whatever operators said
	Shards   int           `json:"shards"`
	Entities int           `json:"entities"`
	Callers  int           `json:"callers"` // per node
	Think    time.Duration `json:"think"`   // a caller's pause, on average
	Length   time.Duration `json:"length"`  // of the faults; then all is mended

	Weights  []int           `json:"weights"`  // 0: a gateway
	Upgrades bool            `json:"upgrades"` // each start is of a newer version
	Skews    []time.Duration `json:"skews"`    // of the nodes' clocks

	JournalTakes time.Duration `json:"journal_takes"` // at most, per call
	WayTakes     time.Duration `json:"way_takes"`     // at most, per message
	IdleAfter    time.Duration `json:"idle_after"`    // of entities
	// Percent of writes whose outcome is told as unknown: not stored, stored, and stored later.
	Lost      int `json:"lost"`
	Forgotten int `json:"forgotten"`
	Late      int `json:"late"`
	// OldHeads is the percent of hints about the end of a log that are behind the truth.
	OldHeads int `json:"old_heads"`

	Faults []fault `json:"faults"`
	// Calm: one thing happens after the other, to one node. Who calls patiently through another must be answered.
	Calm bool `json:"calm"`
	// QuietCrash ends all processes once more when callers are silent.
	QuietCrash bool `json:"quiet_crash"`
}

// fault is one thing that goes wrong, or that operators do.
type fault struct {
	Kind faultKind     `json:"kind"`
	At   time.Duration `json:"at"`
	For  time.Duration `json:"for"`
	On   []int         `json:"on"` // slots
	N    int           `json:"n,omitempty"`
}

type faultKind string

const (
	// crash ends a process whose sockets close; die ends one with its machine, in silence. Both start again.
	crash faultKind = "crash"
	die   faultKind = "die"
	// crashAll ends all processes at once; they start again together.
	crashAll faultKind = "crash all"
	// freeze lets nothing in or out of a process, its journal included, and what it had sent is late.
	freeze faultKind = "freeze"
	// twin freezes a process, starts another one under its name elsewhere, and lets the first one go on for a while.
	twin faultKind = "twin"
	// leave stops a node in order; it starts again. roll does so with all nodes, one after the other.
	leave faultKind = "leave"
	roll  faultKind = "roll"
	// join starts all nodes that do not run.
	join faultKind = "join"
	// split cuts some nodes off from the others; splitGossip and splitPeers only one of the two networks.
	split       faultKind = "split"
	splitGossip faultKind = "split gossip"
	splitPeers  faultKind = "split peers"
	// oneWay lets what some nodes send reach nobody else. bridge splits all, but for the first, which reaches both sides.
	oneWay faultKind = "one way"
	bridge faultKind = "bridge"
	// lossy loses N percent of what is sent between nodes. cutConnections ends them all at once.
	lossy          faultKind = "lossy"
	cutConnections faultKind = "cut connections"
	// outage takes the journal away from some nodes, all perhaps; N = 1 has calls hang, else they fail at once. sick makes
	// N percent of all writes unknown, and half as many readings fail.
	outage faultKind = "outage"
	sick   faultKind = "sick"
	// slow makes each call of some nodes to the journal take up to N ms.
	slow faultKind = "slow"
	// drain and pin are operators' orders; they stand to the end unless they are taken back.
	drain   faultKind = "drain"
	undrain faultKind = "undrain"
	pin     faultKind = "pin"
	unpin   faultKind = "unpin"
)

// kinds are drawn from; a kind that is named twice is drawn twice as often.
var kinds = []faultKind{
	crash, crash, die, die, crashAll, freeze, freeze, freeze, twin, twin, leave, leave, roll, join,
	split, split, splitGossip, splitPeers, oneWay, bridge, lossy, cutConnections,
	outage, outage, sick, slow, slow, drain, undrain, pin, unpin,
}

// drawPlan makes the plan of a seed.
func drawPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 6))
	pick := func(d ...time.Duration) time.Duration { return d[r.IntN(len(d))] }
	p := plan{
		Seed: seed, Slots: 2 + r.IntN(4), Shards: []int{1, 4, 8, 16}[r.IntN(4)],
		Entities: 2 + r.IntN(8), Callers: 1 + r.IntN(3), Think: pick(30*time.Millisecond, 150*time.Millisecond, 400*time.Millisecond),
		Length:       pick(15*time.Second, 25*time.Second, 40*time.Second),
		JournalTakes: pick(time.Millisecond, 6*time.Millisecond, 60*time.Millisecond), WayTakes: pick(time.Millisecond, 4*time.Millisecond, 30*time.Millisecond),
		IdleAfter: pick(time.Second, 5*time.Second, time.Minute),
	}
	p.First = 1 + r.IntN(p.Slots)
	for range p.Slots {
		p.Weights = append(p.Weights, []int{1, 1, 1, 1, 2, 0}[r.IntN(6)])
		p.Skews = append(p.Skews, time.Duration(r.Int64N(int64(time.Second)))-time.Second/2)
	}
	p.Upgrades = r.IntN(2) == 0
	p.Anchor = r.IntN(p.First)
	p.Weights[p.Anchor] = 1
	if r.IntN(3) == 0 {
		p.Lost, p.Forgotten, p.Late, p.OldHeads = r.IntN(8), r.IntN(8), r.IntN(8), r.IntN(60)
	}
	if p.Calm = r.IntN(5) == 0; p.Calm {
		p.calm(r)
		return p
	}
	theme := drawTheme(r)
	for range 1 + r.IntN(14) {
		p.Faults = append(p.Faults, p.drawFault(r, theme))
	}
	p.QuietCrash = r.IntN(2) == 0
	slices.SortFunc(p.Faults, func(a, b fault) int { return int(a.At - b.At) })
	return p
}

// calmPause is the time from one thing to the next in a calm plan: the longest is a restart of all nodes.
const calmPause = 22 * time.Second

// calm makes a plan calm.
func (p *plan) calm(r *rand.Rand) {
	p.Slots = 3 + r.IntN(3)
	p.First, p.Anchor, p.QuietCrash = p.Slots, r.IntN(p.Slots), true
	p.Lost, p.Forgotten, p.Late, p.OldHeads = 0, 0, 0, 0
	p.JournalTakes, p.WayTakes = min(p.JournalTakes, 6*time.Millisecond), min(p.WayTakes, 4*time.Millisecond)
	p.Weights, p.Skews = make([]int, p.Slots), make([]time.Duration, p.Slots)
	for i := range p.Slots {
		p.Weights[i] = 1 + r.IntN(2)
	}
	// No outage: what waits at an owner without a journal waits there until its deadline, whoever has the shard by then.
	calm := []faultKind{crash, die, freeze, split, bridge, leave, leave, roll, roll, cutConnections, drain, undrain, pin, unpin}
	for i := range 1 + r.IntN(4) {
		f := fault{Kind: calm[r.IntN(len(calm))], At: 8*time.Second + time.Duration(i)*calmPause, For: time.Duration(r.Int64N(int64(6 * time.Second)))}
		f.On, f.N = r.Perm(p.Slots), r.IntN(p.Shards)
		switch f.Kind {
		case drain, undrain:
			f.On = []int{p.Anchor} // one at most, or none could take what another leaves
		case split:
			f.On = f.On[:1]
		case bridge:
			f.On = f.On[:3] // the last two hear each other through the first only
		default:
		}
		p.Faults = append(p.Faults, f)
		p.Length = f.At + calmPause
	}
}

// drawTheme picks the faults of a plan. Half of the plans have a few kinds only, and more of those: what needs the same
// twice, or long quiet in between, would hardly be met otherwise.
func drawTheme(r *rand.Rand) []faultKind {
	if r.IntN(2) == 0 {
		return kinds
	}
	var some []faultKind
	for range 1 + r.IntN(3) {
		some = append(some, kinds[r.IntN(len(kinds))])
	}
	return some
}

func (p *plan) drawFault(r *rand.Rand, theme []faultKind) fault {
	f := fault{Kind: theme[r.IntN(len(theme))]}
	// From when the first nodes are hardly there, so that what goes wrong meets a start too.
	f.At = time.Duration(r.Int64N(int64(p.Length))).Round(time.Millisecond)
	lasts := []time.Duration{400 * time.Millisecond, 2 * time.Second, 5 * time.Second, 12 * time.Second}[r.IntN(4)]
	f.For = min(lasts+time.Duration(r.Int64N(int64(lasts))), p.Length-f.At).Round(time.Millisecond)
	f.On = r.Perm(p.Slots)[:1+r.IntN(max(p.Slots/2, 1))]
	switch f.Kind {
	case lossy:
		f.N = 5 + r.IntN(60)
	case slow:
		f.N = 50 + r.IntN(900)
	case sick:
		f.N = 20 + r.IntN(60)
	case outage:
		if r.IntN(2) == 0 {
			f.On = r.Perm(p.Slots)
		}
		f.N = r.IntN(2)
	case pin, unpin:
		f.N = r.IntN(p.Shards)
	case bridge, crashAll, roll, join, cutConnections:
		f.On = r.Perm(p.Slots)
	case crash, die, freeze, twin, leave, split, splitGossip, splitPeers, oneWay, drain, undrain:
	}
	return f
}

// String is the plan as it is kept with a failure.
func (p plan) String() string {
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
