package machine

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// Stories of the machine, a line for each input. What callers see of it is tested in the package above, against a model.

// stage plays a machine.
type stage struct {
	m       *Machine
	now     time.Duration
	tickets map[string]Ticket
}

// play takes one line: "at 3s", "call NAME", "NAME OUTCOME", "leave NAME", "tick"; it returns what came of it.
func (s *stage) play(line string) string {
	words := strings.Fields(line)
	switch words[0] {
	case "at":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			panic(err)
		}
		s.now = d
		return ""
	case "tick":
		s.m.Tick(s.now)
	case "leave":
		s.m.Leave(s.tickets[words[1]])
	case "call":
		t, why, again := s.m.Admit(s.now)
		if why != Admitted {
			return [...]string{"", "open until", "full at"}[why] + " " + again.String()
		}
		s.tickets[words[1]] = t
	default:
		s.m.Done(s.tickets[words[0]], outcomes[words[1]], s.now)
	}
	var told []string
	for _, t := range s.m.Transitions() {
		told = append(told, fmt.Sprintf("%v at %v: %v", t.To, t.At, t.Reason))
	}
	return strings.Join(told, ", ")
}

var outcomes = map[string]Outcome{
	"succeeded": Succeeded, "rejected": Rejected, "failed": Failed, "timed-out": TimedOut, "slow": Slow, "abandoned": Abandoned,
}

func TestStories(t *testing.T) {
	t.Parallel()
	rules := Rules{MaxFailures: 2, ProbeTimeout: 3 * time.Second, ResetTimeout: 10 * time.Second, MaxResetTimeout: 40 * time.Second}
	for name, story := range map[string]string{
		"a service breaks and is back": `
			call a; call b
			a failed
			b slow -> open at 0s: max-failures in a row
			call c -> open until 10s
			at 10s
			call c -> half-open at 10s: the reset-timeout is over
			call d -> open until 13s
			c rejected -> closed at 10s: the probe was answered
			call d`,
		"what comes late is ignored": `
			call a; call b; call old; call older
			a failed
			b failed -> open at 0s: max-failures in a row
			at 10s
			old succeeded
			call probe -> half-open at 10s: the reset-timeout is over
			older failed
			call d -> open until 13s
			probe succeeded -> closed at 10s: the probe was answered`,
		"a probe hangs, and again": `
			call a; call b
			a failed
			b failed -> open at 0s: max-failures in a row
			at 12s
			call probe -> half-open at 12s: the reset-timeout is over
			at 15s
			tick -> open at 15s: the probe hung
			probe succeeded
			call c -> open until 35s
			at 50s
			call probe -> half-open at 50s: the reset-timeout is over
			at 1h
			call c -> open at 53s: the probe hung, half-open at 1h0m0s: the reset-timeout is over`,
		"a probe's caller gives up": `
			call a; call b
			a failed
			b failed -> open at 0s: max-failures in a row
			at 20s
			call probe -> half-open at 20s: the reset-timeout is over
			at 22s
			probe abandoned -> open at 22s: the probe's caller gave up
			call c -> open until 30s
			at 30s
			call c -> half-open at 30s: the reset-timeout is over`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stage{m: New(rules, 1), tickets: map[string]Ticket{}}
			for line := range strings.Lines(story) {
				for part := range strings.SplitSeq(line, ";") {
					if strings.TrimSpace(part) == "" {
						continue
					}
					input, want, _ := strings.Cut(part, "->")
					if got := s.play(input); got != strings.TrimSpace(want) {
						t.Fatalf("%s: got %q", strings.TrimSpace(part), got)
					}
				}
			}
		})
	}
}

func TestWaitsNeverOverflow(t *testing.T) {
	t.Parallel()
	r := Rules{ResetTimeout: time.Second, MaxResetTimeout: 365 * 24 * time.Hour, Jitter: 1}
	last := time.Duration(0)
	for n := range 200 {
		w := r.wait(n, 0)
		if w < last || w > r.MaxResetTimeout {
			t.Fatalf("after %d probes the wait is %v, before it was %v", n, w, last)
		}
		last = w
	}
	if last != r.MaxResetTimeout || r.wait(1000, 0.999) > 2*last {
		t.Errorf("the longest wait is %v", last)
	}
}

func TestDrawsAreEvenlySpread(t *testing.T) {
	t.Parallel()
	r, sum := random(3), 0.0
	for range 10_000 {
		d := r.draw()
		if d < 0 || d >= 1 {
			t.Fatal(d)
		}
		sum += d
	}
	if math.Abs(sum/10_000-0.5) > 0.02 {
		t.Errorf("the mean is %v", sum/10_000)
	}
}
