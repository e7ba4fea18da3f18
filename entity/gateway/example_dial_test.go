package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// counts and total are methods of a type like any other: whoever knows the definition can
// call it from any process.
var (
	counts = entity.On(func(n int64, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if cmd.Msg.GetValue() <= 0 {
			return entity.None, nil, entity.Reject("not-positive", "%d is not positive", cmd.Msg.GetValue())
		}
		return entity.Persist(cmd.Msg), wrapperspb.Int64(n + cmd.Msg.GetValue()), nil
	})
	total = entity.Query(func(n int64, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(n), nil
	})
	visits = entity.Define[int64]("visits", counts, total,
		entity.Apply(func(n int64, added *wrapperspb.Int64Value) int64 { return n + added.GetValue() }))
)

// A service with one type, as it would run in a process of its own.
func startVisits(ctx context.Context) (url string, stop func(), err error) {
	log := slog.New(slog.DiscardHandler)
	types := []entity.Definition{visits}
	j := journal.NewMemory()
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: types, Shards: 1, Logger: log})
	if err != nil {
		return "", nil, err
	}
	handler, err := gateway.New(gateway.Config{Caller: host, Types: types, Logger: log})
	if err != nil {
		return "", nil, err
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = gateway.Server(handler, log)
	server.Start()
	return server.URL, func() { server.Close(); _ = host.Stop(ctx); _ = j.Close() }, nil
}

func ExampleDial() {
	ctx := context.Background()
	url, stop, err := startVisits(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{url}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()

	home := visits.Ref(client, "home")
	for _, n := range []int64{3, 4, -1} {
		sum, err := counts.Ask(ctx, home, wrapperspb.Int64(n))
		var refused *entity.Rejection
		switch {
		case errors.As(err, &refused):
			fmt.Println("the entity said no:", refused.Message)
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println("there are", sum.GetValue())
		}
	}
	// Output:
	// there are 3
	// there are 7
	// the entity said no: -1 is not positive
}

// A key of one's own makes it safe to call again after an unknown outcome, also from another process.
func ExampleClient_key() {
	ctx := context.Background()
	url, stop, err := startVisits(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	for range 2 {
		client, err := gateway.Dial(gateway.ClientConfig{URLs: []string{url}})
		if err != nil {
			fmt.Println(err)
			return
		}
		var got entity.Receipt
		sum, err := counts.Ask(ctx, visits.Ref(client, "home"), wrapperspb.Int64(5), entity.Key("order-7"), entity.Receive(&got))
		fmt.Println(sum.GetValue(), err, "version", got.Version, "repeated", got.Repeated)
		_ = client.Close()
	}
	// Output:
	// 5 <nil> version 1 repeated false
	// 5 <nil> version 1 repeated true
}
