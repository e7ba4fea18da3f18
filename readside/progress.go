package readside

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/skerryhq/skerry/journal"
)

// store is what a processor keeps in its database beside the user's rows.
type store struct {
	db         *sql.DB
	processor  string
	history    string
	statements *statements
	// checked tells that all rows were seen to be of this history.
	checked bool
}

func newStore(p Processor, history string) *store {
	return &store{db: p.db, processor: p.name, history: history, statements: newStatements(p.db)}
}

var (
	insertProgress = Prepare(`INSERT INTO skerry_progress (processor, shard, history, record, "offset", epoch, batch, turn, updated)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE NOT EXISTS (SELECT 1 FROM skerry_paused WHERE processor = $1)
		ON CONFLICT (processor, shard) DO NOTHING`)
	moveProgress = Prepare(`UPDATE skerry_progress SET record = $1, "offset" = $2, epoch = $3, batch = $4, turn = $5, updated = $6
		WHERE processor = $7 AND shard = $8 AND history = $9 AND record = $10 AND "offset" = $11 AND turn = $12
		AND NOT EXISTS (SELECT 1 FROM skerry_paused WHERE processor = $7)`)
	takeTurn = Prepare(`UPDATE skerry_progress SET turn = turn + 1, updated = $1 WHERE processor = $2 AND shard = $3 AND history = $4
		AND NOT EXISTS (SELECT 1 FROM skerry_paused WHERE processor = $2)`)
	parkCommand = Prepare(`INSERT INTO skerry_parked (processor, shard, "offset", record, entity_type, entity_id, error, attempts, since)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`)
)

var (
	// errMoved is returned when another worker moved the offset: it has the shard.
	errMoved = errors.New("another worker moved the offset")
	// errPaused is returned when an operator paused the processor, on whichever node.
	errPaused = errors.New("the processor is paused")
)

// move is the compare-and-set of a shard's position. It returns what is stored if the
// transaction commits, or errMoved, or errPaused.
func (s *store) move(ctx context.Context, tx *sql.Tx, shard uint32, from stored, to position) (stored, error) {
	moved := stored{position: to, exists: true, turn: from.turn + 1}
	now, batch := time.Now().UnixMilli(), hex.EncodeToString(to.batch[:])
	var result sql.Result
	var err error
	if !from.exists {
		result, err = insertProgress.Exec(ctx, tx, s.processor, int64(shard), s.history, integer(to.record), integer(to.offset), integer(to.epoch), batch, integer(moved.turn), now)
	} else {
		result, err = moveProgress.Exec(ctx, tx, integer(to.record), integer(to.offset), integer(to.epoch), batch, integer(moved.turn), now,
			s.processor, int64(shard), s.history, integer(from.record), integer(from.offset), integer(from.turn))
	}
	return moved, s.movedOrPaused(ctx, tx, changedOne(result, err))
}

// take holds a shard's position for a transaction without moving it: whoever follows the shard waits for the
// transaction, and learns of it.
func (s *store) take(ctx context.Context, tx *sql.Tx, shard uint32) error {
	result, err := takeTurn.Exec(ctx, tx, time.Now().UnixMilli(), s.processor, int64(shard), s.history)
	return s.movedOrPaused(ctx, tx, changedOne(result, err))
}

// movedOrPaused finds out why a position was not there to be moved.
func (s *store) movedOrPaused(ctx context.Context, tx *sql.Tx, err error) error {
	if !errors.Is(err, errMoved) {
		return err
	}
	switch paused, asked := s.paused(ctx, tx); {
	case asked != nil:
		return asked
	case paused:
		return errPaused
	}
	return err
}

// changedOne makes errMoved of a statement that found no row.
func changedOne(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n != 1 {
		err = errMoved
	}
	return err
}

// integer is a counter as a column holds it: no log has 2^63 records.
func integer(n uint64) int64 { return int64(n & math.MaxInt64) } //nolint:gosec // see above

