package stream_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestAClientThatCannotResumeIsToldToLoadEverything(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{
		"another history":         "h0.0:3,1:1",
		"no token":                "42",
		"no text":                 "\xff.\x01",
		"a shard that is not":     "h1.0:3,7:1",
		"more events than exist":  "h1.0:9",
		"too many events missed":  "h1.0:0,1:1",
		"too many of two shards":  "h1.0:1",
		"the history of a prefix": "h",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := newTwin(2)
				source.commit(t, 0, bid("a", 1, 2, 3))
				source.commit(t, 1, bid("b", 4))
				cfg := configOf(source)
				cfg.MaxBehind = 2
				s := newStream(t, cfg)
				p, _ := connect(t, s, "/", id)
				if m := p.mustNext(t); m.event != "reset" || m.data != "{}" || m.id != "h1.0:3,1:1" {
					t.Fatalf("it got %+v", m)
				}
				source.commit(t, 1, bid("b", 5))
				if got := brief(p.rows(t, 1)); got != "b@2=5" {
					t.Errorf("then it got %s", got)
				}
				if n := s.Stats().Resets; n != 1 {
					t.Errorf("%d resets are counted", n)
				}
			})
		})
	}
}

func TestAClientThatMissedNoMoreThanTheLimitResumes(t *testing.T) {
	t.Parallel()
	source := newTwin(2)
	source.commit(t, 0, bid("a", 1, 2, 3))
	cfg := configOf(source)
	cfg.MaxBehind = 2
	p, _ := connect(t, newStream(t, cfg), "/", "h1.0:1")
	if got := brief(p.rows(t, 2)); got != "a@2=2 a@3=3" {
		t.Errorf("it got %s", got)
	}
}

// A read model may have seen an event a moment before the stream has.
func TestATokenMayBeAMomentAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(2)
		source.commit(t, 0, bid("a", 1))
		p, _ := connect(t, newStream(t, configOf(source)), "/?after=h1.0:2,1:1", "")
		if m, err := p.block(); err != nil || p.retry != "500" {
			t.Fatalf("%+v, %v", m, err)
		}
		time.Sleep(time.Second / 2)
		source.commit(t, 0, bid("a", 2))
		source.commit(t, 1, bid("b", 3))
		source.commit(t, 0, bid("a", 4))
		if got := brief(p.rows(t, 1)); got != "a@3=4" {
			t.Errorf("it got %s", got)
		}
	})
}

// On a busy machine the stream may be behind the journal for longer than that. Who has a token of the journal waits.
func TestAStreamThatIsSlowTellsNobodyToLoadEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(2)
		s := newStream(t, configOf(source))
		keep, _ := connect(t, s, "/", "")
		keep.awaitID(t)
		source.fail(errBroken) // nothing can be read
		source.commit(t, 0, bid("a", 1, 2))
		p, _ := connect(t, s, "/?after=h1.0:1", "")
		if m, err := p.block(); err != nil || p.retry != "500" {
			t.Fatalf("%+v, %v", m, err)
		}
		time.Sleep(5 * time.Second)
		source.fail(nil)
		if got := brief(p.rows(t, 1)); got != "a@2=2" || s.Stats().Resets != 0 {
			t.Errorf("it got %s, after %d resets", got, s.Stats().Resets)
		}
	})
}

func TestTheHeaderIsYoungerThanTheURL(t *testing.T) {
	t.Parallel()
	source := newTwin(1)
	source.commit(t, 0, bid("a", 1, 2, 3))
	p, _ := connect(t, newStream(t, configOf(source)), "/?after=h1.0:1", "h1.0:2")
	if got := brief(p.rows(t, 1)); got != "a@3=3" {
		t.Errorf("it got %s", got)
	}
}

// The search in the journal begins at its end: records without events, claims and large ones are on the way.
func TestWhatWasMissedIsFoundInALongJournal(t *testing.T) {
	t.Parallel()
	source := newTwin(1)
	total := 0
	for n := range 300 {
		switch {
		case n%3 == 0:
			source.commit(t, 0)
		case n%7 == 0:
			source.commit(t, 0, command{id: "a"})
		default:
			for range n % 5 {
				total++
			}
			cents := make([]int64, n%5)
			source.commit(t, 0, bid("a", cents...))
		}
	}
	s := newStream(t, configOf(source))
	keep, _ := connect(t, s, "/", "") // so that the hub stays
	keep.awaitID(t)
	for seen := 0; seen < total; seen += 7 {
		p, done := connect(t, s, "/", fmt.Sprintf("h1.0:%d", seen))
		rows := p.rows(t, total-seen)
		for i, r := range rows {
			if r.Offset != uint64(seen+1+i) {
				t.Fatalf("behind %d, row %d is event %d", seen, i, r.Offset)
			}
		}
		_ = p.body.Close()
		<-done
	}
}
