package transport_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
)

// greeter answers commands with a greeting, and streams what it is asked for.
type greeter struct{}

func (greeter) Deliver(in *transport.Incoming) {
	in.Answer(transport.Answer{Response: &entity.Response{Payload: []byte("hello " + in.Request.ID)}})
}

func (greeter) Accept(_ context.Context, s *transport.Stream) error {
	_, err := fmt.Fprintf(s, "the %s of %s", s.Subject, s.Request)
	return err
}

func Example() {
	ctx := context.Background()
	network := transport.NewMemory() // transport.Listen is the same over TCP
	start := func(name string) *transport.Endpoint {
		node, err := network.Listen(transport.Config{Node: name, Cluster: "example", Shards: 64, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			panic(err)
		}
		return node
	}
	one, two := start("one"), start("two")
	two.Serve(greeter{})

	answer := transport.Ask(ctx, one, two.Self(), &transport.Envelope{
		Request: entity.Request{Type: "person", ID: "ann", Command: "Greet"}, Remaining: 5 * time.Second,
	})
	fmt.Println(string(answer.Response.Payload))

	stream, err := one.Open(ctx, two.Self(), "log", []byte("shard 7"))
	if err != nil {
		panic(err)
	}
	text, _ := io.ReadAll(stream)
	fmt.Println(string(text))

	nowhere := transport.Peer{Address: "nowhere"}
	answer = transport.Ask(ctx, one, nowhere, &transport.Envelope{Remaining: 5 * time.Second})
	fmt.Println(errors.Is(answer.Err, entity.ErrUnavailable), errors.Is(answer.Err, transport.ErrUnreachable))
	_, _ = one.Close(), two.Close()
	// Output:
	// hello ann
	// the log of shard 7
	// true true
}

func ExampleCheck() {
	ctx := context.Background()
	network := transport.NewMemory()
	gone := make(chan transport.Peer, 1)
	watcher, err := network.Listen(transport.Config{
		Node: "watcher", Cluster: "example", Shards: 64, Logger: slog.New(slog.DiscardHandler),
		Gone: func(p transport.Peer) {
			select {
			case gone <- p:
			default: // it is told of each attempt
			}
		},
	})
	if err != nil {
		panic(err)
	}
	other, err := network.Listen(transport.Config{Node: "other", Cluster: "example", Shards: 64})
	if err != nil {
		panic(err)
	}
	fmt.Println(transport.Check(ctx, watcher, other.Self()))

	network.Kill(other.Self().Address)
	fmt.Println((<-gone).Node, "has ended")
	fmt.Println(errors.Is(transport.Check(ctx, watcher, other.Self()), transport.ErrGone))
	_, _ = watcher.Close(), other.Close()
	// Output:
	// <nil>
	// other has ended
	// true
}
