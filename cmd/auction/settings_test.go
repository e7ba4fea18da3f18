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

// A process of several needs stores that several can have, and says what it is.
func TestWhatCannotBeMeantInAClusterIsRefused(t *testing.T) {
	t.Parallel()
	const shared = "-journal cassandra://127.0.0.1/k -read postgres://127.0.0.1/auction "
	for args, want := range map[string]string{
		"-nodes 0":                      "-nodes is 0: use 1 to 9",
		"-nodes 10":                     "-nodes is 10: use 1 to 9",
		"-nodes 3 -join 127.0.0.1:7946": "-nodes runs a whole cluster in this process: leave out",
		"-nodes 3 -name n1":             "-nodes runs a whole cluster in this process: leave out",
		"-nodes 3 -http :65530":         "-http is \":65530\": node 3 would listen beyond port 65535",
		"-nodes 3 -http :http":          "\"http\" is no port",
		"-name n1":                      "are for one node of several: give -gossip and -peer",
		"-nodes 3 -rows all":            "-nodes runs a whole cluster in this process: leave out",
		"-cluster other":                "are for one node of several: give -gossip and -peer",
		"-rows all":                     "are for one node of several: give -gossip and -peer",
		"-gateway":                      "are for one node of several: give -gossip and -peer",
		"-weight 2":                     "are for one node of several: give -gossip and -peer",
		"-gossip :0":                    "-journal is empty, and the journal in -data belongs to one process",
		"-join 127.0.0.1:7946 -journal cassandra://127.0.0.1/k":                 "-read is a file, which belongs to one process",
		"-peer :0 -journal cassandra://127.0.0.1/k -read lots.db":               "give all nodes the same -read postgres://...",
		shared + "-gossip :0 -weight 0":                                         "-weight is 0: say -gateway",
		shared + "-gossip :0 -weight 2000":                                      "the weight of node",
		shared + "-gossip :0 -name " + strings.Repeat("n", 50):                  "has 50 bytes; 1 to 47 are allowed",
		shared + "-gossip :0 -peer-cert c.pem":                                  "-peer-cert, -peer-key and -peer-ca go together",
		shared + "-gossip 0.0.0.0:7946":                                         "-gossip is \"0.0.0.0:7946\": other machines could reach it",
		shared + "-gossip :0 -rows some":                                        "-rows is \"some\": use own, all or none",
		shared + "-gossip nonsense":                                             "-gossip is \"nonsense\"",
		shared + "-gossip localhost:7946":                                       "give an IP address and a port, such as 127.0.0.1:7946",
		shared + "-peer 10.1.1.1:7947":                                          "or give -peer-cert, -peer-key and -peer-ca",
		shared + "-peer 0.0.0.0:7947 -peer-cert c -peer-key k -peer-ca a":       "every address of this machine: say with -advertise",
		shared + "-gossip 0.0.0.0:7946 -gossip-keys k":                          "every address of this machine: say with -advertise",
		shared + "-gossip 0.0.0.0:0 -gossip-keys k -advertise 10.1.1.1":         "give it a port, since -advertise tells other nodes of it",
		shared + "-gossip 0.0.0.0:7946 -gossip-keys k -advertise 10.1.1.1:7946": "give the IP address at which other nodes reach this one, without a port",
		shared + "-gossip :0 -join 127.0.0.1":                                   "-join has \"127.0.0.1\": write HOST:PORT",
	} {
		if err := checkArgs(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", args, err, want)
		}
	}
	for _, args := range []string{
		"", "-nodes 3", "-nodes 3 -http :0 -admin :0",
		shared + "-name n1 -gossip :0 -peer :0",
		shared + "-name n2 -gossip 127.0.0.1:7956 -peer 127.0.0.1:7957 -join 127.0.0.1:7946,127.0.0.1:7948 -weight 2",
		shared + "-name g -gossip :0 -peer :0 -gateway -join n1.example.org:7946",
		shared + "-gossip 10.1.1.1:7946 -peer 10.1.1.1:7947 -peer-cert c -peer-key k -peer-ca a -gossip-keys k",
		shared + "-gossip 0.0.0.0:7946 -peer 0.0.0.0:7947 -advertise 10.1.1.1 -listen-beyond-loopback",
	} {
		if err := checkArgs(args); err != nil {
			t.Errorf("%s gives %v", args, err)
		}
	}
}

func checkArgs(args string) error {
	var s Settings
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	s.register(fs)
	if _, err := load(fs, strings.Fields(args), func(string) string { return "" }); err != nil {
		return err
	}
	return s.check()
}

func TestSeveralNodesOfAProcessListenSideBySide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		node    int
		want    string
	}{
		{":8080", 0, "127.0.0.1:8080"}, {":8080", 2, "127.0.0.1:8100"}, {"127.0.0.2:0", 2, "127.0.0.2:0"}, {"[::1]:80", 1, "[::1]:90"},
	} {
		if got, err := portOf(c.address, c.node); err != nil || got != c.want {
			t.Errorf("node %d beside %s listens at %s, %v; want %s", c.node, c.address, got, err, c.want)
		}
	}
}
