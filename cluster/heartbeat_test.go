package cluster

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("the journal is away")

// beats drives a heartbeat whose puts take that long and fail or not, and returns at how many milliseconds each began.
func beats(h *heartbeat, from, until int64, took time.Duration, err error) (began []int64) {
	for {
		at, _ := h.due()
		if at = max(at, from, h.ended); at >= until {
			return began
		}
		h.begin(at)
		began = append(began, (at-from)/int64(time.Millisecond))
		h.end(at+int64(took), err)
	}
}

const second = int64(time.Second)

func TestHeartbeatKeepsItsPace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took  time.Duration
		err   error
		until time.Duration
		want  []int64 // milliseconds
	}{
		"all is well":     {10 * time.Millisecond, nil, 1600 * time.Millisecond, []int64{0, 500, 1000, 1500}},
		"slow journal":    {800 * time.Millisecond, nil, 2500 * time.Millisecond, []int64{0, 800, 1600, 2400}},
		"no journal":      {0, errAway, 2400 * time.Millisecond, []int64{0, 125, 375, 875, 1375, 1875, 2375}},
		"hanging journal": {time.Second, errAway, 5 * time.Second, []int64{0, 1125, 2375, 3875}},
	} {
		h := newHeartbeat(Member{Node: "a", Incarnation: "a-1"})
		got := beats(h, 10*second, 10*second+int64(c.until), c.took, c.err)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: puts began at %v, want %v", name, got, c.want)
		}
	}
}

func TestNewViewDoesNotWaitForTheBeat(t *testing.T) {
	t.Parallel()
	h := newHeartbeat(Member{Node: "a", Incarnation: "a-1"})
	h.begin(second)
	b := []Member{{Incarnation: "b-1"}}
	h.hear(b)
	if _, ok := h.due(); ok {
		t.Fatal("puts overlap")
	}
	h.end(second+1, nil)
	if at, _ := h.due(); at != second+int64(changePause) {
		t.Errorf("the view is told after %v", time.Duration(at-second))
	}
	row := h.begin(2 * second)
	h.end(2*second, nil)
	if v, err := decodeVoice("a-1", row.View); err != nil || !v.hearsOf(nameOf("b-1")) || row.Beat != 2 {
		t.Errorf("the row %v tells %v, %v", row, v, err)
	}
	h.hear(b)
	if at, _ := h.due(); at != 2*second+int64(beatPause) {
		t.Errorf("the same view is told again after %v", time.Duration(at-2*second))
	}
}

func TestJournalIsLostAfterTwoSecondsOfFailures(t *testing.T) {
	t.Parallel()
	for name, took := range map[string]time.Duration{"failing at once": 0, "hanging": rowPatience} {
		h := newHeartbeat(Member{})
		beats(h, second, 4*second, 0, nil)
		beats(h, 4*second, 4*second+int64(1500*time.Millisecond), took, errAway)
		if took == 0 && h.journalLost() {
			t.Errorf("%s: lost too soon", name)
		}
		beats(h, 4*second, 8*second, took, errAway)
		if !h.journalLost() {
			t.Errorf("%s: not lost", name)
		}
		beats(h, h.ended+second, h.ended+second+1, 0, nil)
		if h.journalLost() {
			t.Errorf("%s: still lost when a put has succeeded", name)
		}
	}
}

func TestPauseOfTheProcessIsNotALostJournal(t *testing.T) {
	t.Parallel()
	h := newHeartbeat(Member{})
	beats(h, second, 2*second, 0, nil)
	h.begin(2 * second)
	h.end(30*second, errAway) // it was under way when the process was stopped
	if h.journalLost() {
		t.Error("lost by one failure")
	}
	at, _ := h.due()
	h.begin(at)
	h.end(at, errAway)
	if h.journalLost() {
		t.Error("lost before 2 s have passed for this process")
	}
}

// memoryWitnesses holds rows, and can be taken away.
type memoryWitnesses struct {
	mu      sync.Mutex
	rows    map[string]Witness
	away    bool
	hangs   bool
	slow    time.Duration
	puts    []Witness
	at      []time.Time
	putting int
	overlap bool
}

func (m *memoryWitnesses) PutWitness(ctx context.Context, w Witness) error {
	if err := m.begin(ctx, 1); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.putting--
	if m.away {
		return errAway
	}
	if m.rows == nil {
		m.rows = map[string]Witness{}
	}
	m.rows[w.Address] = w
	m.puts, m.at = append(m.puts, w), append(m.at, time.Now())
	return nil
}

func (m *memoryWitnesses) begin(ctx context.Context, puts int) error {
	m.mu.Lock()
	m.putting += puts
	m.overlap = m.overlap || m.putting > 1
	hangs, slow := m.hangs, m.slow
	m.mu.Unlock()
	if hangs {
		<-ctx.Done()
		m.mu.Lock()
		m.putting -= puts
		m.mu.Unlock()
		return ctx.Err()
	}
	time.Sleep(slow)
	return nil
}

