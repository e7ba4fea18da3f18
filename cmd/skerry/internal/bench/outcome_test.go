package bench

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// told is a trial of two entities: the first lives on the node that is struck 10 s after the begin.
func told(samples ...sample) *trial {
	return &trial{
		fault:    Fault{Entities: 2, Setup: Setup{Logger: slog.New(slog.DiscardHandler)}},
		crew:     &crew{shards: 2},
		shardOf:  func(id string) uint32 { return map[string]uint32{entityID(0): 0, entityID(1): 1}[id] },
		loop:     &openLoop{sent: samples},
		quiet:    phase{to: 10 * time.Second},
		after:    phase{from: 10 * time.Second, to: 20 * time.Second},
		episodes: []episode{{began: 10 * time.Second, effect: 10*time.Second + 5*time.Millisecond, shards: map[int]bool{0: true}}},
	}
}

func at(milliseconds int) time.Duration { return time.Duration(milliseconds) * time.Millisecond }

// answer is a command that was sent when it was due.
func answer(of int, due, ended int, version uint64) sample {
	return sample{entity: of, due: at(due), began: at(due), ended: at(ended), version: version}
}

func TestOnlyAnswersToWhatWasSentAfterTheFaultShowRecovery(t *testing.T) {
	t.Parallel()
	trial := told(
		answer(0, 9_990, 10_010, 1),  // by the node that was just struck
		answer(1, 10_100, 10_105, 1), // of a node that is well
		answer(0, 10_200, 11_500, 2),
		answer(0, 10_300, 11_400, 3),
	)
	var f FaultFigures
	trial.recovery(&f)
	if f.FirstAnswer != 1.4 || f.AllAnswer != 1.4 || f.Struck != 1 {
		t.Fatalf("got %+v", f)
	}
	trial.loop.sent = trial.loop.sent[:2]
	trial.recovery(&f)
	if f.AllAnswer != 10 {
		t.Fatalf("an entity that never answered again counts as %v s, want all that was measured", f.AllAnswer)
	}
}

func TestWhatTheFaultFindsUnderWayIsNotQuiet(t *testing.T) {
	t.Parallel()
	trial := told(answer(0, 100, 105, 1), answer(0, 9_995, 12_000, 2), answer(1, 10_500, 10_510, 1))
	var f FaultFigures
	trial.latencies(&f)
	if f.QuietLongest != 5 || f.Longest != 2005 {
		t.Fatalf("quiet %v ms, then %v ms", f.QuietLongest, f.Longest)
	}
}

func TestTheLogDecidesWhatWasLostAndDoubled(t *testing.T) {
	t.Parallel()
	unknown := &entity.Error{Kind: entity.ErrUnknownOutcome}
	tests := []struct {
		name                  string
		spoil                 func(*trial, *deposits, []uint64)
		lost, doubled, errors int
		wrong                 string
	}{
		{name: "nothing", spoil: func(*trial, *deposits, []uint64) {}},
		{name: "an event is not there", lost: 1, spoil: func(_ *trial, d *deposits, totals []uint64) {
			delete(d.of, 1)
			d.totals[entityID(0)], totals[0] = 1, 1
		}},
		{name: "it is there at another version", lost: 1, spoil: func(t *trial, _ *deposits, _ []uint64) { t.loop.sent[1].version = 7 }},
		{name: "it is there twice", doubled: 1, spoil: func(_ *trial, d *deposits, totals []uint64) {
			d.of[1] = append(d.of[1], deposited{entityID(0), 3})
			d.totals[entityID(0)], totals[0] = 3, 3
		}},
		{name: "an unknown one ran after all", errors: 1, spoil: func(t *trial, _ *deposits, totals []uint64) {
			t.loop.sent[1].err = unknown
			totals[0] = 1
		}},
		{name: "what was refused ran", errors: 1, wrong: "was told that it did not run", spoil: func(t *trial, _ *deposits, _ []uint64) {
			t.loop.sent[1].err = errors.New("no")
		}},
		{name: "an entity has what the log has not", wrong: "says that it has 3 events", spoil: func(_ *trial, _ *deposits, totals []uint64) { totals[0] = 3 }},
		{name: "an entity lacks what the log has", wrong: "says that it has 1 events", spoil: func(_ *trial, _ *deposits, totals []uint64) { totals[0] = 1 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			trial := told(answer(0, 1, 2, 1), answer(0, 3, 4, 2), answer(1, 5, 6, 1))
			log := deposits{
				of:     map[uint64][]deposited{0: {{entityID(0), 1}}, 1: {{entityID(0), 2}}, 2: {{entityID(1), 1}}},
				totals: map[string]uint64{entityID(0): 2, entityID(1): 1},
			}
			totals := []uint64{2, 1}
			test.spoil(trial, &log, totals)
			var f FaultFigures
			err := trial.audit(&f, totals, log)
			if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
				t.Fatalf("got %v, want %q", err, test.wrong)
			}
			if f.Lost != test.lost || f.Doubled != test.doubled || f.Errors != test.errors {
				t.Fatalf("%d lost, %d doubled, %d errors", f.Lost, f.Doubled, f.Errors)
			}
		})
	}
}

func TestLossesOfSeveralRunsAddUp(t *testing.T) {
	t.Parallel()
	m := MedianFault([]FaultFigures{{Lost: 1, Errors: 2, P99: 9}, {Doubled: 1, P99: 1}, {P99: 5, Lost: 1}})
	if m.Lost != 2 || m.Doubled != 1 || m.Errors != 2 || m.P99 != 5 || len(m.Runs) != 3 {
		t.Fatalf("got %+v", m)
	}
}
