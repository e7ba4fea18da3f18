package readside

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/skerryhq/skerry/journal"
)

// position is how far a processor is in one shard.
type position struct {
	// record is the last that is done, offset that of the last event handled: it is
	// beyond the record's events while the next record is partly done.
	record, offset uint64
	epoch          uint64
	// batch is that of the record which the last event is in. Records have one that no other has, so a log
	// that was restored and went on differently is told from the one that was followed.
	batch journal.Batch
}

// stored is a position as the database holds it.
type stored struct {
	position
	exists bool
	// turn is raised with each change, so that a worker that was overtaken always learns it.
	turn uint64
}

// ReadPosition returns how far a processor is as a transaction sees it: rows read in the
// same transaction hold the events up to it, no more and no fewer, those of parked
// entities apart. A processor that never ran has seen nothing.
func ReadPosition(ctx context.Context, tx *sql.Tx, processor string) (journal.Token, error) {
	rows, err := tx.QueryContext(ctx, `SELECT shard, history, "offset" FROM skerry_progress WHERE processor = $1 ORDER BY shard`, processor)
	if err != nil {
		return journal.Token{}, fmt.Errorf("readside: read the position of processor %s: %w", processor, err)
	}
	defer func() { _ = rows.Close() }()
	var token journal.Token
	for rows.Next() {
		var shard, offset int64
		var history string
		if err := rows.Scan(&shard, &history, &offset); err != nil {
			return journal.Token{}, fmt.Errorf("readside: read the position of processor %s: %w", processor, err)
		}
		if shard < 0 || shard > math.MaxUint32 || offset < 0 || (token.History != "" && token.History != history) {
			return journal.Token{}, fmt.Errorf("readside: the position of processor %s in skerry_progress was not written by it: shard %d, history %q, offset %d", processor, shard, history, offset)
		}
		token.History = history
		token.Offsets = append(token.Offsets, journal.ShardOffset{Shard: uint32(shard), Offset: uint64(offset)})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return journal.Token{}, fmt.Errorf("readside: read the position of processor %s: %w", processor, err)
	}
	return token, nil
}
