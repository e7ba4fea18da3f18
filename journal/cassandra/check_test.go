package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/journal"
)

func TestAMissingSchemaNamesTheRemedy(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	cfg.Development = false
	_, err := Open(within(t), cfg)
	if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "skerry journal schema") || !strings.Contains(err.Error(), "log") {
		t.Errorf("without a schema: %v", err)
	}
}

func TestTooFewReplicasAreRefused(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	opened(t, cfg)
	cfg.Development = false
	if _, err := Open(within(t), cfg); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "ALTER KEYSPACE") {
		t.Errorf("one replica in production: %v", err)
	}
}

func TestReplicationIsJudgedPerDataCentre(t *testing.T) {
	t.Parallel()
	cases := []struct {
		centre      string
		replication map[string]string
		fits        bool
	}{
		{"", map[string]string{"class": "x", "replication_factor": "3"}, true},
		{"", map[string]string{"class": "x", "replication_factor": "2"}, false},
		{"", map[string]string{"class": "x", "north": "3", "south": "3"}, true},
		{"", map[string]string{"class": "x", "north": "3", "south": "1"}, false},
		{"north", map[string]string{"class": "x", "north": "3", "south": "1"}, true},
		{"south", map[string]string{"class": "x", "north": "3", "south": "1"}, false},
		{"west", map[string]string{"class": "x", "north": "3"}, false},
		{"", map[string]string{"class": "x", "north": "5/2"}, true},
		{"", map[string]string{"class": "x", "north": "many"}, false},
	}
	for _, c := range cases {
		cfg := Config{DataCenter: c.centre, Logger: slog.New(slog.DiscardHandler)}
		if err := replicationFits(cfg, c.replication); (err == nil) != c.fits || err != nil && !errors.Is(err, ErrUnsafe) {
			t.Errorf("%q in %v: %v", c.centre, c.replication, err)
		}
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	j := opened(t, cfg)
	execute(t, j, "UPDATE meta SET value = '99' WHERE part = ? AND name = ? IF EXISTS", factsPart, formatFact)
	if _, err := Open(within(t), cfg); !errors.Is(err, journal.ErrFormat) {
		t.Errorf("format 99: %v", err)
	}
}

func TestAnotherSerialLevelIsRefused(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	opened(t, cfg)
	cfg.DataCenter = "dc1"
	if _, err := Open(within(t), cfg); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), "LOCAL_SERIAL dc1") {
		t.Errorf("another level: %v", err)
	}
}

func TestAClockFarFromTheDatabasesIsRefused(t *testing.T) {
	t.Parallel()
	before := time.Unix(1000, 0)
	after := before.Add(time.Second)
	for off, fits := range map[time.Duration]bool{-3 * time.Second: false, -2 * time.Second: true, 0: true, 3 * time.Second: true, 3*time.Second + 1: false} {
		if err := clockFits(before, after, before.Add(off)); (err == nil) != fits {
			t.Errorf("%s off: %v", off, err)
		}
	}
}

