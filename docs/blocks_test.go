package docs_test

import (
	"go/format"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block is a fenced block of a page: ```language name
type block struct{ language, name, text string }

func blocksOf(t *testing.T, page string) []block {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	var open *block
	for line := range strings.Lines(string(text)) {
		fence, isFence := strings.CutPrefix(strings.TrimRight(line, "\n"), "```")
		switch {
		case isFence && open == nil:
			language, name, _ := strings.Cut(fence, " ")
			open = &block{language: language, name: name}
		case isFence:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s: the last block is not closed", page)
	}
	return blocks
}

func TestGoCodeInPagesIsFormatted(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, "../README.md") {
		for _, b := range blocksOf(t, page) {
			if b.language != "go" {
				continue
			}
			checked++
			if got, err := format.Source([]byte(b.text)); err != nil {
				t.Errorf("%s: %v in\n%s", page, err, b.text)
			} else if string(got) != b.text {
				t.Errorf("%s: want it formatted as\n%s", page, got)
			}
		}
	}
	if checked == 0 {
		t.Error("no page has Go code")
	}
}
