package entity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/cassandra/launch"
)

// TestTwoHostsOnCassandraAnswerEachCommandOnce starts a second host on the shards of
// the first, with nothing between them but the log. Callers go to both.
func TestTwoHostsOnCassandraAnswerEachCommandOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("a Cassandra node takes ten seconds")
	}
	const callers, each, entities = 24, 40, 6
	cluster := launch.ForTest(t, launch.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	start := func(name string) *entity.Host {
		j, err := cassandra.Open(ctx, cassandra.Config{Hosts: cluster.Hosts(), Keyspace: "hosts", Development: true, BucketBytes: 20000})
		if err != nil {
			t.Fatal(err)
		}
		h, err := entity.Start(ctx, entity.Config{Journal: j, Types: []entity.Definition{tallies}, Shards: 3, Node: name, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(h.Stop(context.WithoutCancel(ctx)), j.Close()); err != nil {
				t.Error(err)
			}
		})
		return h
	}
	var mu sync.Mutex
	hosts := []*entity.Host{start("a")}
	add := func(caller, n, attempt int) error {
		mu.Lock()
		host := hosts[(caller+attempt)%len(hosts)]
		mu.Unlock()
		key := entity.Key(fmt.Sprint(caller, "/", n))
		_, err := addTo.Ask(ctx, tallies.Ref(host, fmt.Sprint(caller%entities)), wrapperspb.Int64(1), key)
		return err
	}
	var group sync.WaitGroup
	half := make(chan struct{}, callers)
	for caller := range callers {
		group.Go(func() {
			for n := range each {
				if n == each/2 {
					half <- struct{}{}
				}
				for attempt := 0; ; attempt++ {
					err := add(caller, n, attempt)
					if err == nil {
						break
					}
					if ctx.Err() != nil || errors.Is(err, entity.ErrFailed) {
						t.Error(err)
						return
					}
					time.Sleep(5 * time.Millisecond) // for another to take over
				}
			}
		})
	}
	<-half
	second := start("b")
	mu.Lock()
	hosts = append(hosts, second)
	mu.Unlock()
	group.Wait()
	total := int64(0)
	third := start("c")
	for id := range entities {
		got, err := sum.Ask(ctx, tallies.Ref(third, fmt.Sprint(id)), &emptypb.Empty{})
		if err != nil {
			t.Fatal(err)
		}
		total += got.GetValue()
	}
	if total != callers*each {
		t.Errorf("%d commands were answered, %d took effect", callers*each, total)
	}
}
