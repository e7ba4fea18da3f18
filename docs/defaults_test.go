package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each field of a Config has a row in defaults.md, and what the row says is said by the
// field's comment too.
func TestTableOfDefaultsSaysWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("defaults.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"entity": "../entity", "pebble": "../journal/pebble", "cassandra": "../journal/cassandra", "gateway": "../entity/gateway",
		"readside": "../readside", "sqlite": "../readside/sqlite", "postgres": "../readside/postgres", "stream": "../readside/stream",
		"cluster": "../cluster", "gossip": "../cluster/gossip", "transport": "../cluster/transport",
		"breaker": "../breaker", "service": "../breaker/service",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			compareDefaults(t, "defaults.md", name+".Config", rowsOf(string(page), name+".Config"), commentsOf(t, dir, "Config"))
		})
	}
}

// The settings of a breaker have their table where breakers are told of.
func TestTableOfBreakersSettingsSaysWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("breaker.md")
	if err != nil {
		t.Fatal(err)
	}
	compareDefaults(t, "breaker.md", "breaker.Settings", rowsOf(string(page), "Settings per id"), commentsOf(t, "../breaker", "Settings"))
}

func compareDefaults(t *testing.T, page, name string, rows, comments map[string]string) {
	t.Helper()
	for field, comment := range comments {
		row, ok := rows[field]
		switch {
		case !ok:
			t.Errorf("%s.%s has no row in %s", name, field, page)
		case row == "required" || row == "false":
		case !strings.Contains(comment, row):
			t.Errorf("%s says that %s.%s is %q by default; its comment says\n%s", page, name, field, row, comment)
		}
		delete(rows, field)
	}
	for field := range rows {
		t.Errorf("%s has a row for %s.%s, which does not exist", page, name, field)
	}
}

var row = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\|")

// rowsOf returns the default of each field in the table below a heading.
func rowsOf(page, heading string) map[string]string {
	_, table, _ := strings.Cut(page, "## "+heading+"\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		rows[m[1]] = m[2]
	}
	return rows
}

// commentsOf returns the comment of each field of a struct of a
// package. A field without one shares that of the field before it.
func commentsOf(t *testing.T, dir, structure string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != structure {
				return true
			}
			last := ""
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				if text := f.Doc.Text(); text != "" {
					last = strings.Join(strings.Fields(text), " ")
				}
				for _, name := range f.Names {
					if name.IsExported() {
						comments[name.Name] = last
					}
				}
			}
			return false
		})
	}
	if len(comments) == 0 {
		t.Fatalf("%s has no struct %s", dir, structure)
	}
	return comments
}
