package cassandra

import (
	"errors"
	"testing"

	"github.com/skerryhq/skerry/journal"
)

// Who derives again must know which pages may be missing: those of some entities, or all.
func TestAFailedDeriveNamesTheEntitiesBehind(t *testing.T) {
	t.Parallel()
	lost := errors.New("no answer")
	a, b := journal.Entity{Type: "lot", ID: "a"}, journal.Entity{Type: "lot", ID: "b"}
	type write struct {
		of  journal.Entity
		err error
	}
	many := make([]write, mostFailures)
	for i := range many {
		many[i] = write{journal.Entity{Type: "lot", ID: string(rune('A' + i))}, lost}
	}
	for name, p := range map[string]struct {
		writes   []write
		entities int // 0: the error names none
	}{
		"pages of one entity":              {[]write{{a, nil}, {b, lost}, {b, lost}}, 1},
		"pages of two":                     {[]write{{a, lost}, {b, lost}}, 2},
		"pages and rows of the index":      {[]write{{a, lost}, {journal.Entity{}, lost}}, 0},
		"so many that the rest was spared": {many, 0},
	} {
		var f failures
		for _, w := range p.writes {
			f.note(w.of, w.err)
		}
		f.hopeless()
		var behind *journal.BehindError
		err := f.err()
		if named := errors.As(err, &behind); !errors.Is(err, lost) || named != (p.entities > 0) || named && len(behind.Entities) != p.entities {
			t.Errorf("%s: %v", name, err)
		}
	}
	var f failures
	if f.note(a, nil) || f.hopeless() || f.err() != nil {
		t.Error("nothing failed, and there is an error")
	}
}