func TestSettingsOfTheDatabaseAreJudged(t *testing.T) {
	t.Parallel()
	cases := []struct {
		found settings
		fits  bool
		warns string
	}{
		{settings{"paxos_variant": "v2", "commitlog_segment_size": "32MiB"}, true, ""},
		{settings{"paxos_variant": "v1", "commitlog_segment_size": "32MiB"}, true, "paxos_variant"},
		{settings{"paxos_variant": "v2", "commitlog_segment_size": "8MiB"}, false, ""},
		{settings{"paxos_variant": "v2", "commitlog_segment_size": "32MiB", "max_mutation_size": "1024KiB"}, false, ""},
		{settings{"paxos_variant": "v2", "commitlog_segment_size": "32MiB", "max_mutation_size": "null"}, true, ""},
		{settings{"paxos_variant": "v2", "commitlog_segment_size": "1MiB", "max_mutation_size": "8388608B"}, true, ""},
		{settings{"paxos_variant": "v2"}, true, "limit of a mutation"},
	}
	for _, c := range cases {
		var log bytes.Buffer
		cfg := Config{MaxRecordBytes: defaultMaxRecordBytes, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		err := settingsFit(cfg, c.found)
		if (err == nil) != c.fits || (c.warns == "") != (log.Len() == 0) || !strings.Contains(log.String(), c.warns) {
			t.Errorf("%v: %v, logs %q", c.found, err, log.String())
		}
	}
}

func TestTheOlderPaxosIsWarnedOf(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for cfg, warned := range map[*Config]bool{new(freshV1(t)): true, new(fresh(t)): false} {
		log.Reset()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		opened(t, *cfg)
		if strings.Contains(log.String(), "paxos_variant is v1") != warned {
			t.Errorf("of Paxos v1 (is it? %v): %s", warned, &log)
		}
	}
}

func TestARecordOverTheLimitIsRefusedUnsent(t *testing.T) {
	t.Parallel()
	cfg := fresh(t)
	cfg.MaxRecordBytes = 1000
	j := opened(t, cfg)
	rec := journal.NewRecord(journal.Header{Number: 1, Epoch: 1, Batch: journal.NewBatch()}, [][]byte{make([]byte, 1001)})
	if _, err := j.Append(within(t), 0, rec); !errors.Is(err, journal.ErrRefused) || !strings.Contains(err.Error(), "MaxRecordBytes") {
		t.Errorf("a large record: %v", err)
	}
	cfg.MaxRecordBytes = 1 << 30
	if _, err := Open(within(t), cfg); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "max_mutation_size") {
		t.Errorf("a limit beyond the database's: %v", err)
	}
}

func TestADatabaseThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{Hosts: []string{"127.0.0.1:1"}, Keyspace: "k"})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listens: %v", err)
	}
}

// firstStart is set in the environment of a child process: the keyspace to open.
const firstStart = "SKERRY_TEST_FIRST_START"

func TestFirstStartsOfFiveProcessesMakeOneSchema(t *testing.T) {
	if hosts, keyspace, child := strings.Cut(os.Getenv(firstStart), "/"); child {
		keyspace, replication, _ := strings.Cut(keyspace, "/")
		j := opened(t, Config{Hosts: strings.Split(hosts, ","), Keyspace: keyspace, Development: true, Replication: replication})
		fact, err := j.Settle(within(t), "history", fmt.Sprint(os.Getpid()))
		fmt.Printf("settled=%s err=%v\n", fact, err)
		return
	}
	t.Parallel()
	cfg := fresh(t)
	wantOneSchema(t, cfg)
}

// wantOneSchema starts five processes and compares what each of them found.
func wantOneSchema(t *testing.T, cfg Config) {
	t.Helper()
	outs := startFive(t, cfg)
	for _, out := range outs[1:] {
		if settledIn(out) == "" || settledIn(out) != settledIn(outs[0]) {
			t.Errorf("one process says\n%s\nanother\n%s", outs[0], out)
		}
	}
	opened(t, cfg)
}

// startFive opens the same empty keyspace in five processes at once.
func startFive(t *testing.T, cfg Config) []string {
	t.Helper()
	outs := make([]string, 5)
	done := make(chan struct{})
	for i := range outs {
		command := exec.CommandContext(within(t), os.Args[0], "-test.run=^TestFirstStartsOfFiveProcessesMakeOneSchema$")
		// Each begins with another node.
		hosts := append(append([]string{}, cfg.Hosts[i%len(cfg.Hosts):]...), cfg.Hosts[:i%len(cfg.Hosts)]...)
		command.Env = append(os.Environ(), firstStart+"="+strings.Join(hosts, ",")+"/"+cfg.Keyspace+"/"+cfg.Replication)
		go func() {
			out, err := command.CombinedOutput()
			outs[i] = fmt.Sprintf("%s%v", out, err)
			done <- struct{}{}
		}()
	}
	for range outs {
		<-done
	}
	return outs
}

func settledIn(out string) string {
	_, rest, _ := strings.Cut(out, "settled=")
	fact, _, found := strings.Cut(rest, " err=<nil>")
	if !found {
		return ""
	}
	return fact
}
