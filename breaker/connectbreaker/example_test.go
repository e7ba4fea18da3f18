package connectbreaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"connectrpc.com/connect"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/connectbreaker"
)

// A client's calls go through breakers, one for each procedure.
func ExampleNew() {
	sick := httptest.NewServer(connect.NewUnaryHandler(charge, func(context.Context, *connect.Request[text]) (*connect.Response[text], error) {
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the database is away"))
	}))
	defer sick.Close()
	group, err := breaker.NewGroup(breaker.GroupConfig{
		Settings: map[string]breaker.Settings{"payments.v1.Payments": {MaxFailures: 1}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	breakers, err := connectbreaker.New(connectbreaker.Config{Breakers: group})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := connect.NewClient[text, text](http.DefaultClient, sick.URL+charge, connect.WithInterceptors(breakers))
	for range 2 {
		_, err := client.CallUnary(context.Background(), connect.NewRequest(&text{Value: "7"}))
		fmt.Println(connect.CodeOf(err), errors.Is(err, breaker.ErrOpen))
	}
	// Output:
	// unavailable false
	// unavailable true
}
