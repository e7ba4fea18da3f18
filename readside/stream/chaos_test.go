package stream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside/stream"
)

// Whatever is cut, restarted or slow: each client sees each event of its topics exactly once, in
// the order of its shard, and all events of a command in one message.
func TestEveryClientSeesEveryEventOnceAcrossAllCuts(t *testing.T) {
	t.Parallel()
	var catchUps, cutOff atomic.Uint64
	try := func(seed uint64) func(*testing.T) {
		return func(t *testing.T) {
			c := newChaos(t, seed)
			c.run(t)
			catchUps.Add(c.catchUps)
			cutOff.Add(c.cutOff)
			t.Logf("%d times a client read the journal, %d were cut off", c.catchUps, c.cutOff)
		}
	}
	const seeds, most = 8, 50
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				try(seed)(t)
			})
		}
	})
	// How often that happens is for the scheduler to say.
	for seed := uint64(seeds); !t.Failed() && (catchUps.Load() == 0 || cutOff.Load() == 0); seed++ {
		if seed == most {
			t.Fatalf("%d times a client read the journal, %d were cut off: the test has not tried that", catchUps.Load(), cutOff.Load())
		}
		t.Run(fmt.Sprint("one more, ", seed), try(seed))
	}
}

const (
	chaosShards  = 5
	chaosCommits = 400
	chaosClients = 8
)

// chaos is one run: a source, and a stream that is restarted now and then.
type chaos struct {
	source *twin
	rand   *rand.Rand
	cfg    stream.Config
	now    atomic.Pointer[stream.Stream]
	begun  sync.WaitGroup // of the clients

	catchUps, cutOff uint64 // of the streams so far

	mu       sync.Mutex
	commits  int
	progress chan struct{} // closed with the next commit
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{source: newTwin(chaosShards), rand: rand.New(rand.NewPCG(seed, 1)), progress: make(chan struct{})}
	c.cfg = configOf(c.source)
	c.cfg.PingEvery = 20 * time.Millisecond // lets a client see that nothing more comes
	c.cfg.MaxQueue, c.cfg.KeepBytes = 1+c.rand.IntN(20), []int{1, 700, 5000, 1 << 20}[c.rand.IntN(4)]
	c.replace(t, c.begin(t))
	return c
}

func (c *chaos) begin(t *testing.T) *stream.Stream {
	s, err := stream.New(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *chaos) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.now.Load().ServeHTTP(w, r) }

// replace lets another stream go on, as a new process would; nil: none.
func (c *chaos) replace(t *testing.T, next *stream.Stream) {
	old := c.now.Swap(next)
	if old == nil {
		return
	}
	if err := old.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	c.catchUps += old.Stats().CatchUps
	c.cutOff += old.Stats().CutOff
}

func (c *chaos) run(t *testing.T) {
	for range c.rand.IntN(30) { // history from before the first client
		c.commit(t)
	}
	var clients sync.WaitGroup
	finished := make(chan struct{})
	for n := range chaosClients {
		v := &visitor{chaos: c, rand: rand.New(rand.NewPCG(uint64(n), c.rand.Uint64())), finished: finished, seen: map[uint32][]row{}}
		if n%2 == 1 {
			v.topics = []string{"a", "b", "c", "d"}[:1+n/2%2]
		}
		c.begun.Add(1)
		clients.Go(func() { v.visit(t) })
	}
	c.begun.Wait()
	for range chaosCommits {
		c.commit(t)
		for n := 0; n < 10_000 && c.rand.IntN(200) > 0 && c.now.Load().Stats().Behind > 0; n++ {
			runtime.Gosched() // so that not all commits come at once
		}
		if c.rand.IntN(60) == 0 {
			c.replace(t, c.begin(t))
		}
	}
	close(finished)
	clients.Wait()
	c.replace(t, nil)
}

// commit stores some commands in one record of a random shard. A price tells command, place and count.
func (c *chaos) commit(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shard := uint32(c.rand.IntN(chaosShards))
	var commands []command
	for range c.rand.IntN(4) {
		c.commits++
		count := c.rand.IntN(4)
		one := command{id: string(rune('a' + (int(shard)+chaosShards*c.rand.IntN(2))%8))}
		for i := range count {
			one.events = append(one.events, bid("", int64(c.commits<<8|i<<4|count)).events...)
		}
		commands = append(commands, one)
	}
	c.source.commit(t, shard, commands...)
	close(c.progress)
	c.progress = make(chan struct{})
}

