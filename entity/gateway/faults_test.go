package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// A register keeps the names that it was told, in order. It answers a name's place.
type register struct{ Names []string }

var (
	enter = entity.On(func(r register, cmd entity.Command[*wrapperspb.StringValue]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if strings.HasPrefix(cmd.Msg.GetValue(), "no") {
			return entity.None, nil, entity.Reject("no", "%s is not wanted", cmd.Msg.GetValue())
		}
		return entity.Persist(cmd.Msg), wrapperspb.Int64(int64(len(r.Names))), nil
	})
	names = entity.Query(func(r register, _ entity.Command[*emptypb.Empty]) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(strings.Join(r.Names, " ")), nil
	})
	registers = entity.Define[register]("register", enter, names,
		entity.Apply(func(r register, e *wrapperspb.StringValue) register {
			return register{append(slices.Clone(r.Names), e.GetValue())}
		}))
)

// proxy passes bytes on between its listener and a server, and does harm on the way.
type proxy struct {
	listener net.Listener
	to       string
	random   func(n int) int
	harm     atomic.Int64 // so many of 1,000 pieces come to harm
	cut      atomic.Int64
	work     sync.WaitGroup
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func startProxy(t *testing.T, to string, seed uint64) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, seed))
	p := &proxy{listener: l, to: to, open: map[net.Conn]bool{}, random: func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cutAll()
		p.work.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil || p.random(1000) < int(p.harm.Load()) {
			_ = in.Close()
			if err == nil {
				_ = out.Close()
			}
			continue
		}
		p.mu.Lock()
		p.open[in], p.open[out] = true, true
		p.mu.Unlock()
		p.work.Go(func() { p.pass(in, out) })
		p.work.Go(func() { p.pass(out, in) })
	}
}

func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

// pass copies piece by piece. A piece may be lost, or half of it, or all that follows it, or come late.
func (p *proxy) pass(from, to net.Conn) {
	defer func() {
		_, _ = from.Close(), to.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, from)
		delete(p.open, to)
	}()
	piece := make([]byte, 4<<10)
	for {
		n, err := from.Read(piece)
		if err != nil {
			return
		}
		keep, last := n, false
		if p.random(1000) < int(p.harm.Load()) {
			p.cut.Add(1)
			switch p.random(4) {
			case 0:
				return
			case 1:
				keep, last = n/2, true
			case 2:
				last = true
			case 3:
				time.Sleep(time.Duration(p.random(20)) * time.Millisecond) // the fault itself, not a wait for anything
			}
		}
		if _, err := to.Write(piece[:keep]); err != nil || last {
			return
		}
	}
}

// told is what a caller knows of one name.
type told struct {
	name string
	at   int64
	err  error
}

