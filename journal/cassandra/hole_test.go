package cassandra

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/journaltest"
)

// punch is a journal of three records, of which the second can be hidden and shown again. It is
// read through a proxy.
type punch struct {
	t             *testing.T
	truth, reader *Journal
	proxy         *proxy
	stored        []any
}

func newPunch(t *testing.T) *punch {
	t.Helper()
	cfg := fresh(t)
	h := &punch{t: t, truth: opened(t, cfg), proxy: startProxy(t, cfg.Hosts[0], 0, 1)}
	cfg.Hosts = []string{h.proxy.address()}
	h.reader = opened(t, cfg)
	chain := journaltest.Chain{Writer: "a"}
	for _, rec := range []func() journal.Record{chain.Claim, func() journal.Record { return chain.Next(1) }, func() journal.Record { return chain.Next(1) }} {
		if ours, err := chain.Append(within(t), h.truth, 0, rec()); err != nil || !ours {
			t.Fatal(ours, err)
		}
	}
	if records, err := h.reader.Read(within(t), 0, 1, 1<<20); err != nil || len(records) != 3 {
		t.Fatal(len(records), err)
	}
	return h
}

// hide removes the second record, as a node has it that has missed it. No owner ever does that.
func (h *punch) hide() {
	h.t.Helper()
	var header, body []byte
	var filled int64
	var closes bool
	err := h.truth.session.Query("SELECT header, body, filled, closes FROM log WHERE shard = 0 AND bucket = 1 AND n = 2").Scan(&header, &body, &filled, &closes)
	if err == nil {
		err = h.truth.session.Query("DELETE FROM log WHERE shard = 0 AND bucket = 1 AND n = 2").WithTimestamp(later(1)).Exec()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.stored = []any{header, body, filled, closes}
}

// show stores the second record again, as it was.
func (h *punch) show() {
	err := h.truth.session.Query("INSERT INTO log (shard, bucket, n, header, body, filled, closes) VALUES (0, 1, 2, ?, ?, ?, ?)", h.stored...).
		WithTimestamp(later(2)).Exec()
	if err != nil {
		h.t.Error(err)
	}
}

// later is a timestamp after all that was written; more hours win.
func later(hours int) int64 { return time.Now().Add(time.Duration(hours) * time.Hour).UnixMicro() }

func TestAHoleInAnAnswerIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	h := newPunch(t)
	h.hide()
	var once sync.Once
	var seen atomic.Bool
	h.proxy.watch(func(frame []byte) {
		if bytes.Contains(frame, []byte("record 3 by a")) && !bytes.Contains(frame, []byte("record 2 by a")) {
			once.Do(func() { seen.Store(true); h.show() }) // the node has answered; the answer is under way
		}
	})
	records, err := h.reader.Read(within(t), 0, 2, 1<<20)
	h.proxy.watch(nil)
	if err != nil || len(records) != 2 || records[0].Number != 2 || !seen.Load() {
		t.Errorf("%d records, %v; an answer had the hole: %v", len(records), err, seen.Load())
	}
}

func TestAHoleThatStaysIsDamage(t *testing.T) {
	t.Parallel()
	h := newPunch(t)
	h.hide()
	_, err := h.reader.Read(within(t), 0, 2, 1<<20)
	if !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), "record 2 is missing") {
		t.Errorf("record 3 is there, record 2 is not: %v", err)
	}
}