// loaded is what the store knows of one shard.
type loaded struct {
	stored
	history string
	parked  map[journal.Entity]int
	rows    int
}

// loadAll reads the positions and the parked entities of all shards, or of one, and whether the processor is paused,
// as of one moment: others may move the same rows.
func (s *store) loadAll(ctx context.Context, only *uint32) (found map[uint32]*loaded, paused bool, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = tx.Rollback() }()
	found = map[uint32]*loaded{}
	if err := s.loadProgress(ctx, tx, only, found); err != nil {
		return nil, false, err
	}
	if err := s.loadParked(ctx, tx, only, found); err != nil {
		return nil, false, err
	}
	paused, err = s.paused(ctx, tx)
	return found, paused, err
}

func (s *store) loadProgress(ctx context.Context, tx *sql.Tx, only *uint32, found map[uint32]*loaded) error {
	text, args := `SELECT shard, history, record, "offset", epoch, batch, turn FROM skerry_progress WHERE processor = $1`, []any{s.processor}
	if only != nil {
		text, args = text+` AND shard = $2`, append(args, int64(*only))
	}
	return each(ctx, tx, text, args, func(rows *sql.Rows) error {
		var shard, record, offset, epoch, turn int64
		l := &loaded{parked: map[journal.Entity]int{}}
		var batch string
		if err := rows.Scan(&shard, &l.history, &record, &offset, &epoch, &batch, &turn); err != nil {
			return err
		}
		id, err := hex.DecodeString(batch)
		if min(shard, record, offset, epoch, turn) < 0 || shard > math.MaxUint32 || err != nil || len(id) != len(journal.Batch{}) {
			return fmt.Errorf("skerry_progress of processor %s was not written by it: shard %d, record %d, offset %d", s.processor, shard, record, offset)
		}
		l.stored = stored{position{uint64(record), uint64(offset), uint64(epoch), journal.Batch(id)}, true, uint64(turn)}
		found[uint32(shard)] = l
		return nil
	})
}

func (s *store) loadParked(ctx context.Context, tx *sql.Tx, only *uint32, found map[uint32]*loaded) error {
	text, args := `SELECT shard, entity_type, entity_id, COUNT(*) FROM skerry_parked WHERE processor = $1`, []any{s.processor}
	if only != nil {
		text, args = text+` AND shard = $2`, append(args, int64(*only))
	}
	return each(ctx, tx, text+` GROUP BY shard, entity_type, entity_id`, args, func(rows *sql.Rows) error {
		var shard, count int64
		var of journal.Entity
		if err := rows.Scan(&shard, &of.Type, &of.ID, &count); err != nil {
			return err
		}
		l := found[uint32(shard)] //nolint:gosec // it was written as one
		if l == nil {
			return fmt.Errorf("skerry_parked of processor %s has rows of shard %d, skerry_progress has none: was it emptied by hand? Use readside.Forget", s.processor, shard)
		}
		l.parked[of] = int(count)
		l.rows += int(count)
		return nil
	})
}

func each(ctx context.Context, tx *sql.Tx, text string, args []any, visit func(*sql.Rows) error) error {
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Forget deletes what the library keeps of a processor: its progress, its parked
// commands and its pause. If it ever runs again it begins with the first event, so drop its rows too, and
// stop it first, on all nodes.
func Forget(ctx context.Context, db *sql.DB, processor string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("readside: forget processor %s: %w", processor, err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, text := range []string{`DELETE FROM skerry_progress WHERE processor = $1`, `DELETE FROM skerry_parked WHERE processor = $1`, `DELETE FROM skerry_paused WHERE processor = $1`} {
		if _, err := tx.ExecContext(ctx, text, processor); err != nil {
			return fmt.Errorf("readside: forget processor %s: %w", processor, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("readside: forget processor %s: %w", processor, err)
	}
	return nil
}
