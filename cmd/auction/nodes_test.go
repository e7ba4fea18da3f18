package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/service"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue/cataloguetest"
	"github.com/skerryhq/skerry/cmd/auction/internal/client"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/journal"
)

// someNodes is a cluster in this process, with a client at each door.
type someNodes struct {
	t       *testing.T
	group   *nodeGroup
	clients []*client.Client
	http    *http.Client
}

func startThree(t *testing.T) *someNodes {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	return startThreeOf(t, Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 16, AcceptClock: true, Logger: log})
}

func startThreeOf(t *testing.T, cfg Config) *someNodes {
	t.Helper()
	group, err := startNodes(t.Context(), cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	c := &someNodes{t: t, group: &nodeGroup{stores: group.stores}, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	t.Cleanup(c.stop)
	for _, s := range group.services {
		c.add(s)
	}
	c.settle()
	return c
}

// add makes a node one of the cluster's, with a client.
func (c *someNodes) add(s *Service) {
	c.group.services = append(c.group.services, s)
	c.clients = append(c.clients, client.New(s.HTTP(), c.http))
}

func (c *someNodes) stop() {
	c.http.CloseIdleConnections()
	ctx, done := context.WithTimeout(context.WithoutCancel(c.t.Context()), patience)
	defer done()
	if err := c.group.stop(ctx); err != nil {
		c.t.Errorf("stop: %v", err)
	}
}

// Another service needs to know one node of a cluster, and finds the others by it.
func TestANodeTellsOtherServicesWhoElseAnswers(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	opened := c.send(0, lotName(0), "open", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	c.mustShow(0, lotName(0), "", opened.Token) // the rows are the same at each node
	breakers, err := breaker.NewGroup(breaker.GroupConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var doors []string
	for _, s := range c.group.services {
		doors = append(doors, strings.TrimPrefix(s.HTTP(), "http://"))
	}
	slices.Sort(doors)
	members := &service.Members{Seeds: map[string][]string{"auction": {doors[1]}}, Base: c.http.Transport}
	for found := []string(nil); !slices.Equal(found, doors); time.Sleep(10 * time.Millisecond) {
		if found, err = members.Resolve(t.Context(), "auction"); err != nil {
			t.Fatal(err)
		}
	}
	services, err := service.New(service.Config{Resolver: members, Breakers: breakers, Base: c.http.Transport})
	if err != nil {
		t.Fatal(err)
	}
	gone := c.group.services[1]
	c.group.services = slices.Delete(c.group.services, 1, 2)
	stopping(t, gone)
	for range 20 {
		resp, err := (&http.Client{Transport: services}).Get("http://auction/v1/lots/" + lotName(0))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
}

// startMembers starts a cluster of members that are not all alike, in this process.
func startMembers(t *testing.T, members ...*Member) *someNodes {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 16, Logger: slog.New(slog.DiscardHandler)}
	opened, err := openStores(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &someNodes{t: t, group: &nodeGroup{stores: opened}, http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(c.stop)
	for i, m := range members {
		m.Cluster, m.Gossip, m.Peer = defaultCluster, "127.0.0.1:0", "127.0.0.1:0"
		if i > 0 {
			m.Seeds = []string{c.group.first().entities.gossip}
		}
		cfg.Member = m
		svc, err := startOn(t.Context(), cfg, opened)
		if err != nil {
			t.Fatal(err)
		}
		c.add(svc)
	}
	return c
}

// settle waits until each node has shards.
func (c *someNodes) settle() {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		have := 0
		for _, s := range c.group.services {
			if c.owns(s) > 0 {
				have++
			}
		}
		if have == len(c.group.services) {
			return
		}
	}
	c.t.Fatal("not every node has shards")
}

func (c *someNodes) owns(s *Service) (count int) {
	feed := s.entities.host.Feed()
	for shard := range uint32(feed.Shards()) {
		if _, serves := feed.Head(shard); serves {
			count++
		}
	}
	return count
}

// send sends a command through one node.
func (c *someNodes) send(node int, lot, key string, command proto.Message) client.Answer {
	c.t.Helper()
	answer, err := c.clients[node].Command(c.t.Context(), lot, key, command)
	if err != nil {
		c.t.Fatalf("%T to %s through node %d: %v", command, lot, node+1, err)
	}
	return answer
}

func (c *someNodes) open(lots int) {
	c.t.Helper()
	for i := range lots {
		c.send(i%3, lotName(i), "open", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
	}
}

func lotName(i int) string { return fmt.Sprint("lot-", i) }

func TestAnyNodeAnswersAnyCommand(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(12)
	for i := range 12 {
		for node := range 3 {
			c.send(node, lotName(i), fmt.Sprint("bid-", node), &auctionv1.PlaceBid{Bidder: fmt.Sprint("b", node), AmountCents: int64(1000 * (node + 1))})
		}
		for node, of := range c.clients {
			got, err := of.Lot(t.Context(), lotName(i), 10)
			if err != nil || got.View.GetBidCount() != 3 || got.View.GetLeader() != "b2" {
				t.Errorf("node %d says of %s: %v, %v", node+1, lotName(i), got.View, err)
			}
		}
	}
}

// A key is the lot's and not the node's: who repeats a command elsewhere gets the first answer.
func TestARepeatThroughAnotherNodeGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(6)
	for i := range 6 {
		bid := &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500}
		first := c.send(0, lotName(i), "mine", bid)
		if again := c.send(1, lotName(i), "mine", bid); string(again.Body) != string(first.Body) {
			t.Errorf("%s: got %s, then %s", lotName(i), first.Body, again.Body)
		}
	}
}

func TestAnAnswerCanBeAskedForAtAnotherNode(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(6)
	for i := range 6 {
		at := c.sendAsync(0, lotName(i))
		status, _, body := c.get(1, at, "")
		for end := time.Now().Add(patience); (status == http.StatusAccepted || status == http.StatusNotFound) && time.Now().Before(end); { // on its way
			status, _, body = c.get(1, at, "")
		}
		if status != http.StatusOK || !strings.Contains(body, `"bidCount":"1"`) {
			t.Errorf("%s: %d %s", at, status, body)
		}
	}
}

// sendAsync bids without waiting, and returns where the answer is going to be.
func (c *someNodes) sendAsync(node int, lot string) string {
	c.t.Helper()
	url := c.group.services[node].HTTP() + "/v1/entities/lot/" + lot + "/PlaceBid"
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, url, strings.NewReader(`{"bidder":"ann","amountCents":500}`))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "respond-async")
	req.Header.Set("Idempotency-Key", "async")
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		c.t.Fatalf("got %s", resp.Status)
	}
	return resp.Header.Get("Location")
}

// get asks one node, after its read model has seen what a token stands for.
func (c *someNodes) get(node int, path, token string) (status int, after, body string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.group.services[node].HTTP()+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Skerry-Token", token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Skerry-Token"), string(text)
}

