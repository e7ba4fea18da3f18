package service_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/service"
)

// A service is called by its name; one of two endpoints is down, and nobody notices.
func ExampleNew() {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "charged once for %s", r.Header.Get("Idempotency-Key"))
	}))
	defer up.Close()
	const down = "127.0.0.1:1" // where nobody listens

	group, err := breaker.NewGroup(breaker.GroupConfig{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	services, err := service.New(service.Config{
		Resolver: service.Static{"payments": {down, up.Listener.Addr().String()}},
		Breakers: group,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: services}
	for range 5 {
		ctx := service.WithKey(context.Background(), "lot 7")
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://payments/v1/entities/account/ann/Charge", strings.NewReader("{}"))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := client.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(text), err)
	}
	for _, b := range group.Snapshot() {
		fmt.Println(b.ID, b.State, b.Counts.Succeeded)
	}
	// Output:
	// charged once for lot 7 <nil>
	// charged once for lot 7 <nil>
	// charged once for lot 7 <nil>
	// charged once for lot 7 <nil>
	// charged once for lot 7 <nil>
	// payments/Charge closed 5
}
