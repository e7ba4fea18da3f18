package entity

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// settle agrees with the journal on what may never change.
func (h *Host) settle(ctx context.Context) error {
	if err := h.checkImport(ctx); err != nil {
		return err
	}
	if err := h.settleShards(ctx); err != nil {
		return err
	}
	var fresh [8]byte
	_, _ = rand.Read(fresh[:]) // never fails
	history, err := h.cfg.Journal.Settle(ctx, "history", hex.EncodeToString(fresh[:]))
	if err != nil {
		return fmt.Errorf("entity: settle the journal's history: %w", err)
	}
	h.history = history
	for name := range h.types {
		rule, err := h.cfg.Journal.Settle(ctx, "group/"+name, groupRule)
		if err != nil {
			return fmt.Errorf("entity: settle the group rule of %q: %w", name, err)
		}
		if rule != groupRule {
			return fmt.Errorf("entity: the journal files entities of type %q by the rule %q; this program uses %q and would look for them in other shards", name, rule, groupRule)
		}
	}
	// Once more: an import that began meanwhile and this start have seen each other now, or one of them the other.
	if err := h.checkImport(ctx); err != nil {
		return err
	}
	return h.settleEvents(ctx)
}

// ErrImporting is wrapped by Start when the journal holds part of an archive.
var ErrImporting = errors.New("entity: the journal is being imported")

func (h *Host) checkImport(ctx context.Context) error {
	archive, err := journal.Importing(ctx, h.cfg.Journal)
	if err != nil {
		return fmt.Errorf("entity: %w", err)
	}
	if archive != "" {
		return fmt.Errorf("%w: the import of archive %s is not complete: run skerry journal import again, or use another journal", ErrImporting, archive)
	}
	return nil
}

func (h *Host) settleShards(ctx context.Context) error {
	want := h.cfg.Shards
	if want == 0 {
		want = defaultShards
	}
	stored, err := h.cfg.Journal.Settle(ctx, "shards", strconv.Itoa(want))
	if err != nil {
		return fmt.Errorf("entity: settle the count of shards: %w", err)
	}
	n, err := strconv.Atoi(stored)
	if err != nil || n < 1 || n > maxShards {
		return fmt.Errorf("%w: its count of shards is %q", journal.ErrCorrupt, stored)
	}
	if h.cfg.Shards != 0 && h.cfg.Shards != n {
		return fmt.Errorf("%w: the journal has %d shards, not %d: the count is fixed by the first start; leave the setting out or give %d", ErrShardCount, n, h.cfg.Shards, n)
	}
	h.cfg.Shards = n
	return nil
}

// ErrShardCount is wrapped by Start when the journal was made with another count of shards.
var ErrShardCount = errors.New("entity: wrong count of shards")

// ErrClockJump is wrapped by Start when the clock is more than a day away from the journal's
// newest record.
var ErrClockJump = errors.New("entity: the clock jumped")

const maxClockJump = 24 * time.Hour

// checkClock refuses to start far away from the time of the newest record: deadlines
// would all pass at once, or none for a long time. It reports whether the shards' time is to
// be set back to the clock.
func (h *Host) checkClock(ctx context.Context) (reset bool, err error) {
	var newest int64
	for i := range h.cfg.Shards {
		head, err := h.cfg.Journal.Head(ctx, uint32(i))
		if err != nil {
			return false, fmt.Errorf("entity: read the head of shard %d: %w", i, err)
		}
		newest = max(newest, head.Last.Time)
	}
	if newest == 0 {
		return false, nil
	}
	now := h.now()
	ahead := now.Sub(time.Unix(0, newest))
	if ahead.Abs() <= maxClockJump {
		return false, nil
	}
	if !h.cfg.AcceptClock {
		return false, fmt.Errorf("%w: it says %s, the journal's newest record %s (%s apart): set the clock right, or accept it with the setting AcceptClock",
			ErrClockJump, now.UTC().Format(time.RFC3339), time.Unix(0, newest).UTC().Format(time.RFC3339), ahead.Abs().Round(time.Second))
	}
	h.log.Warn("clock jump accepted", "journal", time.Unix(0, newest).UTC(), "clock", now.UTC())
	return ahead < 0, nil
}
