package cassandra

import (
	"context"
	"fmt"
)

// DropKeyspace removes a keyspace and all that is in it, for ever: it is for
// measurements and tests that made one. It is no error if there is none.
func DropKeyspace(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	cfg.Timeout = max(cfg.Timeout, schemaTimeout)
	session, err := connect(ctx, cfg, "")
	if err != nil {
		return err
	}
	defer session.Close()
	if err := change(ctx, session, "DROP KEYSPACE IF EXISTS "+cfg.Keyspace); err != nil {
		return fmt.Errorf("journal/cassandra: drop keyspace %s: %w", cfg.Keyspace, err)
	}
	return nil
}
