package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/cmd/internal/door"
)

func TestAFlagWinsOverTheEnvironmentOverTheFileOverTheDefault(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auction.conf")
	lines := "\ufeffdata = from-file\n# three of four\nhttp=:1\n\n  admin = :2\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"AUCTION_DATA": "from-env", "AUCTION_HTTP": ":3", "AUCTION_CONFIG": file}
	var s Settings
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	s.register(fs)
	found, err := load(fs, []string{"first", "-data", "from-flag", "second"}, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join([]string{s.Data, s.HTTP, s.Admin, s.Drain.String()}, " "); got != "from-flag :3 :2 10s" {
		t.Fatalf("got %s", got)
	}
	if strings.Join(found.rest, " ") != "first second" || !found.flags["data"] || found.flags["http"] {
		t.Fatalf("got %+v", found)
	}
}

func TestASettingsFileSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"data d":                     "line 1: \"data d\" is not of the form name = value",
		"\ndatum = d":                "line 2: there is no setting \"datum\"",
		"config = other":             "line 1: there is no setting \"config\"",
		"data = a\ndata = b":         "line 2: \"data\" is set for the second time",
		"drain = soon":               "line 1: drain is \"soon\"",
		"data = \"d\"":               "line 1: the value of data, \"d\", begins with a quote: write it without quotes",
		"data = 'd'":                 "line 1: the value of data, 'd', begins with a quote",
		strings.Repeat("x", 1<<20):   "token too long",
		"listen-beyond-loopback = x": "line 1: listen-beyond-loopback is \"x\"",
	} {
		var s Settings
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		s.register(fs)
		fs.String(configFlag, "", "")
		if err := loadFile(fs, given(fs), strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q gives %v, want %s", text, err, want)
		}
	}
}

func TestAWrongVariableIsNamed(t *testing.T) {
	t.Parallel()
	var s Settings
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	s.register(fs)
	env := map[string]string{"AUCTION_LOG_LEVEL": "loud"}
	if _, err := load(fs, nil, func(name string) string { return env[name] }); err == nil || !strings.Contains(err.Error(), `AUCTION_LOG_LEVEL is "loud"`) {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyLoopbackIsListenedOnUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for addr, loopback := range map[string]bool{
		":0": true, "127.0.0.1:80": true, "127.1.2.3:80": true, "[::1]:80": true, "localhost:80": true,
		"0.0.0.0:80": false, "[::]:80": false, "192.168.1.1:80": false, "example.org:80": false,
	} {
		err := Settings{}.checkAddress(addr)
		if (err == nil) != loopback {
			t.Errorf("%s: %v", addr, err)
		}
		if err := (Settings{BeyondLoopback: true}).checkAddress(addr); err != nil {
			t.Errorf("%s, told otherwise: %v", addr, err)
		}
	}
	if got := door.WithHost(":80"); got != "127.0.0.1:80" {
		t.Errorf(":80 became %s", got)
	}
}