func TestAnyNodeShowsOnesOwnWrite(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(9)
	for i := range 9 {
		bid := c.send(i%3, lotName(i), "mine", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
		for node := range 3 {
			c.mustShow(node, lotName(i), "ann", bid.Token)
			status, _, body := c.get(node, "/v1/entities/lot/"+lotName(i)+"/GetLot", bid.Token)
			if status != http.StatusOK || !strings.Contains(body, `"leader":"ann"`) {
				t.Errorf("node %d says of %s: %d %s", node+1, lotName(i), status, body)
			}
		}
	}
}

// mustShow asks a node's read model who leads, after it has seen what a token stands for.
func (c *someNodes) mustShow(node int, lot, leader, token string) {
	c.t.Helper()
	status, _, body := c.get(node, "/v1/lots/"+lot, token)
	for end := time.Now().Add(patience); status == http.StatusServiceUnavailable && time.Now().Before(end); { // a slow machine: it may be asked again
		status, _, body = c.get(node, "/v1/lots/"+lot, token)
	}
	if status != http.StatusOK || !strings.Contains(body, fmt.Sprintf(`"leader":%q`, leader)) {
		c.t.Errorf("node %d, %s: %d %s", node+1, lot, status, body)
	}
}

func TestEachNodesStreamHasTheEventsOfAllShards(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(9)
	streams := make([]*events, 3)
	for node := range streams {
		streams[node] = c.listen(node, "")
	}
	for i := range 9 {
		c.send(i%3, lotName(i), "mine", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
	}
	for node, s := range streams {
		s.until(9)
		if len(s.bids) != 9 {
			t.Errorf("node %d told of %v", node+1, s.bids)
		}
	}
}

// A browser that loses one node goes on at another with the id that it had last.
func TestAStreamGoesOnAtAnotherNodeWithoutAHoleOrARepeat(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(6)
	at, seen := "", map[string]int{}
	first := c.listen(0, "")
	for round := range 6 {
		s := first
		if round > 0 {
			s = c.listen(round%3, at)
		}
		for i := range 6 {
			c.send((i+round)%3, lotName(i), fmt.Sprint("bid-", round), &auctionv1.PlaceBid{Bidder: "ann", AmountCents: int64(500 * (round + 1))})
		}
		s.until(2) // some of it
		at = s.close()
		for bid, times := range s.bids {
			seen[bid] += times
		}
	}
	last := c.listen(1, at)
	for bid, times := range last.until(36 - len(seen)).bids {
		seen[bid] += times
	}
	if len(seen) != 36 {
		t.Errorf("%d of 36 bids were told of", len(seen))
	}
	for bid, times := range seen {
		if times != 1 {
			t.Errorf("%s was told of %d times", bid, times)
		}
	}
}

// events is one live stream.
type events struct {
	t     *testing.T
	body  io.Closer
	lines *bufio.Scanner
	id    string
	bids  map[string]int // how often each was told of
}

// listen opens a stream at one node, behind an id if there is one.
func (c *someNodes) listen(node int, after string) *events {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	c.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.group.services[node].HTTP()+"/v1/stream", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = resp.Body.Close() })
	s := &events{t: c.t, body: resp.Body, lines: bufio.NewScanner(resp.Body), bids: map[string]int{}}
	s.lines.Buffer(nil, 1<<20)
	for s.id == "" {
		s.read()
	}
	return s
}