func (m *memoryWitnesses) Witnesses(ctx context.Context) ([]Witness, error) {
	if err := m.begin(ctx, 0); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return nil, errAway
	}
	var rows []Witness
	for _, w := range m.rows {
		rows = append(rows, w)
	}
	return rows, nil
}

func (m *memoryWitnesses) set(change func(m *memoryWitnesses)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// bench starts a pulse inside a bubble of fake time.
func bench(t *testing.T, m *memoryWitnesses, story func(p *pulse, told func() []bool)) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var lost []bool
		p := startPulse(m, Member{Node: "a", Incarnation: "a-1"}, slog.New(slog.DiscardHandler),
			func() int64 { return time.Now().UnixNano() },
			func(l bool) { mu.Lock(); lost = append(lost, l); mu.Unlock() })
		defer p.close()
		story(p, func() []bool { mu.Lock(); defer mu.Unlock(); return slices.Clone(lost) })
	})
}

func TestPulsePutsAndTellsWhetherTheJournalIsLost(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(m *memoryWitnesses, on bool){
		"away":    func(m *memoryWitnesses, on bool) { m.away = on },
		"hanging": func(m *memoryWitnesses, on bool) { m.hangs = on },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &memoryWitnesses{}
			bench(t, m, func(p *pulse, told func() []bool) {
				<-p.stored()
				time.Sleep(10 * time.Second)
				m.set(func(m *memoryWitnesses) { fault(m, true) })
				if lost := told(); len(lost) > 0 {
					t.Errorf("told %v while all was well", lost)
				}
				time.Sleep(5 * time.Second)
				if lost := told(); !slices.Equal(lost, []bool{true}) {
					t.Errorf("told %v without the journal", lost)
				}
				m.set(func(m *memoryWitnesses) { fault(m, false) })
				time.Sleep(2 * time.Second)
				if lost := told(); !slices.Equal(lost, []bool{true, false}) {
					t.Errorf("told %v when it was back", lost)
				}
			})
			for i, w := range m.puts[1:] {
				if w.Beat <= m.puts[i].Beat {
					t.Errorf("beat %d after %d", w.Beat, m.puts[i].Beat)
				}
			}
		})
	}
}

func TestPulseTellsANewViewSoonAndNeverOverlaps(t *testing.T) {
	t.Parallel()
	m := &memoryWitnesses{slow: 30 * time.Millisecond}
	bench(t, m, func(p *pulse, _ func() []bool) {
		<-p.stored()
		time.Sleep(10*time.Second + 200*time.Millisecond)
		before := time.Now()
		for range 20 {
			p.hear([]Member{{Incarnation: "b-1"}})
		}
		time.Sleep(time.Second)
		m.set(func(m *memoryWitnesses) {
			after := slices.IndexFunc(m.at, func(at time.Time) bool { return at.After(before) })
			v, err := decodeVoice("a-1", m.puts[after].View)
			if err != nil || !v.hearsOf(nameOf("b-1")) || m.at[after].Sub(before) > changePause {
				t.Errorf("the first row after the change came after %v and tells %v, %v", m.at[after].Sub(before), v, err)
			}
			if m.overlap {
				t.Error("puts overlapped")
			}
			if n := len(m.puts); n < 20 || n > 26 {
				t.Errorf("%d puts in 11 s", n)
			}
		})
	})
}

func TestPulseIsStoredOnlyWhenItIs(t *testing.T) {
	t.Parallel()
	m := &memoryWitnesses{away: true}
	bench(t, m, func(p *pulse, _ func() []bool) {
		time.Sleep(5 * time.Second)
		if isClosed(p.stored()) {
			t.Fatal("stored in a journal that is away")
		}
		m.set(func(m *memoryWitnesses) { m.away = false })
		<-p.stored()
	})
}

func TestPulseReads(t *testing.T) {
	t.Parallel()
	m := &memoryWitnesses{}
	bench(t, m, func(p *pulse, _ func() []bool) {
		<-p.stored()
		got := make(chan rowsRead, 2)
		p.read(func(r rowsRead) { got <- r })
		if r := <-got; r.err != nil || len(r.rows) != 1 || r.rows[0].Incarnation != "a-1" {
			t.Errorf("read %v", r)
		}
		m.set(func(m *memoryWitnesses) { m.hangs = true })
		p.read(func(r rowsRead) { got <- r })
		if r := <-got; !errors.Is(r.err, context.DeadlineExceeded) {
			t.Errorf("a journal that hangs: read %v", r)
		}
		p.read(func(rowsRead) { t.Error("told after it was closed") })
		synctest.Wait()
		p.close()
	})
}