// Several clients send many commands through a network that loses connections at every point, in both
// directions. What each was told must agree with what the entities hold.
func TestEachCommandCountsOnceThroughABadNetwork(t *testing.T) {
	t.Parallel()
	host := startHost(t, registers)
	h, err := gateway.New(gateway.Config{Caller: host, Types: []entity.Definition{registers}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := listen(t, h)
	bad := startProxy(t, strings.TrimPrefix(server, "http://"), 7)
	bad.harm.Store(100)
	const clients, callers, commands, entities, harmed = 4, 6, 100, 5, 100
	all := map[string][]told{}
	for round := 0; round == 0 || bad.cut.Load() < harmed && round < 20; round++ { // a slow machine sends fewer pieces, and larger ones
		answers := make(chan map[string][]told, clients*callers)
		var work sync.WaitGroup
		for c := range clients {
			client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{bad.url(), bad.url()}, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			for g := range callers {
				work.Go(func() {
					answers <- enterMany(t.Context(), client, fmt.Sprintf("%d-%d-%d", round, c, g), commands, entities)
				})
			}
		}
		work.Wait()
		close(answers)
		for a := range answers {
			for id, list := range a {
				all[id] = append(all[id], list...)
			}
		}
	}
	bad.harm.Store(0)
	if bad.cut.Load() < harmed {
		t.Errorf("only %d pieces came to harm: the network was too good to tell anything", bad.cut.Load())
	}
	outcomes := map[string]int{}
	for id, list := range all {
		view, err := names.Ask(t.Context(), registers.Ref(host, id), &emptypb.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		agree(t, id, strings.Fields(view.GetValue()), list, outcomes)
	}
	if outcomes["reply"] < clients*callers*commands/2 || outcomes["unknown"] == 0 {
		t.Errorf("the outcomes are %v: too few replies, or nothing unknown, to tell anything", outcomes)
	}
	t.Logf("%v, %d pieces came to harm", outcomes, bad.cut.Load())
}

// enterMany enters names in several registers, some with keys and some that are refused.
func enterMany(ctx context.Context, c entity.Caller, who string, commands, entities int) map[string][]told {
	out := map[string][]told{}
	for i := range commands {
		id := fmt.Sprint("r", i%entities)
		x := told{name: fmt.Sprintf("%s-%d", who, i)}
		if i%10 == 9 {
			x.name = "no-" + x.name
		}
		var options []entity.CallOption
		if i%2 == 0 {
			options = append(options, entity.Key(x.name))
		}
		patience := time.Minute
		if i%8 == 7 {
			patience = time.Millisecond << (i / 8 % 8) // too little for many, however fast the machine is: what became of those is unknown
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		reply, err := enter.Ask(ctx, registers.Ref(c, id), wrapperspb.String(x.name), options...)
		cancel()
		x.at, x.err = reply.GetValue(), err
		out[id] = append(out[id], x)
	}
	return out
}

// agree holds what callers were told against what an entity has.
func agree(t *testing.T, id string, has []string, list []told, outcomes map[string]int) {
	t.Helper()
	for _, x := range list {
		n := 0
		for _, name := range has {
			if name == x.name {
				n++
			}
		}
		var refused *entity.Rejection
		outcome := "reply"
		switch {
		case x.err == nil:
			if n != 1 || has[x.at] != x.name {
				t.Errorf("%s: %s was entered at %d; it is there %d times in %q", id, x.name, x.at, n, has)
			}
		case errors.As(x.err, &refused):
			outcome = "rejection"
			if n != 0 || !strings.HasPrefix(x.name, "no") {
				t.Errorf("%s: %s was refused with %v; it is there %d times", id, x.name, x.err, n)
			}
		case errors.Is(x.err, entity.ErrUnavailable):
			outcome = "unavailable"
			if n != 0 {
				t.Errorf("%s: %s did not run, by %v; it is there %d times", id, x.name, x.err, n)
			}
		case errors.Is(x.err, entity.ErrUnknownOutcome):
			outcome = "unknown"
			if n > 1 {
				t.Errorf("%s: %s is there %d times", id, x.name, n)
			}
		default:
			t.Errorf("%s: %s ended with %v", id, x.name, x.err)
		}
		outcomes[outcome]++
	}
}

// startHost runs entities on a journal in memory.
func startHost(t *testing.T, types ...entity.Definition) *entity.Host {
	t.Helper()
	j := journal.NewMemory()
	host, err := entity.Start(t.Context(), entity.Config{Journal: j, Types: types, Shards: 4, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(host.Stop(context.WithoutCancel(t.Context())), j.Close()); err != nil {
			t.Error(err)
		}
	})
	return host
}

// A gateway that dies loses its calls; they go on at another, with the same keys.
func TestCallsGoOnAtAnotherGateway(t *testing.T) {
	t.Parallel()
	host := startHost(t, registers)
	h, err := gateway.New(gateway.Config{Caller: host, Types: []entity.Definition{registers}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := listen(t, h)
	first := startProxy(t, strings.TrimPrefix(server, "http://"), 1)
	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{first.url(), server}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for i := range 3 {
		if i == 1 {
			_ = first.listener.Close()
			first.cutAll()
		}
		at, err := enter.Ask(t.Context(), registers.Ref(client, "r"), wrapperspb.String(fmt.Sprint(i)))
		if err != nil || at.GetValue() != int64(i) {
			t.Fatalf("call %d: %v, %v", i, at, err)
		}
	}
}

// A gateway that is silent is found out while its call still has time.
func TestSilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	host := startHost(t, registers)
	h, err := gateway.New(gateway.Config{Caller: host, Types: []entity.Definition{registers}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		if c, err := hole.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = hole.Close(); work.Wait() })
	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{"http://" + hole.Addr().String(), listen(t, h)}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // the default, 5 s, is enough unless the machine is busy
	defer cancel()
	if _, err := enter.Ask(ctx, registers.Ref(client, "r"), wrapperspb.String("ann")); err != nil {
		t.Fatal(err)
	}
}
