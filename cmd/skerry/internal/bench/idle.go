package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/skerryhq/skerry/entity"
)

// idleEntities is how many entities are made live to see what one costs.
const idleEntities = 20_000

// idleForGood keeps all of them live however long it takes to make them so.
const idleForGood = 24 * time.Hour

// IdleBytes returns the heap that a live idle entity takes beside its state, its
// window empty. A query makes an entity live without storing anything, so the
// heap of the in-memory journal below does not grow meanwhile.
func IdleBytes(ctx context.Context, s Setup) (bytes float64, err error) {
	s.Journal, s.OneBatchPerShard = Memory, false
	n, err := s.start(ctx, "", ledgers, func(c *entity.Config) { c.IdleAfter = idleForGood })
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	if err := look(ctx, n, "warm", idleEntities/10); err != nil {
		return 0, err
	}
	before := heap()
	if err := look(ctx, n, "idle", idleEntities); err != nil {
		return 0, err
	}
	after := heap()
	if live, err := liveEntities(ctx, n); err != nil || live < idleEntities {
		return 0, errors.Join(err, fmt.Errorf("%d of %d idle entities are live: the bytes of one cannot be told", live, idleEntities))
	}
	return float64(after-before)/idleEntities - float64(unsafe.Sizeof(ledger{})), nil
}

// look asks each of a number of entities once.
func look(ctx context.Context, host entity.Caller, prefix string, entities int) error {
	for i := range entities {
		id := fmt.Sprintf("%s-%06d", prefix, i)
		if _, err := balance.Ask(ctx, ledgers.Ref(host, id), &emptypb.Empty{}); err != nil {
			return fmt.Errorf("query %s: %w", id, err)
		}
	}
	return nil
}

// heap is what is reachable: twice collected, so that what the first collection
// freed by finalizers and pools is gone as well.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func liveEntities(ctx context.Context, n *node) (live int, err error) {
	shards, err := n.Shards(ctx)
	for _, s := range shards {
		live += s.Live
	}
	return live, err
}
