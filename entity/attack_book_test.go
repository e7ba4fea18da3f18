package entity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// answerBook holds what callers were told of their commands, to compare it with what is stored.
type answerBook struct {
	mu       sync.Mutex
	sent     map[string]bool
	told     map[string]told // by key: the first final answer
	repeats  int             // final answers behind the first
	last     time.Time       // when the newest command got its first final answer
	gap      time.Duration   // longest time without one
	wrong    []string
	said     map[string]int
	log      map[string][]logged // by entity, as compare found it
	attempts struct{ answered, rejected, unavailable, busy, unknown, failed int }
}

// told is a final answer.
type told struct {
	entity   string
	reply    int64
	rejected bool
}

func newAnswerBook() *answerBook {
	return &answerBook{sent: map[string]bool{}, told: map[string]told{}, said: map[string]int{}, last: time.Now()}
}

// complain notes something that cannot be. What follows from one defect may be much: a few of a kind say enough.
func (l *answerBook) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say(format, args...)
}

func (l *answerBook) say(format string, args ...any) {
	const enough = 5
	if l.said[format]++; l.said[format] <= enough {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// count counts an attempt by what came of it.
func (l *answerBook) count(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var no *entity.Rejection
	switch a := &l.attempts; {
	case err == nil:
		a.answered++
	case errors.As(err, &no):
		a.rejected++
	case errors.Is(err, entity.ErrBusy):
		a.busy++
	case errors.Is(err, entity.ErrUnavailable):
		a.unavailable++
	case errors.Is(err, entity.ErrUnknownOutcome):
		a.unknown++
	default:
		a.failed++
	}
}

// progress returns how many commands have a final answer, how many attempts were unavailable for another reason than a
// full queue, and how many unknown.
func (l *answerBook) progress() (final, unavailable, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told), l.attempts.unavailable, l.attempts.unknown
}

// longestGap returns the longest time without a final answer since the last call.
func (l *answerBook) longestGap() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := max(l.gap, time.Since(l.last))
	l.gap, l.last = 0, time.Now()
	return longest
}

// hear takes in the answer to one sending of a command. Final ones never differ.
func (l *answerBook) hear(key, id string, reply int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[key] = true
	var no *entity.Rejection
	rejected := errors.As(err, &no)
	if err != nil && !rejected {
		return
	}
	now := told{id, reply, rejected}
	first, known := l.told[key]
	if !known {
		l.told[key] = now
		l.gap = max(l.gap, time.Since(l.last))
		l.last = time.Now()
		return
	}
	l.repeats++
	if first != now {
		l.say("command %s was answered %+v, and later %+v", key, first, now)
	}
}

// logged is one stored command of an entity.
type logged struct {
	key string
	sum int64 // after it
}

// kept is how often the log holds a command, and with how many events.
type kept struct{ times, events int }