// next is closed with the next commit.
func (c *chaos) next() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress
}

// visitor is one client, over all its connections.
type visitor struct {
	*chaos
	rand     *rand.Rand
	topics   []string
	finished <-chan struct{}
	from     journal.Token // where it began
	begins   sync.Once
	lastID   string
	seen     map[uint32][]row
}

func (v *visitor) visit(t *testing.T) {
	query := url.Values{"lot": v.topics}
	if v.rand.IntN(2) == 0 {
		query.Set("after", "h1.")
		v.from = journal.Token{History: "h1"}
		v.begins.Do(v.begun.Done)
	}
	for !t.Failed() && !v.complete(t) {
		if err := v.connection(t, "/?"+query.Encode()); err != nil {
			t.Errorf("%v: %v", v.topics, err)
		}
	}
	v.begins.Do(v.begun.Done)
	v.check(t)
}

// connection reads until it is cut: by the client at a random byte, or by the server.
func (v *visitor) connection(t *testing.T, url string) error {
	p, done := connect(t, v, url, v.lastID)
	limit := int64(20 + v.rand.IntN(4000))
	select {
	case <-v.finished:
		limit = 1 << 40 // nothing is cut any more
	default:
	}
	raw := p.body
	p.lines = bufio.NewReaderSize(io.LimitReader(&sleepy{raw, v}, limit), 16)
	defer func() {
		_ = raw.Close()
		<-done
	}()
	for !v.complete(t) {
		m, err := p.block()
		if err != nil {
			return nil // cut
		}
		if err := v.take(m, p.lastID); err != nil {
			return err
		}
	}
	return nil
}

// sleepy is a connection whose reader sometimes waits for a few commits.
type sleepy struct {
	io.Reader
	v *visitor
}

func (s *sleepy) Read(b []byte) (int, error) {
	if s.v.lastID != "" && s.v.rand.IntN(300) == 0 {
		for range s.v.rand.IntN(30) {
			select {
			case <-s.v.next():
			case <-s.v.finished:
			}
		}
	}
	return s.Reader.Read(b)
}

// take checks one block and remembers its rows.
func (v *visitor) take(m message, id string) error {
	if id == "" {
		return nil // the first words
	}
	token, err := journal.ParseToken(id)
	if err != nil {
		return fmt.Errorf("id %q: %w", id, err)
	}
	if v.lastID == "" && v.from.History == "" {
		v.from = token
	}
	v.lastID = id
	v.begins.Do(v.begun.Done)
	if m.data == "" {
		return nil
	}
	rows, err := rowsOf(m)
	if err != nil {
		return err
	}
	commands := map[int64]int64{}
	for _, r := range rows {
		commands[r.Cents>>8<<4|r.Cents&15]++
		v.seen[r.Shard] = append(v.seen[r.Shard], r)
		if r.Offset > token.Offset(r.Shard) {
			return fmt.Errorf("event %d of shard %d in a message with id %s", r.Offset, r.Shard, id)
		}
	}
	for c, n := range commands {
		if n != c&15 {
			return fmt.Errorf("%d of the %d events of command %d in one message", n, c&15, c>>4)
		}
	}
	return nil
}

// complete tells whether nothing more is to come.
func (v *visitor) complete(t *testing.T) bool {
	select {
	case <-v.finished:
	default:
		return false
	}
	if v.from.History == "" {
		return false // it has not begun
	}
	seen := 0
	for _, rows := range v.seen {
		seen += len(rows)
	}
	return seen >= len(v.expected(t))
}

// expected lists the events that the visitor is to see.
func (v *visitor) expected(t *testing.T) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []string
	for shard := range uint32(chaosShards) {
		for _, e := range v.source.events(t, shard) {
			if e.offset > v.from.Offset(shard) && (len(v.topics) == 0 || strings.Contains(strings.Join(v.topics, ""), e.id)) {
				out = append(out, fmt.Sprint(shard, e.offset, e.id, e.cents))
			}
		}
	}
	return out
}

func (v *visitor) check(t *testing.T) {
	var got []string
	for shard := range uint32(chaosShards) {
		for _, r := range v.seen[shard] {
			got = append(got, fmt.Sprint(r.Shard, r.Offset, r.Lot, r.Cents))
		}
	}
	want := v.expected(t)
	if len(want) == 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("topics %v from %v: got %d events, want %d:\n%v\n%v", v.topics, v.from, len(got), len(want), got, want)
	}
}
