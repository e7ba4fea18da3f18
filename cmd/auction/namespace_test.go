package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// archipelago is a network namespace for each node, and one with a bridge between them. Nodes speak to each other over
// the bridge, where they can be cut off. The databases and the nodes' doors are reached by Unix sockets, which
// know no namespaces: so a node that is cut off from the others still reaches the journal, and callers reach it.
type archipelago struct {
	t       *testing.T
	dir     string
	hub     string
	islands []*island
	// say tells the bad wire between the islands what it is to do; see wireMain.
	say func(string)
}

// island is where one node lives.
type island struct {
	of    *archipelago
	space string // its name
	ip    string
	link  string // the hub's end of its cable
	// journal and tables lead to the databases.
	journal, tables *relay
}

var archipelagos atomic.Int64

// newArchipelago makes the namespaces; the test is skipped where that is not allowed, but where SKERRY_REQUIRE
// names netns. They are gone at its end.
func newArchipelago(t *testing.T, count int, journal, tables string) *archipelago {
	t.Helper()
	dir, err := os.MkdirTemp("", "skerry-net-") //nolint:usetesting // the paths of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	forgetOthers()
	name := fmt.Sprintf("skerry-%d-%d-", os.Getpid(), archipelagos.Add(1))
	a := &archipelago{t: t, dir: dir, hub: name + "hub"}
	if err := a.space(a.hub); err != nil {
		if strings.Contains(os.Getenv("SKERRY_REQUIRE"), "netns") {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED with partitions: network namespaces are not to be had: %v", err)
	}
	a.must("-n", a.hub, "link", "add", "bridge", "type", "bridge")
	a.must("-n", a.hub, "link", "set", "bridge", "up")
	for i := range count {
		a.settle(fmt.Sprint(name, i+1), i+1, journal, tables)
	}
	var ends []string
	for _, i := range a.islands {
		ends = append(ends, i.link)
	}
	a.say = a.program(a.hub, "wire", ends...)
	return a
}

// program runs one of our own in a namespace, and returns once that is ready. Each line that it is told then is done when say returns.
func (a *archipelago) program(space, name string, args ...string) (say func(line string)) {
	t := a.t
	t.Helper()
	path, err := exec.LookPath(name) // put there by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", space, path}, args...)...)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = cmd.Wait()
	})
	said := bufio.NewScanner(out)
	hear := func(want string) {
		t.Helper()
		if !said.Scan() || said.Text() != want {
			t.Fatalf("%s in %s says %q: %v", name, space, said.Text(), said.Err())
		}
	}
	hear("ready")
	return func(line string) {
		t.Helper()
		if _, err := fmt.Fprintln(input, line); err != nil {
			t.Fatal(err)
		}
		hear("done.")
	}
}

// badly lets the bad wire take the bridge's place for a while.
func (a *archipelago) badly(how string, length time.Duration) {
	a.t.Helper()
	for _, i := range a.islands {
		a.must("-n", a.hub, "link", "set", i.link, "nomaster")
	}
	a.say(how)
	<-time.After(length)
	a.say("off")
	for _, i := range a.islands {
		a.must("-n", a.hub, "link", "set", i.link, "master", "bridge")
	}
}

// forgetOthers removes namespaces of tests that were killed: those of ours whose process is gone, or has our number now.
func forgetOthers() {
	list, _ := exec.Command("ip", "netns", "list").Output() // else there is nothing to forget
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		var pid int
		if _, err := fmt.Sscanf(name, "skerry-%d-", &pid); err != nil {
			continue
		}
		_, err := os.Stat(fmt.Sprint("/proc/", pid))
		if os.IsNotExist(err) || pid == os.Getpid() && archipelagos.Load() == 0 {
			_ = ip("netns", "del", name) // somebody else may have done it
		}
	}
}

// space makes a namespace with a loopback of its own.
func (a *archipelago) space(name string) error {
	if err := ip("netns", "add", name); err != nil {
		return err
	}
	a.t.Cleanup(func() {
		if err := ip("netns", "del", name); err != nil {
			a.t.Error(err)
		}
	})
	return ip("-n", name, "link", "set", "lo", "up")
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (a *archipelago) must(args ...string) {
	a.t.Helper()
	if err := ip(args...); err != nil {
		a.t.Fatal(err)
	}
}

// settle makes one island, with a cable to the bridge.
func (a *archipelago) settle(space string, number int, journal, tables string) {
	a.t.Helper()
	i := &island{of: a, space: space, ip: fmt.Sprint("10.111.0.", number), link: fmt.Sprint("to", number)}
	if err := a.space(space); err != nil {
		a.t.Fatal(err)
	}
	a.must("-n", a.hub, "link", "add", i.link, "type", "veth", "peer", "name", "sea", "netns", space)
	a.must("-n", a.hub, "link", "set", i.link, "master", "bridge", "up")
	a.must("-n", space, "addr", "add", i.ip+"/24", "dev", "sea")
	a.must("-n", space, "link", "set", "sea", "up")
	i.journal, i.tables = i.lead("journal", journal), i.lead("tables", tables)
	a.program(space, "relay", journal+"="+i.socket("journal"), tables+"="+i.socket("tables"), i.socket("http")+"=127.0.0.1:8080", i.socket("admin")+"=127.0.0.1:8081")
	a.islands = append(a.islands, i)
}

func (i *island) socket(name string) string {
	return filepath.Join(i.of.dir, filepath.Base(i.space)+"."+name)
}

// lead starts the outer half of a way to a database.
func (i *island) lead(name, to string) *relay {
	i.of.t.Helper()
	r, err := startRelay(i.socket(name), to)
	if err != nil {
		i.of.t.Fatal(err)
	}
	i.of.t.Cleanup(r.stop)
	return r
}

// ship is a node that lives on the island.
func (i *island) ship(name string) *ship {
	doors := map[string]string{"127.0.0.1:8080": i.socket("http"), "127.0.0.1:8081": i.socket("admin")}
	s := newShip(name)
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", doors[address])
	}}}
	s.within = []string{"ip", "netns", "exec", i.space}
	s.listens = []string{
		"-http", "127.0.0.1:8080", "-admin", "127.0.0.1:8081", "-gossip", i.ip + ":7946", "-peer", i.ip + ":7947", "-listen-beyond-loopback",
	}
	return s
}

