package cassandra

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/gocql/gocql"
)

// table is one table of the journal.
type table struct {
	name, comment, columns, options string
}

// tables in the order in which they are created: the one that Open looks at first is the last.
var tables = []table{
	{
		"log", "The logs of the shards. Written with IF NOT EXISTS only; never changed, never removed.",
		"shard bigint, bucket bigint, n bigint, header blob, body blob, filled bigint, closes boolean, PRIMARY KEY ((shard, bucket), n)", "",
	},
	{"buckets", "Hints where the partitions of a log begin.", "shard bigint, bucket bigint, PRIMARY KEY (shard, bucket)", ""},
	{
		"pages", "Entries of one entity. Derived from the logs.",
		"type blob, id blob, slice bigint, last_entry bigint, first_entry bigint, shard bigint, body blob, PRIMARY KEY ((type, id, slice), last_entry, first_entry)", "",
	},
	{
		"snapshots", "States of entities. Derived from the logs.",
		"type blob, id blob, entry bigint, body blob, PRIMARY KEY ((type, id), entry)", "CLUSTERING ORDER BY (entry DESC)",
	},
	{
		"timers", "Index of pending timers. Derived from the logs.",
		"shard bigint, hour bigint, due bigint, type blob, id blob, name blob, armed bigint, PRIMARY KEY ((shard, hour), due, type, id, name, armed)", "",
	},
	{"hours", "Which hours the timer index has.", "shard bigint, hour bigint, PRIMARY KEY (shard, hour)", ""},
	{"placement", "What operators want of the placement. Written by compare-and-set only; never removed.", registerColumns, ""},
	{"progress", "How far processors have come. Written by compare-and-set only; never removed.", registerColumns, ""},
	{
		"nodes", "Which nodes are alive. Rows go away by themselves.",
		"part text, address text, incarnation text, beat bigint, body blob, PRIMARY KEY (part, address)",
		// Rows with a time to live, all in one partition: those that went away would be read for ten days.
		"gc_grace_seconds = 3600",
	},
	{"meta", "What all nodes agree on. Written with IF NOT EXISTS only.", "part text, name text, value text, PRIMARY KEY (part, name)", ""},
}

const registerColumns = "part text, name text, revision bigint, attempt blob, value blob, PRIMARY KEY (part, name)"

// DefaultCompaction suits logs that only grow and derived rows that are seldom removed.
const DefaultCompaction = "{'class': 'UnifiedCompactionStrategy'}"

// Schema returns the CQL statements that make a journal, for operators who apply
// them by hand. Empty replication and compaction mean a factor of 3 in every data
// centre and DefaultCompaction.
func Schema(keyspace, replication, compaction string) []string {
	if replication == "" {
		replication = replicate(3)
	}
	if compaction == "" {
		compaction = DefaultCompaction
	}
	statements := []string{fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s WITH replication = %s AND durable_writes = true", keyspace, replication)}
	for _, t := range tables {
		statements = append(statements, t.create(keyspace, compaction))
	}
	return statements
}

func replicate(factor int) string {
	return fmt.Sprintf("{'class': 'NetworkTopologyStrategy', 'replication_factor': %d}", factor)
}

// create names the table's id, so that processes that create it at once through
// different nodes create the same table.
func (t table) create(keyspace, compaction string) string {
	options := ""
	if t.options != "" {
		options = t.options + " AND "
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s (%s) WITH %sID = %s AND comment = '%s' AND compaction = %s",
		keyspace, t.name, t.columns, options, t.id(keyspace), t.comment, compaction)
}

func (t table) id(keyspace string) gocql.UUID {
	sum := sha256.Sum256([]byte("skerry journal " + keyspace + "." + t.name))
	id, _ := gocql.UUIDFromBytes(sum[:16]) // of 16 bytes there is one
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return id
}

// createSchema creates what is missing of keyspace and tables, and waits until all
// nodes know it.
func createSchema(ctx context.Context, session *gocql.Session, cfg Config) error {
	missing, err := missingTables(ctx, session, cfg)
	if err != nil || len(missing) == 0 {
		return err
	}
	if slices.Contains(missing, tables[0].name) {
		if err := refuseReuse(ctx, session, cfg); err != nil {
			return err
		}
	}
	replication := cfg.Replication
	if replication == "" && cfg.Development {
		replication = replicate(1)
	}
	for _, statement := range Schema(cfg.Keyspace, replication, "") {
		if err := change(ctx, session, statement); err != nil {
			return fmt.Errorf("journal/cassandra: create the schema: %w: apply what `skerry journal schema` prints by hand, or grant CREATE to user %q", err, cfg.Username)
		}
	}
	if err := session.AwaitSchemaAgreement(ctx); err != nil {
		return fmt.Errorf("journal/cassandra: the nodes do not agree on the schema: %w", err)
	}
	return nil
}

// change applies one statement, which is safe to repeat: nodes that learn
// of a change at the same time may refuse it once.
func change(ctx context.Context, session *gocql.Session, statement string) error {
	const attempts = 10
	for attempt := 1; ; attempt++ {
		err := session.Query(statement).WithContext(ctx).Exec()
		if err == nil || attempt == attempts || unauthorized(err) {
			return err
		}
		if err := pause(ctx, connectFirst<<min(attempt, 5)); err != nil {
			return err
		}
	}
}

// missingTables returns the names of the tables that do not exist.
func missingTables(ctx context.Context, session *gocql.Session, cfg Config) ([]string, error) {
	iter := session.Query("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", cfg.Keyspace).
		WithContext(ctx).Consistency(gocql.One).Iter()
	var found []string
	var name string
	for iter.Scan(&name) {
		found = append(found, name)
	}
	if err := iter.Close(); err != nil {
		return nil, fmt.Errorf("journal/cassandra: look for the tables of %s: %w", cfg.Keyspace, err)
	}
	var missing []string
	for _, t := range tables {
		if !slices.Contains(found, t.name) {
			missing = append(missing, t.name)
		}
	}
	return missing, nil
}

// requireSchema tells what is missing and how to make it.
func requireSchema(ctx context.Context, session *gocql.Session, cfg Config) error {
	missing, err := missingTables(ctx, session, cfg)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("%w: keyspace %s lacks %s: apply what `skerry journal schema` prints, or set CreateSchema",
		ErrSchema, cfg.Keyspace, strings.Join(missing, ", "))
}
