package readside

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// This file waits for shards that other nodes follow. How far they are is in the database, so it is asked: one question for all
// who wait, and none while nobody does. To be told instead (LISTEN and NOTIFY) would need a connection of its own, would be
// lost with it, so that asking would have to stay, and would make all transactions that notify commit one after another.

// lookLeast is the least time between two questions, lookMost the most while somebody waits: it grows by half with each
// that brings nothing.
const (
	lookLeast = 4 * time.Millisecond
	lookMost  = 50 * time.Millisecond
)

// here tells that this worker itself learns how far a lane is, since it moves it. The lock is held.
func (l *lane) here() bool { return l.phase == following || l.phase == blocked }

// lookAbroad asks how far others are while somebody waits for that.
func (w *worker) lookAbroad(ctx context.Context) {
	for wait := lookLeast; ; {
		first, last, waiting := w.awaited()
		if !waiting {
			select {
			case <-ctx.Done():
				return
			case <-w.abroad:
				wait = lookLeast
			}
			continue
		}
		if w.lookOnce(ctx, first, last) {
			wait = lookLeast
		}
		if !w.pauseLooking(ctx, wait) {
			return
		}
		wait = min(wait+wait/2, lookMost)
	}
}

// pauseLooking waits between two questions. Whoever comes meanwhile waits no longer than lookLeast.
func (w *worker) pauseLooking(ctx context.Context, wait time.Duration) bool {
	least, most := time.NewTimer(lookLeast), time.NewTimer(wait)
	defer least.Stop()
	defer most.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-least.C:
	}
	select {
	case <-ctx.Done():
		return false
	case <-w.abroad:
	case <-most.C:
	}
	return true
}

// awaited returns the first and the last shard that somebody waits for and that is not followed here.
func (w *worker) awaited() (first, last uint32, waiting bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		if len(l.waiters) == 0 || l.here() || l.phase == halted {
			continue
		}
		if !waiting {
			first, waiting = l.shard, true
		}
		last = l.shard
	}
	return first, last, waiting
}

// lookOnce asks; true if somebody's wait ended.
func (w *worker) lookOnce(ctx context.Context, first, last uint32) bool {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.HandlerTimeout)
	defer cancel()
	reached, err := w.store.reached(ctx, first, last)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookErr = err
	woke := 0
	for shard, offset := range reached {
		if int64(shard) < int64(len(w.lanes)) {
			woke += w.woken(w.lanes[shard], offset)
		}
	}
	return woke > 0
}

// woken notes how far a lane is and counts whom that wakes. The lock is held.
func (w *worker) woken(l *lane, offset uint64) int {
	waiting := len(l.waiters)
	w.reach(l, offset)
	return waiting - len(l.waiters)
}

const askReached = `SELECT shard, history, "offset" FROM skerry_progress WHERE processor = $1 AND shard BETWEEN $2 AND $3`

// reached reads how far some shards are, whoever moves them.
func (s *store) reached(ctx context.Context, first, last uint32) (map[uint32]uint64, error) {
	rows, err := s.db.QueryContext(ctx, askReached, s.processor, int64(first), int64(last))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := map[uint32]uint64{}
	for rows.Next() {
		var shard, offset int64
		var history string
		if err := rows.Scan(&shard, &history, &offset); err != nil {
			return nil, err
		}
		if history != s.history || shard < 0 || shard > math.MaxUint32 || offset < 0 {
			return nil, fmt.Errorf("processor %s followed history %s at shard %d, and this journal is history %s", s.processor, history, shard, s.history)
		}
		found[uint32(shard)] = uint64(offset)
	}
	return found, scanned(rows)
}

func scanned(rows *sql.Rows) error {
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}
