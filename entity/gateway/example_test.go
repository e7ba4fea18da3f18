package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

// counter counts what it is sent. Its messages are protobuf's own wrappers, whose
// JSON form is the bare value.
var counter = entity.Define[int64]("counter",
	entity.On(func(n int64, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *wrapperspb.Int64Value, error) {
		if cmd.Msg.GetValue() <= 0 {
			return entity.None, nil, entity.Reject("not-positive", "%d is not positive", cmd.Msg.GetValue())
		}
		return entity.Persist(cmd.Msg), wrapperspb.Int64(n + cmd.Msg.GetValue()), nil
	}),
	entity.Query(func(n int64, _ entity.Command[*emptypb.Empty]) (*wrapperspb.Int64Value, error) {
		return wrapperspb.Int64(n), nil
	}),
	entity.Apply(func(n int64, added *wrapperspb.Int64Value) int64 { return n + added.GetValue() }),
)

func Example() {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	j := journal.NewMemory()
	defer func() { _ = j.Close() }()
	types := []entity.Definition{counter}
	host, err := entity.Start(ctx, entity.Config{Journal: j, Types: types, Shards: 1, Logger: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = host.Stop(ctx) }()
	handler, err := gateway.New(gateway.Config{Caller: host, Types: types, Logger: log})
	if err != nil {
		fmt.Println(err)
		return
	}

	post := func(body string) {
		r := httptest.NewRequest("POST", "/v1/entities/counter/visits/Int64Value", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "request-"+strings.Trim(body, `"`))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		answer := w.Result()
		text, _ := io.ReadAll(answer.Body)
		fmt.Printf("%d %s %s", answer.StatusCode, answer.Header.Get("ETag"), text)
	}
	post(`"3"`)
	post(`"4"`)
	post(`"4"`) // the same key: it is not counted twice
	post(`"-1"`)

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/v1/entities/counter/visits/Empty", http.NoBody))
	fmt.Print("there are ", w.Body)

	// Output:
	// 200 "1" "3"
	// 200 "2" "7"
	// 200 "2" "7"
	// 409 "2" {"code":"not-positive","reason":"-1 is not positive","remedy":"The entity said no. The same command with the same key gets the same answer.","version":"2"}
	// there are "7"
}
