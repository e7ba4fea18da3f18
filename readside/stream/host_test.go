package stream_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// A host's Feed is a Source: whatever lots store, at once, arrives in the order of each lot's versions.
func TestAPageFollowsTheLotsOfAHost(t *testing.T) {
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	memory := journal.NewMemory()
	host, err := entity.Start(ctx, entity.Config{Journal: memory, Types: []entity.Definition{lots}, Shards: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	var before entity.Receipt
	if _, err := placeBid.Ask(ctx, lots.Ref(host, "lot 0"), &BidTaken{Value: 1}, entity.Receive(&before)); err != nil {
		t.Fatal(err)
	}
	s := newStream(t, configOf(host.Feed()))
	p, _ := connect(t, s, "/", before.Token.String())
	p.awaitID(t)

	const bidders, each = 8, 40
	var bidding sync.WaitGroup
	for n := range bidders {
		bidding.Go(func() {
			for range each {
				if _, err := placeBid.Ask(ctx, lots.Ref(host, fmt.Sprint("lot ", n/2)), &BidTaken{Value: 2}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	versions := map[string]uint64{"lot 0": 1}
	for seen := 0; seen < bidders*each; {
		rows, err := rowsOf(p.mustNext(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if versions[r.Lot]++; r.Version != versions[r.Lot] {
				t.Fatalf("%s is at version %d and gets %d", r.Lot, versions[r.Lot]-1, r.Version)
			}
		}
		seen += len(rows)
		if seen%3 == 0 {
			_ = p.body.Close()
			p, _ = connect(t, s, "/", p.lastID)
		}
	}
	bidding.Wait()
}
