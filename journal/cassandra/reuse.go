package cassandra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gocql/gocql"
)

// The id of a table follows from the keyspace's name, so a keyspace that is dropped and created again gets the tables of the
// first one. What nodes still know of those then appears in the new ones: agreements that one of the
// nodes has missed, hints, the files of a node that was down while they were dropped. Old records in a new log
// are a damaged journal.

const selectAgreement = "SELECT cf_id FROM system.paxos WHERE cf_id = ? LIMIT 1 ALLOW FILTERING"

// refuseReuse refuses to create logs where there were some before, as far as the node that answers remembers it.
func refuseReuse(ctx context.Context, session *gocql.Session, cfg Config) error {
	var id gocql.UUID
	err := session.Query(selectAgreement, tables[0].id(cfg.Keyspace)).WithContext(ctx).Consistency(gocql.One).Scan(&id)
	switch {
	case errors.Is(err, gocql.ErrNotFound):
		return nil
	case err != nil && answered(err) && !passing(err):
		cfg.Logger.Warn("it could not be checked whether the keyspace's name is new: never use that of one that was dropped", "keyspace", cfg.Keyspace, "cause", err.Error())
		return nil
	case err != nil:
		return failure(err, "look for an earlier keyspace %s", cfg.Keyspace)
	}
	created, err := createdMeanwhile(ctx, session, cfg)
	if err != nil || created {
		return err
	}
	if cfg.Development {
		cfg.Logger.Warn("a keyspace of this name was dropped: old records may come back if not all nodes were up then", "keyspace", cfg.Keyspace)
		return nil
	}
	return fmt.Errorf("%w: a keyspace %s was dropped before, and what Cassandra remembers of it would come back as records of the new journal: choose another name",
		ErrUnsafe, cfg.Keyspace)
}

// The node that was asked for agreements may know of new tables before the one that is asked for tables does: nodes tell each
// other once a second.
const (
	reuseLooks = 5
	reusePause = time.Second
)

// createdMeanwhile tells whether the agreements are those of another process that has just created the tables.
func createdMeanwhile(ctx context.Context, session *gocql.Session, cfg Config) (bool, error) {
	for look := 1; ; look++ {
		if err := session.AwaitSchemaAgreement(ctx); err != nil {
			return false, fmt.Errorf("journal/cassandra: the nodes do not agree on the schema: %w", err)
		}
		missing, err := missingTables(ctx, session, cfg)
		if created := !slices.Contains(missing, tables[0].name); err != nil || created || look == reuseLooks {
			return err == nil && created, err
		}
		if err := pause(ctx, reusePause); err != nil {
			return false, err
		}
	}
}
