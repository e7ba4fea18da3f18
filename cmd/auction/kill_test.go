package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

// How hard the service is hit. Each round is one kill under load; every third is
// followed by a kill while the service starts.
const (
	rounds      = 30
	shortRounds = 4
	callers     = 8
	lotsARound  = 8
	mostLoad    = 800 * time.Millisecond
	mostStart   = 60 * time.Millisecond
	olderLots   = 20 // looked at again in each round; all of them at the end
	killShards  = 8
)

// TestNothingAcknowledgedIsLostWhenTheProcessIsKilled kills the real program at random moments,
// while callers bid, and looks after each restart whether all is as it was acknowledged, and
// after each kill whether the read model is the fold of the log. What
// it finds wrong depends on the moment, so a seed narrows a failure down but need not repeat it.
func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	n := rounds
	if testing.Short() {
		n = shortRounds
	}
	k.run(n, mostStart)
}

// newKiller builds the program.
func newKiller(t *testing.T) *killer {
	t.Helper()
	k := &killer{t: t, luck: luckOf(t), bin: build(t), dir: t.TempDir(), http: &http.Client{Timeout: patience}}
	k.open = func(dir string) (journal.Journal, error) { return pebble.Open(pebble.Config{Dir: dir}) }
	t.Cleanup(k.http.CloseIdleConnections)
	return k
}

// luckOf is that of SKERRY_SEED, if there is one.
func luckOf(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SKERRY_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SKERRY_SEED: %v", err)
		}
	}
	t.Logf("SKERRY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// run kills the program n times under load, and now and then within starting after its start.
func (k *killer) run(n int, starting time.Duration) {
	t := k.t
	k.start()
	for i := range n {
		k.loadAndKill(i)
		if i%3 == 2 {
			k.killWhileStarting(starting)
		}
		k.compareTables()
		k.start()
		k.book.settle(k)
		k.book.checkSome(k, olderLots)
	}
	k.book.awaitDeadlines(k)
	k.book.checkSome(k, len(k.book.lots))
	if err := k.process.stop(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if k.compareTables() > 0 {
		t.Error("the read model has not seen everything, although callers have waited for that")
	}
	t.Logf("%d kills, %d starts: %s; the read model was behind at %d of the kills", k.kills, k.starts, k.book.summary(), k.behind)
}

// killer runs the program and ends it.
type killer struct {
	t        *testing.T
	luck     *rand.Rand
	bin, dir string
	process  *process
	http     *http.Client
	book     book
	// journal is the URL of the journal, if it is not in dir; open opens it when no process runs.
	journal       string
	open          func(dir string) (journal.Journal, error)
	kills, starts int
	behind        int // kills at which the read model had not seen everything
}

// compareTables compares what the last process has left; it returns by how many events the tables are behind.
func (k *killer) compareTables() uint64 {
	k.t.Helper()
	behind := compareFiles(k.t, filepath.Join(k.dir, "data"), k.open)
	if behind > 0 {
		k.behind++
	}
	if k.t.Failed() {
		k.t.FailNow()
	}
	return behind
}

// build makes the real program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "auction")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

func (k *killer) args() []string {
	return []string{"-journal", k.journal, "-data", filepath.Join(k.dir, "data"), "-http", ":0", "-admin", ":0", "-shards", strconv.Itoa(killShards), "-log-level", "warn", "-drain", drainPatience}
}

func (k *killer) start() {
	k.t.Helper()
	p, err := launch(k.bin, k.dir, nil, k.args()...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(p.kill)
	k.process, k.starts = p, k.starts+1
}

func (k *killer) client() *client.Client { return client.New(k.process.http, k.http) }

// loadAndKill opens lots, lets callers bid on them, and ends the process in the midst of it.
func (k *killer) loadAndKill(round int) {
	k.book.begin()
	for i := range lotsARound {
		cmd := &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1}
		if i%2 == 0 {
			after := time.Duration(k.luck.Int64N(int64(mostLoad)))
			cmd.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(after + time.Millisecond)}
		}
		k.book.open(k, fmt.Sprintf("lot-%d-%d", round, i), cmd)
	}
	ctx, stop := context.WithCancel(k.t.Context())
	var bidding sync.WaitGroup
	for n := range callers {
		luck := rand.New(rand.NewPCG(k.luck.Uint64(), uint64(n)))
		bidding.Go(func() { k.bid(ctx, fmt.Sprintf("caller-%d-%d", round, n), luck) })
	}
	<-time.After(time.Duration(k.luck.Int64N(int64(mostLoad)))) // the random moment
	k.process.kill()
	k.kills++
	stop()
	bidding.Wait()
}

// bid is one caller: command after command, each with a key of its own.
func (k *killer) bid(ctx context.Context, name string, luck *rand.Rand) {
	for n := 1; ctx.Err() == nil; n++ {
		cmd := &auctionv1.PlaceBid{Bidder: name, AmountCents: int64(10*n + luck.IntN(30))}
		if s := k.book.note(luck.IntN(lotsARound), fmt.Sprint(name, "/", n), cmd); s != nil {
			s.send(ctx, k.client())
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(luck.IntN(20)) * time.Millisecond):
		}
	}
}

// killWhileStarting ends the process before it is known to be ready.
func (k *killer) killWhileStarting(within time.Duration) {
	cmd := exec.Command(k.bin, k.args()...)
	cmd.Dir = k.dir
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	<-time.After(time.Duration(k.luck.Int64N(int64(within))))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	k.kills++
}
