package httpbreaker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/httpbreaker"
)

// A client sends its requests through breakers, one for each host.
func ExampleNew() {
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer sick.Close()
	group, err := breaker.NewGroup(breaker.GroupConfig{
		Settings: map[string]breaker.Settings{"default": {MaxFailures: 2}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	transport, err := httpbreaker.New(httpbreaker.Config{Breakers: group})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	for range 3 {
		resp, err := client.Get(sick.URL)
		if errors.Is(err, breaker.ErrOpen) {
			fmt.Println("refused")
			continue
		}
		fmt.Println(resp.StatusCode)
		resp.Body.Close()
	}
	// Output:
	// 500
	// 500
	// refused
}
