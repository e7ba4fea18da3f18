package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	nodes "github.com/skerryhq/skerry/journal/cassandra/launch"
)

// fleet is a cluster of real processes on one journal in Cassandra and one read model in PostgreSQL.
type fleet struct {
	t             *testing.T
	luck          *rand.Rand
	bin           string
	journal, read string
	ships         []*ship
	crowd         crowd
}

// ship is one node: a name, and the process that has it at the moment.
type ship struct {
	name    string
	process *process // nil while there is none
	client  atomic.Pointer[client.Client]
	http    *http.Client
	// within is what starts a program where the node lives, if that is not here, and listens where it listens there.
	within, listens []string
	// open tells callers that they may come to this door. They avoid it until a moment after it has let one wait.
	open    atomic.Bool
	avoided atomic.Int64
}

const (
	fleetShards = 12
	// beyondDetection is longer than it takes until others take a silent node's shards.
	beyondDetection = 6 * time.Second
)

// newFleet builds the program and makes the stores. Its luck is that of SKERRY_SEED, if there is one.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	nodes.Long(t)
	f := &fleet{t: t, journal: inCassandra(t), read: tableServer.URL(t), bin: build(t), luck: luckOf(t)}
	f.crowd = crowd{fleet: f, accepted: map[string]*atomic.Int64{}}
	return f
}

// command is what starts a process for a node.
func (f *fleet) command(s *ship) []string {
	command := append(slices.Clone(s.within), f.bin, "-name", s.name, "-journal", f.journal, "-read", f.read,
		"-shards", fmt.Sprint(fleetShards), "-log-level", "warn", "-drain", drainPatience)
	if s.listens != nil {
		return append(command, s.listens...)
	}
	return append(command, "-http", "127.0.0.1:0", "-admin", "127.0.0.1:0")
}

// launch starts a process for a node; it is known to the callers when it is ready.
func (f *fleet) launch(s *ship, args ...string) error {
	command := append(f.command(s), args...)
	p, err := launch(command[0], f.t.TempDir(), append(os.Environ(), "TMPDIR="+os.TempDir()), command[1:]...)
	if err != nil {
		return fmt.Errorf("node %s: %w", s.name, err)
	}
	f.t.Cleanup(func() { f.end(s.name, p) })
	s.process = p
	s.client.Store(client.New(p.http, s.http))
	s.open.Store(true)
	return nil
}

// end kills what is left of a process, and shows what it had to say if the test has failed.
func (f *fleet) end(name string, p *process) {
	p.kill()
	if f.t.Failed() {
		f.t.Logf("node %s said:\n%s", name, lastLines(p.stderr.String(), 30))
	}
}

func lastLines(text string, most int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func newShip(name string) *ship {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	return &ship{name: name, http: &http.Client{Transport: transport}}
}

// setSail starts so many nodes at the same moment; each is told of all.
func (f *fleet) setSail(count int) {
	f.t.Helper()
	addresses := freeAddresses(f.t, 2*count)
	var starting sync.WaitGroup
	failed := make([]error, count)
	for i := range count {
		s := newShip(fmt.Sprint("n", i+1))
		f.t.Cleanup(s.http.CloseIdleConnections)
		f.ships = append(f.ships, s)
		starting.Go(func() {
			failed[i] = f.launch(s, "-gossip", addresses[i], "-peer", addresses[count+i], "-join", strings.Join(addresses[:count], ","))
		})
	}
	starting.Wait()
	if err := errors.Join(failed...); err != nil {
		f.t.Fatal(err)
	}
	f.awaitWhole()
}

// freeAddresses finds ports that nobody listens on. They are below those that systems give to whoever asks for any, as
// other tests do all the time: so nobody takes one before we do, or while we do not listen for a while.
func freeAddresses(t *testing.T, count int) (addresses []string) {
	t.Helper()
	const first, last = 10_000, 32_000
	for tries := 0; len(addresses) < count; tries++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)))
		switch {
		case err == nil:
			defer l.Close() //nolint:revive // held until all are found
			addresses = append(addresses, l.Addr().String())
		case tries > last-first:
			t.Fatalf("no free port: %v", err)
		}
	}
	return addresses
}

