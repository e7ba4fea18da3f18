package postgres

import (
	"strings"
	"testing"
)

func TestAServerThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]server{
		"PostgreSQL 13.9": {130009, "UTF8", "read committed", "off"},
		"ENCODING 'UTF8'": {150004, "SQL_ASCII", "read committed", "off"},
		"the primary":     {150004, "UTF8", "read committed", "on"},
		"pooler":          {150004, "UTF8", "serializable", "off"},
	} {
		if err := s.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
	if err := (server{oldest * 10_000, "UTF8", "read committed", "off"}).check(); err != nil {
		t.Error(err)
	}
}
