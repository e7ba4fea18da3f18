package cassandra

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/skerryhq/skerry/journal"
)

// formatVersion is the version of the tables and of what lies in them.
const formatVersion = 1

// formatFact is the fact that says which format a journal has.
const formatFact = "format"

// check refuses a database that is not fit for the journal. Who agrees is settled before anything else
// is, and not for a data centre that has no replicas.
func (j *Journal) check(ctx context.Context) error {
	for _, check := range []func(context.Context) error{
		j.checkPermissions, j.checkReplication, j.checkSerial, j.checkFormat, j.checkClock, j.checkLimits,
	} {
		if err := patiently(ctx, check); err != nil {
			return err
		}
	}
	return nil
}

// A conditional change that never applies needs the same permissions as a real one.
var permissionTrials = []string{
	"UPDATE log SET closes = false WHERE shard = -1 AND bucket = 0 AND n = 0 IF closes = true",
	"UPDATE pages SET shard = 0 WHERE type = 0x00 AND id = 0x00 AND slice = -1 AND last_entry = 0 AND first_entry = 0 IF shard = 0",
	"UPDATE snapshots SET body = 0x WHERE type = 0x00 AND id = 0x00 AND entry = -1 IF body = 0x00",
	"UPDATE placement SET value = 0x WHERE part = 'trial' AND name = '' IF revision = -1",
	"UPDATE progress SET value = 0x WHERE part = 'trial' AND name = '' IF revision = -1",
	"UPDATE nodes SET body = 0x WHERE part = 'trial' AND address = '' IF body = 0x00",
	"UPDATE meta SET value = '' WHERE part = 'trial' AND name = '' IF value = ' '",
}

// checkPermissions tells early what would fail late.
func (j *Journal) checkPermissions(ctx context.Context) error {
	for _, trial := range permissionTrials {
		err := j.query(ctx, trial).SerialConsistency(j.cfg.serial()).Exec()
		if unauthorized(err) {
			return fmt.Errorf("journal/cassandra: user %q may not read and change the tables of %s: GRANT SELECT, MODIFY ON KEYSPACE %s TO it: %w",
				j.cfg.Username, j.cfg.Keyspace, j.cfg.Keyspace, err)
		}
		if unheard(err) { // another process has just made them
			err = fmt.Errorf("%w: %w", errUnheard, err)
		}
		if err != nil {
			return failure(err, "try a change of the tables")
		}
	}
	return nil
}

// checkFormat settles the format of a new journal and refuses a newer one.
func (j *Journal) checkFormat(ctx context.Context) error {
	stored, err := j.Settle(ctx, formatFact, strconv.Itoa(formatVersion))
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(stored)
	if err != nil {
		return fmt.Errorf("%w: keyspace %s: format %q is no number", journal.ErrCorrupt, j.cfg.Keyspace, stored)
	}
	if version > formatVersion {
		return fmt.Errorf("%w: keyspace %s: format %d, this release knows up to %d: use the newer release", journal.ErrFormat, j.cfg.Keyspace, version, formatVersion)
	}
	return nil
}

// minReplicas is the least replication with which the loss of a node stops nothing.
const minReplicas = 3

// checkReplication refuses a keyspace that cannot lose a node.
func (j *Journal) checkReplication(ctx context.Context) error {
	var replication map[string]string
	err := j.session.Query("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", j.cfg.Keyspace).
		WithContext(ctx).Consistency(gocql.One).Scan(&replication)
	if errors.Is(err, gocql.ErrNotFound) { // the keyspace is there: this session uses it
		err = errUnheard
	}
	if err != nil {
		return failure(err, "read the replication of %s", j.cfg.Keyspace)
	}
	return replicationFits(j.cfg, replication)
}

// replicationFits judges the factor of each data centre that takes part in agreement.
func replicationFits(cfg Config, replication map[string]string) error {
	found := false
	for centre, text := range replication {
		if centre == "class" || cfg.DataCenter != "" && centre != cfg.DataCenter && centre != "replication_factor" {
			continue
		}
		factor, err := strconv.Atoi(strings.SplitN(text, "/", 2)[0])
		if err != nil {
			return fmt.Errorf("%w: keyspace %s: replication %s: %q", ErrUnsafe, cfg.Keyspace, centre, text)
		}
		found = true
		if factor >= minReplicas {
			continue
		}
		if !cfg.Development {
			return fmt.Errorf("%w: keyspace %s has %d replicas (%s), a lost node would stop or lose the journal: "+
				"ALTER KEYSPACE to %d or more, or say that this is for development", ErrUnsafe, cfg.Keyspace, factor, centre, minReplicas)
		}
		cfg.Logger.Warn("development cluster: the journal does not outlive the loss of a node", "keyspace", cfg.Keyspace, "replicas", factor, "of", centre)
	}
	if !found {
		return fmt.Errorf("%w: keyspace %s has no replica in data centre %q: ALTER KEYSPACE, or correct Config.DataCenter", ErrUnsafe, cfg.Keyspace, cfg.DataCenter)
	}
	return nil
}