// replace starts a new process for a node that has none.
func (f *fleet) replace(s *ship) {
	f.t.Helper()
	var seeds []string
	for _, other := range f.afloat() {
		seeds = append(seeds, other.process.gossip)
	}
	where := []string{"-gossip", "127.0.0.1:0", "-peer", "127.0.0.1:0"}
	if s.listens != nil {
		where = nil // they say it
	}
	if err := f.launch(s, append(where, "-join", strings.Join(seeds, ","))...); err != nil {
		f.t.Fatal(err)
	}
}

// afloat are the nodes that have a process.
func (f *fleet) afloat() (ships []*ship) {
	for _, s := range f.ships {
		if s.process != nil {
			ships = append(ships, s)
		}
	}
	return ships
}

// any is one node of those that have a process.
func (f *fleet) any() *ship {
	ships := f.afloat()
	return ships[f.luck.IntN(len(ships))]
}

// shards are those that a node says it serves.
func (s *ship) shards(ctx context.Context) (served []uint32, err error) {
	ctx, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	c := admin.Client{Addr: strings.TrimPrefix(s.process.admin, "http://"), HTTP: s.http}
	infos, err := c.Shards(ctx)
	for _, i := range infos {
		if i.Phase == "serving" {
			served = append(served, i.Shard)
		}
	}
	return served, err
}

// awaitWhole waits until each shard is served by one node, and each node serves some.
func (f *fleet) awaitWhole() {
	f.t.Helper()
	picture := ""
	for end := time.Now().Add(patience); ; <-time.After(100 * time.Millisecond) {
		whole := false
		if picture, whole = f.picture(); whole {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("after %v the shards are not at rest: %s", patience, picture)
		}
	}
}

func (f *fleet) picture() (string, bool) {
	var lines []string
	owners, idle := map[uint32]int{}, false
	for _, s := range f.afloat() {
		served, err := s.shards(f.t.Context())
		lines = append(lines, fmt.Sprint(s.name, " serves ", served, " ", err))
		idle = idle || len(served) == 0
		for _, shard := range served {
			owners[shard]++
		}
	}
	whole := !idle && len(owners) == fleetShards
	for _, n := range owners {
		whole = whole && n == 1
	}
	return strings.Join(lines, "; "), whole
}

// sink ends a node as a power cut would.
func (f *fleet) sink(s *ship) {
	s.process.kill() // its door is open to callers until they notice
	s.open.Store(false)
	s.process = nil
}

// berth tells a node to end, waits until it has, and wants it to have ended in good order.
func (f *fleet) berth(s *ship) {
	f.t.Helper()
	s.open.Store(false) // as a load balancer does that asks /readyz
	if err := s.process.stop(syscall.SIGTERM); err != nil {
		f.t.Fatalf("node %s did not end in good order: %v", s.name, err)
	}
	s.process = nil
}

// doze stops a node's process for about as long as the others need to begin to doubt.
func (f *fleet) doze(s *ship) {
	f.t.Helper()
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := s.process.cmd.Process.Signal(signal); err != nil {
			f.t.Fatal(err)
		}
		<-time.After(500*time.Millisecond + time.Duration(f.luck.Int64N(int64(2*time.Second))))
	}
}

// freeze stops a node's process for longer than the others need to notice, and lets it go on. Whoever asks
// it at that moment must not be answered with what was true before.
func (f *fleet) freeze(s *ship) {
	f.t.Helper()
	if err := s.process.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		f.t.Fatal(err)
	}
	<-time.After(beyondDetection)
	var asking sync.WaitGroup
	var answered atomic.Int64
	lots := f.crowd.newest(32)
	for _, lot := range lots {
		asking.Go(func() {
			if f.crowd.look(f.t.Context(), lot, s) {
				answered.Add(1)
			}
		})
	}
	<-time.After(200 * time.Millisecond) // the questions wait in its sockets
	if err := s.process.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		f.t.Fatal(err)
	}
	asking.Wait()
	f.t.Logf("the node that was paused has answered %d of %d questions", answered.Load(), len(lots))
}