// read takes in one line.
func (s *events) read() {
	s.t.Helper()
	if !s.lines.Scan() {
		s.t.Fatalf("the stream ended: %v", s.lines.Err())
	}
	name, value, _ := strings.Cut(s.lines.Text(), ": ")
	switch name {
	case "id":
		s.id = value
	case "event":
		if value == "reset" {
			s.t.Fatalf("the stream begins anew")
		}
	case "data":
		s.take(value)
	}
}

func (s *events) take(data string) {
	var message struct {
		Bids []struct{ Lot, Number string }
	}
	if err := json.Unmarshal([]byte(data), &message); err != nil {
		s.t.Fatal(err)
	}
	for _, b := range message.Bids {
		s.bids[b.Lot+"/"+b.Number]++
	}
}

// until reads until so many bids were told of.
func (s *events) until(bids int) *events {
	s.t.Helper()
	for len(s.bids) < bids {
		s.read()
	}
	return s
}

// close ends the stream and returns its last id.
func (s *events) close() string {
	_ = s.body.Close()
	return s.id
}

func TestANodeThatStopsIsMissedByNobody(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(12)
	var bidding sync.WaitGroup
	stop := make(chan struct{})
	accepted := make([]int64, 12)
	for i := range 12 {
		bidding.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				bid := &auctionv1.PlaceBid{Bidder: fmt.Sprint("b", n%2), AmountCents: int64(1000 * n)}
				if _, err := c.clients[i%2].Command(t.Context(), lotName(i), fmt.Sprint("bid-", n), bid); err != nil {
					t.Errorf("bid %d on %s: %v", n, lotName(i), err)
					return
				}
				accepted[i]++
			}
		})
	}
	last := c.group.services[2]
	c.group.services = c.group.services[:2]
	stopping(t, last)
	close(stop)
	bidding.Wait()
	for i, want := range accepted {
		got, err := c.clients[1].Lot(t.Context(), lotName(i), 1)
		if err != nil || got.View.GetBidCount() != want {
			t.Errorf("%s has %d bids, %d were accepted: %v", lotName(i), got.View.GetBidCount(), want, err)
		}
	}
	t.Logf("accepted while a node stopped: %v", accepted)
	c.compareRows()
}

