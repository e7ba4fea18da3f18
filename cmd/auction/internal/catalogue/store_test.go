package catalogue_test

import (
	"path/filepath"
	"testing"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// openTables makes the tables in a file of their own.
func openTables(t testing.TB, dir string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(dir, "lots.db"), Steps: catalogue.Steps()})
	if err != nil {
		t.Fatal(err)
	}
	return db
}