// crowd is callers who bid and look, each at any door, and what they were told.
type crowd struct {
	fleet *fleet

	mu       sync.Mutex
	lots     []*lotBook
	accepted map[string]*atomic.Int64 // bids, by lot
	looks    atomic.Int64
	longest  atomic.Int64 // the longest time that a command took, over all its attempts
	again    atomic.Int64 // commands that were sent to a second door
}

const (
	// crowdCallers bid with pauses of up to crowdPause, so that the nodes and not the callers have the machine.
	crowdCallers = 12
	crowdPause   = 40 * time.Millisecond
	// attemptPatience is how long a caller waits at one door, avoidFor how long all prefer others then.
	attemptPatience = 2 * time.Second
	avoidFor        = 2 * time.Second
	// lotsAtOnce are bid on at a time; one that is full is followed by a new one.
	lotsAtOnce = 24
)

// during keeps the callers busy while something happens, and a little before and after.
func (c *crowd) during(happens func()) {
	c.fleet.t.Helper()
	ctx, stop := context.WithCancel(c.fleet.t.Context())
	var busy sync.WaitGroup
	for n := range crowdCallers {
		luck := rand.New(rand.NewPCG(c.fleet.luck.Uint64(), uint64(n)))
		busy.Go(func() { c.bid(ctx, fmt.Sprintf("caller-%d-%d", n, luck.Uint32()), luck) })
	}
	defer func() {
		stop()
		busy.Wait()
	}()
	<-time.After(500 * time.Millisecond)
	happens()
	<-time.After(500 * time.Millisecond)
}

// bid is one caller: command after command, each with a key of its own, and now and then a look. The last one is seen through.
func (c *crowd) bid(ctx context.Context, name string, luck *rand.Rand) {
	seenThrough := context.WithoutCancel(ctx)
	for n := 1; ctx.Err() == nil; n++ {
		l := c.lot(seenThrough, luck)
		if l == nil {
			return
		}
		cmd := &auctionv1.PlaceBid{Bidder: name, AmountCents: int64(10*n + luck.IntN(30))}
		if s := c.note(l, fmt.Sprint(name, "/", n), cmd); s != nil {
			c.send(seenThrough, s, luck)
		}
		if n%4 == 0 {
			c.look(seenThrough, l.id, nil)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(luck.Int64N(int64(crowdPause)))):
		}
	}
}

// lot is one of the newest lots; a new one takes the place of one that is full. nil when that cannot be opened.
func (c *crowd) lot(ctx context.Context, luck *rand.Rand) *lotBook {
	c.mu.Lock()
	i := len(c.lots) - 1 - luck.IntN(lotsAtOnce)
	if i >= 0 && len(c.lots[i].sent) <= mostBids {
		defer c.mu.Unlock()
		return c.lots[i]
	}
	id := fmt.Sprint("lot-", len(c.lots))
	s := &sent{lot: id, key: "open"}
	cmd := &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1}
	timed := luck.IntN(3) == 0
	if timed {
		cmd.Closing = &auctionv1.OpenLot_ClosesAfter{ClosesAfter: durationpb.New(time.Second + time.Duration(luck.Int64N(int64(4*time.Second))))}
	}
	s.cmd = cmd
	l := &lotBook{id: id, sent: []*sent{s}}
	c.lots, c.accepted[id] = append(c.lots, l), &atomic.Int64{}
	c.mu.Unlock()
	view := c.send(ctx, s, luck)
	if !s.yes {
		c.fleet.t.Errorf("lot %s cannot be opened: %s %v", id, s.answer, s.broken)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if timed {
		l.deadline = view.GetClosesAt().AsTime()
	}
	return l
}

