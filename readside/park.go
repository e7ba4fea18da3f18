package readside

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// park files a command: with what went wrong if it failed, without if it waits behind others of its entity.
func (s *store) park(ctx context.Context, tx *sql.Tx, st *step, why *trouble) error {
	text, attempts := "", 0
	if why != nil {
		text, attempts = cutText(why.err.Error()), why.attempts
	}
	_, err := parkCommand.Exec(ctx, tx, s.processor, int64(st.lane.shard), integer(st.command.first), integer(st.record.Number),
		st.command.of.Type, st.command.of.ID, text, attempts, time.Now().UnixMilli())
	return err
}

// maxErrorText limits the bytes of an error that are kept.
const maxErrorText = 4096

// cutText makes a text of an error that can be stored and sent: valid UTF-8 without zero bytes, not too long.
func cutText(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
}

// block stops a lane until parked commands are retried. The lock is held.
func (w *worker) block(l *lane) {
	if l.phase == blocked {
		return
	}
	l.phase = blocked
	l.reason = fmt.Sprintf("%d commands of this shard are parked, as many as Config.MaxParked allows: repair what makes them fail and retry them (skerry processors parked %s)", l.rows, w.name)
	w.rest(l, w.cfg.MaxBackoff)
	if !l.full {
		w.log.Error("a processor stops one shard until parked commands are retried", "processor", w.name, "shard", l.shard, "err", l.reason)
	}
	l.full = true
}