// maxClockDifference is how far our clock may be from the database's.
const maxClockDifference = 2 * time.Second

// checkClock compares our clock with that of a node.
func (j *Journal) checkClock(ctx context.Context) error {
	var theirs time.Time
	before := time.Now()
	err := j.session.Query("SELECT toTimestamp(now()) FROM system.local").WithContext(ctx).Consistency(gocql.One).Scan(&theirs)
	after := time.Now()
	if err != nil {
		return failure(err, "read the database's clock")
	}
	return clockFits(before, after, theirs)
}

// clockFits judges a clock that was read between before and after.
func clockFits(before, after, theirs time.Time) error {
	var off time.Duration
	switch {
	case theirs.Before(before):
		off = before.Sub(theirs)
	case theirs.After(after):
		off = theirs.Sub(after)
	}
	if off <= maxClockDifference {
		return nil
	}
	return fmt.Errorf("%w: the clock says %s, the database's %s (%s apart, %s are allowed): set the clocks right, with NTP on all machines",
		ErrUnsafe, after.UTC().Format(time.RFC3339), theirs.UTC().Format(time.RFC3339), off.Round(time.Millisecond), maxClockDifference)
}

// settings of a Cassandra node, by name. A setting that is not set is empty.
type settings map[string]string

// checkLimits looks at how a node is configured. It sees the node that answers;
// operators keep nodes alike.
func (j *Journal) checkLimits(ctx context.Context) error {
	found := settings{}
	iter := j.session.Query("SELECT name, value FROM system_views.settings").WithContext(ctx).Consistency(gocql.One).Iter()
	var name, value string
	for iter.Scan(&name, &value) {
		found[name] = value
		value = ""
	}
	if err := iter.Close(); err != nil {
		if answered(err) && !passing(err) {
			j.cfg.Logger.Warn("the settings of Cassandra could not be checked: grant SELECT on system_views.settings", "cause", err.Error())
			return nil
		}
		return failure(err, "read the database's settings")
	}
	return settingsFit(j.cfg, found)
}

// settingsFit judges the settings of a node.
func settingsFit(cfg Config, found settings) error {
	if variant := found["paxos_variant"]; strings.HasPrefix(variant, "v1") {
		cfg.Logger.Warn("paxos_variant is v1: appends are not linearizable while Cassandra nodes join or leave. Set v2 and run paxos repair", "found", variant)
	}
	limit, err := found.mutationLimit()
	if err != nil {
		cfg.Logger.Warn("Cassandra's limit of a mutation could not be checked", "cause", err.Error())
		return nil
	}
	if need := 2 * int64(cfg.MaxRecordBytes); limit < need {
		return fmt.Errorf("%w: Cassandra takes mutations of %d bytes, records of %d need %d: raise max_mutation_size (and commitlog_segment_size, which must be twice that), or lower Config.MaxRecordBytes",
			ErrUnsafe, limit, cfg.MaxRecordBytes, need)
	}
	return nil
}

// mutationLimit is max_mutation_size, or by default half of a segment of the commit log.
func (s settings) mutationLimit() (int64, error) {
	if text := s["max_mutation_size"]; text != "" && text != "null" {
		return parseBytes(text)
	}
	segment, err := parseBytes(s["commitlog_segment_size"])
	return segment / 2, err
}

var errNoSize = errors.New("not a size in bytes")

// parseBytes reads a size as Cassandra prints it: 32MiB.
func parseBytes(text string) (int64, error) {
	for unit, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if number, has := strings.CutSuffix(text, unit); has {
			n, err := strconv.ParseInt(number, 10, 32)
			return n * factor, err
		}
	}
	if number, has := strings.CutSuffix(text, "B"); has {
		return strconv.ParseInt(number, 10, 64)
	}
	return 0, fmt.Errorf("%w: %q", errNoSize, text)
}