// note writes down that a bid will be sent; nil if the lot has had enough. A lot that is not open yet says no.
func (c *crowd) note(l *lotBook, key string, cmd *auctionv1.PlaceBid) *sent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.sent) > mostBids {
		return nil
	}
	s := &sent{lot: l.id, key: key, cmd: cmd}
	l.sent = append(l.sent, s)
	return s
}

// send sends a command with its key to door after door until it is answered.
func (c *crowd) send(ctx context.Context, s *sent, luck *rand.Rand) *auctionv1.LotView {
	began := time.Now()
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	for attempts := 1; ctx.Err() == nil; attempts++ {
		door := c.door(luck)
		if door == nil {
			break
		}
		attempt, enough := context.WithTimeout(ctx, attemptPatience)
		answer, err := door.client.Load().Command(attempt, s.lot, s.key, s.cmd)
		late := attempt.Err() != nil
		enough()
		if late {
			door.avoided.Store(time.Now().Add(avoidFor).UnixNano())
		}
		var no *client.Refusal
		switch {
		case err == nil:
			c.answered(began, attempts)
			s.yes, s.answer = true, answer.Body
			if _, isBid := s.cmd.(*auctionv1.PlaceBid); isBid {
				c.count(s.lot).Add(1)
			}
			return answer.View
		case client.Rejected(err) != "" && errors.As(err, &no):
			c.answered(began, attempts)
			s.answer = no.Body
			return nil
		case !late:
			s.broken = err
			c.fleet.t.Errorf("lot %s, key %s: %v", s.lot, s.key, err)
			return nil
		}
	}
	c.fleet.t.Errorf("lot %s, key %s: no answer within %v", s.lot, s.key, patience)
	return nil
}

func (c *crowd) answered(began time.Time, attempts int) {
	if attempts > 1 {
		c.again.Add(1)
	}
	for took := int64(time.Since(began)); ; {
		if old := c.longest.Load(); took <= old || c.longest.CompareAndSwap(old, took) {
			return
		}
	}
}

// door is one of those that are open, if possible one that has let nobody wait just now.
func (c *crowd) door(luck *rand.Rand) (second *ship) {
	for _, i := range luck.Perm(len(c.fleet.ships)) {
		s := c.fleet.ships[i]
		switch {
		case !s.open.Load():
		case s.avoided.Load() < time.Now().UnixNano():
			return s
		default:
			second = s
		}
	}
	return second
}

func (c *crowd) count(lot string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted[lot]
}

// newest names lots that were opened last.
func (c *crowd) newest(most int) (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.lots[max(0, len(c.lots)-most):] {
		ids = append(ids, l.id)
	}
	return ids
}

// look asks for a lot, at one door or at any, and wants all bids to be there that were accepted before it asked. Of a
// door that does not answer it wants nothing; it returns whether it has.
func (c *crowd) look(ctx context.Context, lot string, at *ship) bool {
	least := c.count(lot).Load()
	ask, done := context.WithTimeout(ctx, attemptPatience)
	defer done()
	if at == nil {
		at = c.door(rand.New(rand.NewPCG(uint64(least), uint64(c.looks.Load()))))
	}
	if at == nil {
		return false
	}
	answer, err := at.client.Load().Lot(ask, lot, auction.KeptBids)
	if err != nil {
		return false
	}
	c.looks.Add(1)
	if got := answer.View.GetBidCount(); got < least {
		c.fleet.t.Errorf("lot %s: %d bids were accepted before it was asked, the answer has %d", lot, least, got)
	}
	return true
}

func (c *crowd) summary() string {
	b := book{lots: c.lots}
	return fmt.Sprintf("%s, %d looks; %d went to a second door, the longest took %v",
		b.summary(), c.looks.Load(), c.again.Load(), time.Duration(c.longest.Load()).Round(time.Millisecond))
}