// compareRows compares the read model with what the logs come to, once it has seen them to their ends.
func (c *someNodes) compareRows() {
	c.t.Helper()
	svc := c.group.first()
	log := svc.stores.journal.Read
	all := journal.Token{History: svc.entities.rows.History()}
	for shard := range uint32(svc.entities.rows.Shards()) {
		head, err := svc.stores.journal.Head(c.t.Context(), shard)
		if err != nil {
			c.t.Fatal(err)
		}
		if head.Last.NextOffset() > 1 {
			all = all.With(shard, head.Last.NextOffset()-1)
		}
	}
	if err := svc.processors.WaitFor(c.t.Context(), catalogue.Name, all); err != nil {
		c.t.Fatal(err)
	}
	is, err := cataloguetest.Fold(c.t.Context(), log, svc.entities.rows.Shards(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if problems, err := is.Compare(c.t.Context(), svc.lots); err != nil || len(problems) > 0 {
		c.t.Errorf("%v\n%s", err, strings.Join(problems, "\n"))
	}
}

func TestANodeThatHandsOverAnswersForLotsThatOthersHave(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	c.open(6)
	last := c.group.services[2]
	for status := 0; status != http.StatusOK; { // its shards come one by one
		status, _, _ = c.get(2, "/readyz", "")
	}
	last.entities.handOver(t.Context())
	if n := c.owns(last); n > 0 {
		t.Errorf("it has %d shards", n)
	}
	for path, want := range map[string]int{"/readyz": http.StatusServiceUnavailable, "/livez": http.StatusOK} {
		if status, _, body := c.get(2, path, ""); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	s := c.listen(2, "")
	for i := range 6 {
		c.send(2, lotName(i), "late", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
	}
	s.until(6)
}

func TestANodeThatIsAloneWaitsForNobody(t *testing.T) {
	t.Parallel()
	m := &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Weight: 1}
	svc, err := Start(t.Context(), Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Member: m, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer stopping(t, svc)
	if _, err := client.New(svc.HTTP(), http.DefaultClient).Command(t.Context(), "lamp", "k", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 1}); err != nil {
		t.Error(err)
	}
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	if err := svc.entities.member.HandOver(ctx); err != nil {
		t.Errorf("it waited for others: %v", err)
	}
}

// Who watches asks, and is answered when something happens: the end of the node is the last of it.
func TestAnOperatorWhoWatchesHoldsUpNoStop(t *testing.T) {
	t.Parallel()
	m := &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Weight: 1}
	svc, err := Start(t.Context(), Config{Dir: t.TempDir(), HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", Shards: 1, Member: m, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	watching := make(chan struct{})
	told := sync.OnceFunc(func() { close(watching) })
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for after, ok := "0", true; ok; told() {
			after, ok = watchBehind(svc, after)
		}
	})
	<-watching
	ctx, done := context.WithTimeout(t.Context(), 7*time.Second) // less than a question waits
	defer done()
	if err := svc.Stop(ctx); err != nil {
		t.Error(err)
	}
	watcher.Wait()
}

// watchBehind asks for the events behind one, and returns the number of the last; false if the node is gone.
func watchBehind(svc *Service, after string) (last string, ok bool) {
	resp, err := http.Get(svc.Admin() + "/admin/v1/events?after=" + after)
	if err != nil {
		return after, false
	}
	defer resp.Body.Close()
	var told struct{ Events []struct{ Number string } }
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || resp.StatusCode != http.StatusOK {
		return after, false
	}
	if n := len(told.Events); n > 0 {
		after = told.Events[n-1].Number
	}
	return after, true
}

// A gateway runs no lots; here it also does the others' work on the read model.
func TestAGatewayWritesTheRowsOfAllIfToldTo(t *testing.T) {
	t.Parallel()
	c := startMembers(t,
		&Member{Name: "n1", Weight: 1, Rows: rowsOfNone}, &Member{Name: "n2", Weight: 1, Rows: rowsOfNone}, &Member{Name: "g", Gateway: true, Rows: rowsOfAll})
	c.open(6)
	for i := range 6 {
		bid := c.send(i%3, lotName(i), "mine", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
		for node := range 3 {
			c.mustShow(node, lotName(i), "ann", bid.Token)
		}
	}
	gateway := c.group.services[2]
	if n := c.owns(gateway); n != 0 {
		t.Errorf("the gateway has %d shards", n)
	}
	if at := gateway.processors.Position(catalogue.Name); len(at.Offsets) == 0 {
		t.Error("the gateway has written no rows")
	}
}
