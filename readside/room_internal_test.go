package readside

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
	"weak"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/readside/readsidetest"
	"github.com/skerryhq/skerry/readside/sqlite"
)

func startOne(t *testing.T, log *readsidetest.Log, bufferBytes int, rule SQLRule) (*Runner, *worker) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "rows.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r, err := Start(t.Context(), Config{Source: log, Processors: []Processor{SQL("p", db.Write(), rule)}, BufferBytes: bufferBytes, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Stop(context.Background()) })
	return r, r.order[0]
}

func oneShard() *readsidetest.Log {
	type account struct{}
	return readsidetest.New(1, entity.Define[account]("account",
		entity.On(func(_ account, cmd entity.Command[*wrapperspb.Int64Value]) (entity.Effect, *emptypb.Empty, error) {
			return entity.Persist(cmd.Msg), &emptypb.Empty{}, nil
		}),
		entity.Apply(func(a account, _ *wrapperspb.Int64Value) account { return a })))
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

func TestLaneWaitsForRoomOnceHoweverOftenItChanges(t *testing.T) {
	t.Parallel()
	log := oneShard()
	r, w := startOne(t, log, 1, On(func(context.Context, *sql.Tx, Event[*wrapperspb.Int64Value]) error { return nil }))
	if err := r.WaitFor(t.Context(), "p", log.Store("account", "a", wrapperspb.Int64(1))); err != nil {
		t.Fatal(err)
	}
	if err := r.Pause(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		log.Store("account", "a", wrapperspb.Int64(1))
		eventually(t, "the feeder has looked", func() bool { return !w.lanes[0].stirred.Load() })
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.stalled); n > 1 {
		t.Errorf("one lane waits %d times", n)
	}
}

func TestIdleRunnerHoldsNoRecord(t *testing.T) {
	t.Parallel()
	log := oneShard()
	seen := make(chan weak.Pointer[wrapperspb.Int64Value], 3)
	r, _ := startOne(t, log, 1<<20, On(func(_ context.Context, _ *sql.Tx, ev Event[*wrapperspb.Int64Value]) error {
		seen <- weak.Make(ev.Msg)
		return nil
	}))
	for range 3 {
		log.Store("account", "a", wrapperspb.Int64(1))
	}
	if err := r.WaitFor(t.Context(), "p", log.Token()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		event := <-seen
		eventually(t, "an event that was handled is given up", func() bool { runtime.GC(); return event.Value() == nil })
	}
}

func TestDecoderForgetsRatherThanGrow(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil, nil)
	most := 0
	for shard := range uint32(300) {
		v := d.versions(shard, 1)
		for n := range 1000 {
			if err := d.check(v, &entity.Stored{Type: "account", ID: strconv.Itoa(n), Version: 1}); err != nil {
				t.Fatal(err)
			}
		}
		held := 0
		for _, v := range d.shards {
			held += len(v.of)
		}
		most = max(most, held)
	}
	if most > maxVersions || most < maxVersions/2 {
		t.Errorf("it held %d entities, its bound is %d", most, maxVersions)
	}
	v := d.versions(299, 2)
	if err := d.check(v, &entity.Stored{Type: "account", ID: "999", Version: 3}); err == nil {
		t.Error("a gap between two records goes unnoticed")
	}
}

func TestTailKeepsNoMoreThanItsRoom(t *testing.T) {
	t.Parallel()
	for name, sizes := range map[string][]int{"small records": {40, 40, 40}, "one larger than the room": {40, 200}, "small ones behind it": {200, 40}} {
		tail := &tail{room: 100}
		for i, size := range sizes {
			tail.keep([]*record{{Header: journal.Header{Number: uint64(i + 1)}, size: size}}) //nolint:gosec // an index
			held := 0
			for _, r := range tail.kept {
				held += r.size
			}
			if held > tail.room || held != tail.bytes {
				t.Errorf("%s: it holds %d bytes and counts %d, its room is %d", name, held, tail.bytes, tail.room)
			}
		}
		if last := sizes[len(sizes)-1]; last <= tail.room && tail.find(uint64(len(sizes)), 1) == nil {
			t.Errorf("%s: the newest is not kept", name)
		}
	}
}
