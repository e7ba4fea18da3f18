package cassandra

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// contestant writes to a log as an owner does that nothing but the log holds
// back: it walks on behind data and claims again behind another's claim.
type contestant struct {
	journaltest.Chain
	journal journal.Log
	won     []journal.Header
}

// leastWon is how many records an owner must store before it may end early.
const leastWon = 10

// run appends until n of its records are stored or, with a few, enough is closed. What it has begun it sees
// through, for as long as ctx lasts: its outcome must be known.
func (c *contestant) run(ctx context.Context, enough <-chan struct{}, shard uint32, n int) error {
	claimed := false
	for len(c.won) < min(n, leastWon) || len(c.won) < n && !isOver(enough) {
		rec := c.Claim()
		if claimed {
			rec = c.Next(len(c.won)%3 + 1)
		}
		ours, err := c.Append(ctx, c.journal, shard, rec)
		if err != nil {
			return fmt.Errorf("%s: record %d: %w", c.Writer, rec.Number, err)
		}
		if ours {
			claimed = true
			c.won = append(c.won, rec.Header)
		} else if c.Last.Claim {
			claimed = false
		}
	}
	return nil
}

func isOver(enough <-chan struct{}) bool {
	select {
	case <-enough:
		return true
	default:
		return false
	}
}

// contestTime is when a contest on a machine that is slow or busy goes on for those only who have stored little.
const contestTime = 45 * time.Second

// contest lets every owner append n records to each of some fresh shards, all at once, and holds
// what is stored against what each was told.
func contest(t *testing.T, truth journal.Journal, first, shards, n int, owners ...journal.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	enough := make(chan struct{})
	timer := time.AfterFunc(contestTime, func() { close(enough) })
	defer timer.Stop()
	var group sync.WaitGroup
	all := make([][]*contestant, shards)
	for shard := range shards {
		for i, owner := range owners {
			c := &contestant{Chain: journaltest.Chain{Writer: fmt.Sprint("owner ", i)}, journal: owner}
			all[shard] = append(all[shard], c)
			group.Go(func() {
				if err := c.run(ctx, enough, uint32(first+shard), n); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	for shard, contestants := range all {
		checkContest(t, truth, uint32(first+shard), contestants)
	}
}

// checkContest: nothing that was answered as stored is lost, and nothing is stored
// that nobody was told of.
func checkContest(t *testing.T, truth journal.Journal, shard uint32, contestants []*contestant) {
	t.Helper()
	records, err := readAll(t, truth, shard)
	if err != nil {
		t.Errorf("shard %d: %v", shard, err)
		return
	}
	told := 0
	if len(records) == 0 {
		t.Errorf("shard %d: nothing was stored: the test proves nothing", shard)
	}
	for _, c := range contestants {
		told += len(c.won)
		if len(c.won) == 0 {
			t.Errorf("shard %d: %s stored nothing at all: it is stuck", shard, c.Writer)
		}
		for _, h := range c.won {
			if h.Number > uint64(len(records)) || records[h.Number-1].Header != h {
				t.Errorf("shard %d: %s was told that slot %d is its own; it is not", shard, c.Writer, h.Number)
			}
		}
	}
	if told != len(records) {
		t.Errorf("shard %d: %d records are stored, the owners know of %d", shard, len(records), told)
	}
}

func TestOwnersOfDifferentLimitsAgreeOnEveryBorder(t *testing.T) {
	onEachPaxos(t, ownersOfDifferentLimits)
}

func ownersOfDifferentLimits(t *testing.T, cfg Config) {
	truth := opened(t, cfg)
	var owners []journal.Log
	for _, limit := range []int64{1, 300, 1000, 1 << 20} {
		other := cfg
		other.BucketBytes = limit
		owners = append(owners, opened(t, other))
	}
	contest(t, truth, 0, 2, 40, owners...)
	buckets := map[int64]bool{}
	err := patiently(within(t), func(ctx context.Context) error {
		iter := truth.session.Query("SELECT bucket FROM log WHERE shard = 0 ALLOW FILTERING").WithContext(ctx).Iter()
		var bucket int64
		for iter.Scan(&bucket) {
			buckets[bucket] = true
		}
		return iter.Close()
	})
	if err != nil || len(buckets) < leastWon { // the first owner opens one behind each of its records
		t.Errorf("%d buckets, %v: the test proves little", len(buckets), err)
	}
}

func TestLostAnswersLoseAndDoubleNothing(t *testing.T) {
	onEachPaxos(t, lostAnswers)
}

func lostAnswers(t *testing.T, cfg Config) {
	truth := opened(t, cfg)
	var owners []journal.Log
	var proxies []*proxy
	for i := range 2 {
		p := startProxy(t, cfg.Hosts[0], 0, uint64(i))
		other := cfg
		other.Hosts = []string{p.address()}
		other.Timeout = 300e6
		other.BucketBytes = 10000
		owners = append(owners, opened(t, other))
		proxies = append(proxies, p)
	}
	for _, p := range proxies {
		p.unkind.Store(true)
	}
	contest(t, truth, 0, 12, 150, owners...)
	kind := func(p *proxy) bool {
		done := p.spoilt()
		return done.dropped == 0 || done.cut == 0 || done.delayed == 0
	}
	const most = 100 // contests; a slow machine needs more than the first one
	for first := 12; first < most && slices.ContainsFunc(proxies, kind) && !t.Failed(); first++ {
		contest(t, truth, first, 1, 2*leastWon, owners...)
	}
	for _, p := range proxies {
		p.unkind.Store(false)
		t.Logf("%+v", p.spoilt())
		if kind(p) {
			t.Error("the proxy was too kind: the test proves nothing")
		}
	}
}
