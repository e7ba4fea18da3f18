package cassandra

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/archive"
	"github.com/skerryhq/skerry/journal/journaltest"
	logv1 "github.com/skerryhq/skerry/proto/skerry/log/v1"
)

// damages are what is done to the rows of one shard each, and what is said of it. SHARD, TYPE and ID stand for
// the shard and its entity.
var damages = []struct {
	what, statement string
	want            string
}{
	{"nothing", "", ""},
	{"a hole in the log", "DELETE FROM log WHERE shard = SHARD AND bucket = 1 AND n = 3", "record 3: it cannot be read"},
	{"the whole log", "DELETE FROM log WHERE shard = SHARD AND bucket = 1 AND n < 6", "record 1: it cannot be read"},
	{"a record of zeros", "UPDATE log SET body = 0x0000 WHERE shard = SHARD AND bucket = 1 AND n = 3", "record 3: it cannot be read"},
	{"a record without a body", "DELETE body FROM log WHERE shard = SHARD AND bucket = 1 AND n = 3", "record 3 has lost its entries"},
	{"a header of another record", "UPDATE log SET header = 0x0a020801 WHERE shard = SHARD AND bucket = 1 AND n = 3", "record 3: it cannot be read"},
	{"a page that is missing", "DELETE FROM pages WHERE type = TYPE AND id = ID AND slice = 0 AND last_entry = 2", "entry 2 is in no page, though pages are complete up to entry 4"},
	{"a page of zeros", "UPDATE pages SET body = 0x0000 WHERE type = TYPE AND id = ID AND slice = 0 AND last_entry = 2 AND first_entry = 2", "the page of entries 2 to 2 cannot be read"},
	{"a page that lies about what it holds", "INSERT INTO pages (type, id, slice, last_entry, first_entry, shard, body) VALUES (TYPE, ID, 0, 3, 2, 0, 0x)", "the page of entries 2 to 3 ends with entry 1"},
	{"a snapshot of another", "INSERT INTO snapshots (type, id, entry, body) VALUES (TYPE, ID, 2, 0x080210021800)", "is of shard 0: it is another entity's"},
	{"a snapshot of zeros", "UPDATE snapshots SET body = 0x0000 WHERE type = TYPE AND id = ID AND entry = 4", "the snapshot at entry 4 cannot be read"},
	{"no timer index", "DELETE FROM timers WHERE shard = SHARD AND hour = 490896", "is not in the index"},
}

func TestVerifyFindsWhatWasPlantedInTheTables(t *testing.T) {
	t.Parallel()
	j := opened(t, fresh(t))
	for name, value := range map[string]string{"shards": fmt.Sprint(len(damages)), "history": "h"} {
		if _, err := j.Settle(within(t), name, value); err != nil {
			t.Fatal(err)
		}
	}
	for shard := range damages {
		writeWhole(t, j, uint32(shard))
	}
	if report := verified(t, j); len(report.Findings) > 0 {
		t.Fatalf("before anything is planted: %v", report.Findings)
	}
	for shard, d := range damages {
		if d.statement == "" {
			continue
		}
		of := accountOf(uint32(shard))
		statement := strings.NewReplacer("SHARD", fmt.Sprint(shard), "TYPE", blob(of.Type), "ID", blob(of.ID)).Replace(d.statement)
		execute(t, j, statement)
	}
	report := verified(t, opened(t, j.cfg)) // which remembers nothing of the logs
	for shard, d := range damages {
		var said []string
		for _, f := range report.Findings {
			if f.Shard == shard {
				said = append(said, f.String())
			}
		}
		if found := slices.ContainsFunc(said, func(s string) bool { return d.want != "" && strings.Contains(s, d.want) }); found != (d.want != "") || !found && len(said) > 0 {
			t.Errorf("%s: found %q, want %q", d.what, said, d.want)
		}
	}
}

func verified(t *testing.T, j *Journal) *archive.Report {
	t.Helper()
	report, err := archive.Verify(within(t), archive.VerifyConfig{Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func accountOf(shard uint32) journal.Entity {
	return journal.Entity{Type: "account", ID: fmt.Sprint("of shard ", shard)}
}

func blob(text string) string { return fmt.Sprintf("0x%x", text) }

// writeWhole writes a log of one claim and four commands of one entity, a page for each, a snapshot and a timer.
func writeWhole(t *testing.T, j *Journal, shard uint32) {
	t.Helper()
	of, due := accountOf(shard), time.Unix(490896*3600, 0).UnixNano()
	d := journal.Derived{Shard: shard, UpTo: 5, Arms: []journal.Timer{{Of: of, Name: "close", Armed: 1, Due: due}}}
	for n := uint64(1); n <= 6; n++ {
		h := journal.Header{Number: n, Epoch: 1, Writer: "w", Batch: journal.NewBatch(), FirstOffset: max(n, 2) - 1}
		var entries [][]byte
		switch n {
		case 1:
			h.Claim = true
		case 6:
			h.Claim, h.Epoch, h.Flushed = true, 2, 5
		default:
			e := &logv1.Entry{
				Type: of.Type, Id: of.ID, Entry: n - 1, Version: n - 1, Events: []*logv1.Event{{Type: "e"}},
				Key: &logv1.Key{Kind: &logv1.Key_Caller{Caller: fmt.Sprint(n)}},
			}
			if n == 2 {
				e.Arms = []*logv1.Arm{{Name: "close", DueNs: due, Command: "Close"}}
			}
			b, err := proto.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			h.Events, entries = 1, [][]byte{b}
			d.Pages = append(d.Pages, journal.Page{Of: of, First: n - 1, Last: n - 1, Body: protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b)})
		}
		if _, err := journaltest.Settle(within(t), j, shard, journal.NewRecord(h, entries)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Derive(within(t), d); err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(&logv1.Snapshot{Entry: 4, Version: 4, Shard: uint64(shard), Record: 5})
	if err == nil {
		err = j.SaveSnapshot(within(t), journal.Snapshot{Of: of, Entry: 4, Body: body})
	}
	if err != nil {
		t.Fatal(err)
	}
}
