package stream_test

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASlowClientIsCutOffWhileOthersGetEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(2)
		cfg := configOf(source)
		cfg.MaxQueue, cfg.KeepBytes = 10, 4096
		s := newStream(t, cfg)
		slow, ended := connect(t, s, "/", "")
		slow.awaitID(t)
		fast, _ := connect(t, s, "/", "")
		fast.awaitID(t)
		for n := range 100 {
			source.commit(t, uint32(n%2), bid("a", int64(n)))
			if got := fast.rows(t, 1); got[0].Cents != int64(n) {
				t.Fatalf("the fast one got %s instead of %d", brief(got), n)
			}
			synctest.Wait()
			if stats := s.Stats(); stats.KeptBytes > cfg.KeepBytes {
				t.Fatalf("%d bytes are kept, more than %d", stats.KeptBytes, cfg.KeepBytes)
			}
			select {
			case <-ended: // one message is being written, ten wait, the twelfth is too much
				if n != 11 {
					t.Fatalf("cut off with event %d", n)
				}
				ended = nil
			default:
			}
		}
		if stats := s.Stats(); ended != nil || stats.CutOff != 1 || stats.Clients != 1 {
			t.Fatalf("still there: %+v", stats)
		}
		again, _ := connect(t, s, "/", slow.lastID)
		seen := map[int64]bool{}
		for _, r := range again.rows(t, 100) {
			seen[r.Cents] = true
		}
		if len(seen) != 100 || s.Stats().CatchUps == 0 {
			t.Errorf("it came back and got %d of 100 events: %+v", len(seen), s.Stats())
		}
	})
}

func TestOneWriteHasItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(1)
		s := newStream(t, configOf(source))
		stuck, ended := connect(t, s, "/", "")
		stuck.awaitID(t)
		source.commit(t, 0, bid("a", 1))
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		select {
		case <-ended:
			t.Fatal("cut off too early")
		default:
		}
		time.Sleep(time.Nanosecond)
		<-ended
		if stats := s.Stats(); stats.CutOff != 1 || stats.Clients != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

func TestAQuietStreamShowsSignsOfLifeAndMovesItsMark(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(2)
		s := newStream(t, configOf(source))
		p, _ := connect(t, s, "/?lot=a", "")
		p.awaitID(t)
		start := time.Now()
		if m, err := p.block(); err != nil || m.pings != 1 || m.id != "h1." {
			t.Fatalf("%+v, %v", m, err)
		}
		source.commit(t, 1, bid("another", 1, 2))
		if m, err := p.block(); err != nil || m.pings != 1 || m.data != "" || m.id != "h1.1:2" {
			t.Fatalf("%+v, %v", m, err)
		}
		if passed := time.Since(start); passed != 30*time.Second {
			t.Errorf("two signs took %v", passed)
		}
	})
}

func TestAStreamLivesOnWhenALogCannotBeReadForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := newTwin(2)
		p, _ := connect(t, newStream(t, configOf(source)), "/", "")
		p.awaitID(t)
		source.fail(errBroken)
		source.commit(t, 0, bid("a", 1))
		source.commit(t, 1, bid("b", 2))
		synctest.Wait()
		source.fail(nil)
		if got := brief(p.rows(t, 2)); got != "a@1=1 b@1=2" {
			t.Errorf("it got %s", got)
		}
	})
}
