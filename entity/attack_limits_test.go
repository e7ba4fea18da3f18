package entity_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
)

func TestStackIsNotToldToHTTPClients(t *testing.T) {
	t.Parallel()
	h := startHost(t, journal.NewMemory(), nil)
	g, err := gateway.New(gateway.Config{Caller: h, Types: []entity.Definition{tallies}})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(g)
	defer s.Close()
	resp, err := http.Post(s.URL+"/v1/entities/tally/a/Int64Value", "application/json", strings.NewReader(`"666"`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if strings.Contains(string(b), ".go:") {
		t.Errorf("%d: the client is shown the stack: %.400s", resp.StatusCode, b)
	}
}

// What one command stores beyond the limit must fail alone.
func TestHugeRejectionSparesItsNeighbours(t *testing.T) {
	t.Parallel()
	j := openPebble(t, t.TempDir()+"/d")
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{hugeNos}; c.Shards = 1 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	hit := 0
	for c := range 8 {
		wg.Go(func() {
			for range 200 {
				if _, err := addTo.Ask(long(t), hugeNos.Ref(h, fmt.Sprint(c)), wrapperspb.Int64(1)); err != nil {
					mu.Lock()
					if hit == 0 {
						t.Logf("a neighbour: %.200v", err)
					}
					hit++
					mu.Unlock()
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	_, err := hugeNo.Ask(long(t), hugeNos.Ref(h, "a"), wrapperspb.UInt32(9<<20), entity.Key("k"))
	var no *entity.Rejection
	if !errors.As(err, &no) || no.Code != "huge" || len(no.Message) > 4<<10 {
		t.Errorf("the huge one: %.200v", err)
	}
	wg.Wait()
	if hit > 0 {
		t.Errorf("%d commands of other entities were refused", hit)
	}
}

func TestInspectOfACutRune(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	h := startHost(t, j, func(c *entity.Config) { c.Types = []entity.Definition{nos}; c.Shards = 1 })
	_, _ = sayNo.Ask(long(t), nos.Ref(h, "a"), wrapperspb.String("äöü"), entity.Key("k"))
	info, err := h.Inspect(t.Context(), "nos", "a", nil)
	if err != nil || info.StateError != "" {
		t.Error(err, info.StateError)
	}
}

// Not parallel: it counts the goroutines of the process.
func TestStartThatIsGivenUp(t *testing.T) {
	before := runtime.NumGoroutine()
	j := openPebble(t, t.TempDir()+"/d")
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*50)*time.Microsecond)
		h, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 8})
		cancel()
		if err == nil {
			stopHost(t, h)
		}
	}
	h := startHost(t, j, func(c *entity.Config) { c.Shards = 8 })
	if _, err := addTo.Ask(long(t), tallies.Ref(h, "a"), wrapperspb.Int64(1)); err != nil {
		t.Error(err)
	}
	eventually(t, "what was begun and given up has ended", func() bool { return runtime.NumGoroutine() < before+100 })
}
