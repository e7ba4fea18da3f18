package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesOfMemberlistGetLevelsForOperators(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"[ERR] memberlist: Failed push/pull merge: gossip: refused: node \"n9\" at 10.0.0.9:1: it has 8 shards from=10.0.0.9:4711": `level=WARN msg="gossip: Failed push/pull merge: gossip: refused: node \"n9\" at 10.0.0.9:1: it has 8 shards" from=10.0.0.9:4711`,
		"[WARN] memberlist: ignoring alive message for 'x': gossip: refused: node x":                                               `level=WARN msg="gossip: ignoring alive message for 'x': gossip: refused: node x"`,
		"[ERR] memberlist: Decrypt packet failed: No installed keys could decrypt the message from=10.0.0.9:1":                     `level=WARN msg="gossip: refused: the peer and this node have no gossip key in common: install the cluster's key on both" from=10.0.0.9:1`,
		"[WARN] memberlist: Refuting a suspect message (from: n2-1)":                                                               `level=INFO msg="gossip: Refuting a suspect message (from: n2-1)"`,
		"[INFO] memberlist: Marking n2-1 as failed, suspect timeout reached (1 peer confirmations)":                                `level=INFO msg="gossip: Marking n2-1 as failed, suspect timeout reached (1 peer confirmations)"`,
		"[DEBUG] memberlist: Stream connection from=10.0.0.9:1":                                                                    `level=DEBUG msg="gossip: Stream connection from=10.0.0.9:1"`,
		"something else": `level=DEBUG msg="gossip: something else"`,
	} {
		var out bytes.Buffer
		lines := newLogLines(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
		fmt.Fprintln(lines, line)
		if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, want) {
			t.Errorf("%s\nbecame %s\nwant   %s", line, got, want)
		}
	}
}

func TestFloodOfLinesIsCutAndDoesNotHideRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		lines := newLogLines(slog.New(slog.NewTextHandler(&out, nil)))
		for i := range 1000 {
			fmt.Fprintf(lines, "[ERR] memberlist: noise %d\n", i)
			fmt.Fprintf(lines, "[ERR] memberlist: the same from=10.0.0.9:%d\n", i)
		}
		fmt.Fprintf(lines, "[ERR] memberlist: gossip: refused: node x %s\n", strings.Repeat("y", 10_000))
		if got := strings.Count(out.String(), "\n"); got != linesPerMinute+1 {
			t.Errorf("%d lines; want %d and the refusal", got, linesPerMinute)
		}
		if !strings.Contains(out.String(), "node x") || out.Len() > 10_000 {
			t.Errorf("the refusal is missing or was not cut:\n%s", out.String())
		}
		time.Sleep(time.Minute)
		fmt.Fprintln(lines, "[ERR] memberlist: noise 1")
		if !strings.Contains(out.String(), "lines=1950") {
			t.Errorf("nothing tells how many lines were left out:\n%s", out.String())
		}
	})
}