// cable sets the hub's end of an island's cable up or down: nothing goes in or out.
func (i *island) cable(state string) {
	i.of.t.Helper()
	i.of.must("-n", i.of.hub, "link", "set", i.link, state)
}

// shun lets nothing leave the island for another one; what comes from there arrives. unshun ends that.
func (i *island) shun(other *island) {
	i.of.t.Helper()
	i.of.must("-n", i.space, "route", "add", "blackhole", other.ip+"/32")
}

func (i *island) unshun(other *island) {
	i.of.t.Helper()
	i.of.must("-n", i.space, "route", "del", "blackhole", other.ip+"/32")
}

// addressOf is the host and port of a URL.
func addressOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err == nil && u.Port() == "" {
		err = errors.New("it has no port")
	}
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return u.Host
}

// TestACrowdBidsOnWhileNodesCannotHearEachOther is the same with partitions, real ones: cables that are pulled out and
// routes that lead nowhere, in network namespaces.
func TestACrowdBidsOnWhileNodesCannotHearEachOther(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := newArchipelago(t, 3, addressOf(t, f.journal), addressOf(t, f.read))
	for n, i := range a.islands {
		s := i.ship(fmt.Sprint("n", n+1))
		t.Cleanup(s.http.CloseIdleConnections)
		f.ships = append(f.ships, s)
		var seeds []string
		for _, other := range a.islands {
			seeds = append(seeds, other.ip+":7946")
		}
		if err := f.launch(s, "-join", strings.Join(seeds, ",")); err != nil {
			t.Fatal(err)
		}
	}
	f.awaitWhole()
	f.meet(a.partitions())
}

// apart is how long nodes cannot hear each other: longer than it takes until somebody takes the shards, where somebody may.
const apart = 8 * time.Second

// apart waits while the others are without a node, and notes when they have taken its shards.
func (f *fleet) apart(without *ship) {
	f.t.Helper()
	began, taken, missing := time.Now(), false, ""
	for !taken || time.Since(began) < apart {
		owners := map[uint32]bool{}
		for _, s := range f.afloat() {
			if s == without {
				continue
			}
			served, err := s.shards(f.t.Context())
			if err != nil {
				missing = fmt.Sprint(s.name, ": ", err) // it is asked again
			}
			for _, shard := range served {
				owners[shard] = true
			}
		}
		if !taken && len(owners) == fleetShards {
			taken = true
			f.t.Logf("the others have taken all shards after %v", time.Since(began).Round(time.Millisecond))
		}
		if time.Since(began) > patience {
			f.t.Fatalf("after %v the others have taken %d of %d shards; the last that did not answer: %s", patience, len(owners), fleetShards, missing)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// partitions are what happens between nodes.
func (a *archipelago) partitions() []fate {
	one, two := a.islands[0], a.islands[1]
	return []fate{
		{"a node is cut off from the others", false, func(f *fleet) {
			one.cable("down")
			f.apart(f.ships[0])
			one.cable("up")
		}},
		{"a node is cut off from everything", true, func(f *fleet) {
			one.cable("down")
			one.journal.sever(true)
			one.tables.sever(true)
			f.apart(f.ships[0])
			one.journal.sever(false)
			one.tables.sever(false)
			one.cable("up")
		}},
		{"nobody hears anybody", true, func(*fleet) {
			for _, i := range a.islands {
				i.cable("down")
			}
			<-time.After(apart)
			for _, i := range a.islands {
				i.cable("up")
			}
		}},
		{"one node cannot reach another, which can reach it", true, func(*fleet) {
			one.shun(two)
			<-time.After(apart)
			one.unshun(two)
		}},
		{"two nodes cannot reach each other, a third one both", false, func(*fleet) {
			one.shun(two)
			two.shun(one)
			<-time.After(apart)
			one.unshun(two)
			two.unshun(one)
		}},
		{"a node does not reach the journal", true, func(*fleet) {
			one.journal.sever(true)
			<-time.After(apart)
			one.journal.sever(false)
		}},
		{"the journal answers one node late", true, func(*fleet) {
			one.journal.late(50 * time.Millisecond)
			<-time.After(apart)
			one.journal.late(0)
		}},
		{"packets are lost", true, func(*fleet) { a.badly("100 0", apart) }},
		{"packets are late, and overtake each other", true, func(*fleet) { a.badly("0 80", apart) }},
		{"a cable is loose", true, func(f *fleet) {
			for range 12 {
				one.cable("down")
				<-time.After(time.Duration(f.luck.Int64N(int64(time.Second))))
				one.cable("up")
				<-time.After(time.Duration(f.luck.Int64N(int64(500 * time.Millisecond))))
			}
		}},
	}
}
