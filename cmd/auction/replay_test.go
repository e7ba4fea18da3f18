package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedFile finds a file that lies beside the project and is not a part of it. Where it
// is missing the test is skipped, unless SKERRY_REQUIRE names "shared".
func sharedFile(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("SKERRY_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if strings.Contains(os.Getenv("SKERRY_REQUIRE"), "shared") {
			t.Fatalf("%v: SKERRY_REQUIRE wants it; name its folder with SKERRY_SHARED", err)
		}
		t.Skipf("NOT TESTED: %v: name the folder with SKERRY_SHARED", err)
	}
	return path
}

func TestTheRecordedBidsComeOutAsEBaySoldThem(t *testing.T) {
	t.Parallel()
	replayed(t, sharedFile(t, filepath.Join("data", "ebay-bids.csv")))
}

// replayed sends the recorded bids through a service of the replay's own, and holds what it prints against what eBay did.
func replayed(t *testing.T, file string, settings ...string) {
	t.Helper()
	var out, problems bytes.Buffer
	code := run(append([]string{"replay", file, "-data", t.TempDir()}, settings...), func(string) string { return "" }, &out, &problems)
	for _, want := range []string{
		"lots      285, closed 285\n",
		"bids      4764 sent, 4720 accepted, 44 rejected",
		"prices    265 of 285 recorded final prices exact\n",
		"read      285 of 285 lots are in the read model with their own price, leader and bids\n",
		"every accepted bid is there once, every lot was closed once\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q", want)
		}
	}
	if code != 0 || t.Failed() {
		t.Fatalf("exit code %d\n%s%s", code, out.String(), problems.String())
	}
}
