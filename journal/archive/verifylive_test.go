package archive

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// served is a journal whose service does something whenever somebody looks at what is derived: before an answer,
// all logs have grown, pages are ahead of what was read of them, and timers are gone from the index that were
// pending before.
type served struct {
	*sample
	t *testing.T
	// lost are entities without pages and timers.
	lost func(of journal.Entity) bool
	// looks counts down to when the service ends.
	looks int
}

func (s *served) goOn() {
	if s.looks--; s.looks < 0 {
		return
	}
	for _, l := range s.makers {
		for range 6 {
			l.next(s.t)
		}
		l.derive(s.t)
	}
}

func (s *served) Pages(ctx context.Context, of journal.Entity, after uint64, visit func(journal.Page) error) error {
	s.goOn()
	if s.lost != nil && s.lost(of) {
		return nil
	}
	return s.sample.Pages(ctx, of, after, visit)
}

// Snapshots returns one of the entity's newest state.
func (s *served) Snapshots(_ context.Context, of journal.Entity) ([]journal.Snapshot, error) {
	s.goOn()
	for _, l := range s.makers {
		if e := l.entities[of]; e != nil {
			body, err := proto.Marshal(&logv1.Snapshot{Entry: e.GetEntry(), Version: e.GetVersion(), Shard: uint64(l.shard)})
			return []journal.Snapshot{{Of: of, Entry: e.GetEntry(), Body: body}}, err
		}
	}
	return nil, nil
}

// Timers shows those that are pending, and no other.
func (s *served) Timers(_ context.Context, shard uint32, from, to int64, visit func(journal.Timer) error) error {
	s.goOn()
	for at, timer := range s.pending {
		if s.makers[shard].entities[at.of] == nil || timer.Hour() < from || timer.Hour() >= to || s.lost != nil && s.lost(at.of) {
			continue
		}
		if err := visit(timer); err != nil {
			return err
		}
	}
	return nil
}

func TestVerifyDoesNotMistakeAServiceForDamage(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		from := &served{sample: newSample(t, 40+seed, 2, 40), t: t, looks: 50}
		before := records(from)
		report, err := Verify(t.Context(), VerifyConfig{Journal: from})
		if err != nil || len(report.Findings) > 0 || len(report.Unchecked) > 0 {
			t.Errorf("seed %d: %+v, %v", seed, report, err)
		}
		if report.Records <= before {
			t.Errorf("seed %d: %d records were read: the service has done nothing", seed, report.Records)
		}
	}
}

func records(s *served) (n uint64) {
	for _, l := range s.makers {
		n += l.last.Number
	}
	return n
}

func TestVerifyFindsDamageWhileAServiceGoesOn(t *testing.T) {
	t.Parallel()
	lost := journal.Entity{Type: "account", ID: "1-\xff-2"}
	from := &served{sample: newSample(t, 70, 2, 40), t: t, looks: 50, lost: func(of journal.Entity) bool { return of == lost }}
	got := found(t, from)
	for _, line := range strings.Split(strings.TrimSpace(got), "\n") {
		if !strings.Contains(line, `account "1-\xff-2"`) {
			t.Errorf("found %s", line)
		}
	}
	if !strings.Contains(got, "entry 1 is in no page") {
		t.Errorf("found %q", got)
	}
}