// compare holds the log against what callers were told: what was answered is there once, what was rejected
// once and without events, what nobody knows once at most, and nothing that nobody sent.
func (l *answerBook) compare(ctx context.Context, j journal.Journal, shards int) (commands, claims int) {
	l.log = map[string][]logged{}
	stored := map[entity.CommandKey]kept{}
	for shard := range shards {
		records, err := journaltest.ReadAll(ctx, j, uint32(shard))
		if err != nil {
			l.complain("read shard %d: %v", shard, err)
		}
		n, err := l.take(records, stored)
		if err != nil {
			l.complain("read shard %d: %v", shard, err)
		}
		claims += n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.sent {
		l.compareOne(key, stored[entity.CallerKey(key)])
		delete(stored, entity.CallerKey(key))
		commands++
	}
	for key := range stored {
		l.say("the log has command %s, which nobody sent", key)
	}
	return commands, claims
}

func (l *answerBook) compareOne(key string, is kept) {
	answer, known := l.told[key]
	switch {
	case !known && is.times > 1:
		l.say("command %s: nobody knows what became of it, and the log has it %d times", key, is.times)
	case known && !answer.rejected && is != kept{1, 1}:
		l.say("command %s to %s was answered with %d; the log has it %d times, with %d events", key, answer.entity, answer.reply, is.times, is.events)
	case known && answer.rejected && is != kept{1, 0}:
		l.say("command %s to %s was rejected; the log has it %d times, with %d events", key, answer.entity, is.times, is.events)
	}
}

// take counts the commands of records; it returns how many records are claims.
func (l *answerBook) take(records []journal.Record, stored map[entity.CommandKey]kept) (claims int, err error) {
	var reader entity.StoredReader
	for _, rec := range records {
		if rec.Claim {
			claims++
		}
		err = errors.Join(err, reader.Each(rec, func(s *entity.Stored) error {
			is := stored[s.Key]
			stored[s.Key] = kept{is.times + 1, is.events + len(s.Events)}
			return l.follow(s)
		}))
	}
	return claims, err
}

// follow adds a stored command to the order of its entity.
func (l *answerBook) follow(s *entity.Stored) error {
	before := l.log[s.ID]
	after := logged{key: s.Key.String()}
	if len(before) > 0 {
		after.sum = before[len(before)-1].sum
	}
	for _, ev := range s.Events {
		var v wrapperspb.Int64Value
		if err := proto.Unmarshal(ev.Payload, &v); err != nil {
			return err
		}
		after.sum += v.GetValue()
	}
	l.log[s.ID] = append(before, after)
	return nil
}

// judge ends the duel and fails the test for whatever was wrong.
func (d *duel) judge(t *testing.T, truth journal.Journal) {
	t.Helper()
	for _, wrong := range d.verdict(t, truth) {
		t.Error(wrong)
	}
}

// verdict ends the duel, reports its figures, and returns all that was wrong.
func (d *duel) verdict(t *testing.T, truth journal.Journal) []string {
	t.Helper()
	d.losersHaveLearnt(t.Context())
	d.end()
	commands, claims := d.book.compare(t.Context(), truth, d.shards)
	violations := d.history.violations(d.book.log)
	l, a, seconds := d.book, d.book.attempts, d.took.Seconds()
	final := len(l.told)
	t.Logf("%d owners, %.1f s: %.0f commands/s with a final answer (%d of %d sent), %.0f claims/s of one shard, %d hosts; %d repeats of answered commands",
		d.owners, seconds, float64(final)/seconds, final, commands, float64(claims)/seconds, d.claims.Load(), l.repeats)
	t.Logf("attempts/s: answered %.0f, rejected %.0f, unavailable or moved %.0f, busy %.0f, unknown %.0f, failed %.0f",
		float64(a.answered)/seconds, float64(a.rejected)/seconds, float64(a.unavailable)/seconds, float64(a.busy)/seconds, float64(a.unknown)/seconds, float64(a.failed)/seconds)
	const many = 2000 // commands, of which some must have met with everything
	if final == 0 || d.owners > 1 && claims <= d.owners*d.shards || final > many && (a.unknown == 0 || l.repeats == 0) {
		l.complain("%d final answers, %d claims, %d unknown outcomes, %d repeats: the duel proves nothing", final, claims, a.unknown, l.repeats)
	}
	return append(l.wrong, violations...)
}

// losersHaveLearnt asks every host for every entity once the fight is over: of each shard one
// host at most still answers, all others know that it is not theirs.
func (d *duel) losersHaveLearnt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	serving := make([]int, d.shards)
	for _, h := range d.hosts {
		d.askAll(ctx, h)
		shards, err := h.Shards(ctx)
		if err != nil {
			d.book.complain("shards of a host: %v", err)
			continue
		}
		for _, s := range shards {
			if s.Phase == "serving" {
				serving[s.Shard]++
			} else if s.Phase != "fenced" {
				d.book.complain("shard %d is %s (%s), although it is another's or this host is the owner", s.Shard, s.Phase, s.Reason)
			}
		}
	}
	for shard, n := range serving {
		if n != 1 {
			d.book.complain("%d hosts serve shard %d", n, shard)
		}
	}
}

// askAll asks a host for entities until each of its shards has looked at the log.
func (d *duel) askAll(ctx context.Context, h *entity.Host) {
	var asking sync.WaitGroup
	for id := range 8 * d.shards {
		asking.Go(func() {
			for {
				_, err := sum.Ask(ctx, tallies.Ref(h, fmt.Sprint("last-", id)), &emptypb.Empty{})
				if !errors.Is(err, entity.ErrUnknownOutcome) || ctx.Err() != nil {
					return
				}
				<-time.After(time.Millisecond) // an answer was lost on its way
			}
		})
	}
	asking.Wait()
}
