package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// withoutList is a journal as programs of 0.1.0 use it: they do not list events.
type withoutList struct{ journal.Journal }

func (j withoutList) Settle(ctx context.Context, name, value string) (string, error) {
	if strings.HasPrefix(name, "event") {
		return value, nil
	}
	return j.Journal.Settle(ctx, name, value)
}

// oldJournal returns what a program of 0.1.0 left: two types of entity in several shards.
func oldJournal(t *testing.T) journal.Journal {
	t.Helper()
	j := journal.NewMemory()
	h := startHost(t, withoutList{j}, func(c *entity.Config) { c.Types = []entity.Definition{tallies, ledgers1} })
	for i := range 8 {
		addTo1(t, h, fmt.Sprint(i), 1)
		if _, err := addTo.Ask(long(t), tallies.Ref(h, fmt.Sprint(i)), wrapperspb.Int64(1)); err != nil {
			t.Fatal(err)
		}
	}
	stopHost(t, h)
	if got := listedEvents(t, j); len(got) != 0 {
		t.Fatalf("a journal of 0.1.0 lists %q", got)
	}
	return j
}

var oldList = []string{"event/ledger/google.protobuf.Int32Value", "event/tally/google.protobuf.Int64Value", "events-listed"}

func TestAJournalWithoutAListIsListedByItsFirstStart(t *testing.T) {
	t.Parallel()
	j := oldJournal(t)
	var log lockedBuffer
	for range 2 {
		_, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: []entity.Definition{tallies}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if !errors.Is(err, entity.ErrUnknownEvents) || !strings.Contains(err.Error(), `"ledger", a type that is not in Config.Types: google.protobuf.Int32Value:`) {
			t.Errorf("%v, want it to name what it found in the logs", err)
		}
	}
	if got := listedEvents(t, j); !slices.Equal(got, oldList) {
		t.Errorf("listed are %q, want %q", got, oldList)
	}
	if n := strings.Count(log.String(), "reads its logs, once"); n != 1 {
		t.Errorf("two starts read the logs %d times:\n%s", n, &log)
	}
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{tallies, ledgers2} })
	wantCents(t, h, "3", 100)
}

func TestANewJournalIsNotRead(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	j := journal.NewMemory()
	startHost(t, j, func(c *entity.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	if got := listedEvents(t, j); !slices.Equal(got, []string{"events-listed"}) || strings.Contains(log.String(), "reads its logs") {
		t.Errorf("listed are %q, the log says\n%s", got, &log)
	}
}

var errEnded = errors.New("the process ends here")

// endsAfter lets a number of calls pass that list what a log holds.
type endsAfter struct {
	journal.Journal
	left atomic.Int64
}

func (j *endsAfter) step() error {
	if j.left.Add(-1) < 0 {
		return errEnded
	}
	return nil
}

func (j *endsAfter) Settle(ctx context.Context, name, value string) (string, error) {
	if strings.HasPrefix(name, "event") {
		if err := j.step(); err != nil {
			return "", err
		}
	}
	return j.Journal.Settle(ctx, name, value)
}

func (j *endsAfter) Settled(ctx context.Context, prefix string, visit func(name, value string) error) error {
	if err := j.step(); err != nil {
		return err
	}
	return j.Journal.Settled(ctx, prefix, visit)
}

func (j *endsAfter) Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	if err := j.step(); err != nil {
		return nil, err
	}
	return j.Journal.Read(ctx, shard, from, maxBytes)
}

func TestAListingThatBrokeOffBeginsAnew(t *testing.T) {
	t.Parallel()
	ends := 0
	for steps := int64(0); ; steps++ {
		mem := oldJournal(t)
		j := &endsAfter{Journal: mem}
		j.left.Store(steps)
		err := startError(t, j, tallies)
		complete := slices.Contains(listedEvents(t, mem), "events-listed")
		if complete && !slices.Equal(listedEvents(t, mem), oldList) {
			t.Fatalf("after %d steps the list counts as complete, but is %q", steps, listedEvents(t, mem))
		}
		if errors.Is(err, errEnded) {
			ends++
			err = startError(t, mem, tallies)
		}
		if !errors.Is(err, entity.ErrUnknownEvents) || !slices.Equal(listedEvents(t, mem), oldList) {
			t.Fatalf("begun anew after %d steps: %v, listed are %q", steps, err, listedEvents(t, mem))
		}
		if complete && j.left.Load() >= 0 {
			break
		}
	}
	if ends < 4+2 { // one for each shard and each pair
		t.Errorf("only %d places were tried", ends)
	}
}

// cancelsAtRead gives up the start as soon as logs are read.
type cancelsAtRead struct {
	journal.Journal
	cancel context.CancelFunc
}

func (j cancelsAtRead) Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]journal.Record, error) {
	j.cancel()
	return j.Journal.Read(ctx, shard, from, maxBytes)
}

func TestAListingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	mem := oldJournal(t)
	_, err := entity.Start(ctx, entity.Config{Journal: cancelsAtRead{mem, cancel}, Types: []entity.Definition{tallies, ledgers1}, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, context.Canceled) || len(listedEvents(t, mem)) != 0 {
		t.Errorf("%v, listed are %q", err, listedEvents(t, mem))
	}
}
