package docs_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTutorial does what the tutorial says, block by block, in a module of its own: it
// writes the files, runs the commands, starts the service, and compares each answer. Two things
// differ from what a reader does. The module comes from this tree, by the line that the tutorial gives for
// a clone. And the code that is generated from the .proto file is the committed one, which .ci/fresh holds
// against it, so that the test need not build the tools.
func TestTutorial(t *testing.T) {
	t.Parallel()
	f := &follower{t: t, dir: t.TempDir()}
	for _, b := range blocksOf(t, "tutorial.md") {
		switch {
		case b.language == "sh":
			for line := range strings.Lines(b.text) {
				f.command(strings.TrimSpace(line), b.name)
			}
		case b.language == "console":
			f.ask(b)
		case b.name == "snippet":
			f.write("snippet.go", snippetImports+b.text)
		case strings.Contains(b.name, "."):
			f.write(b.name, b.text)
		}
	}
	if f.svc == nil {
		t.Fatal("the tutorial asks the service nothing")
	}
	f.svc.stop()
	f.run("go", "vet", "./...") // the snippet too
}

// follower is somebody who follows the tutorial.
type follower struct {
	t   *testing.T
	dir string
	svc *service
}

// command runs one line of a shell.
func (f *follower) command(line, name string) {
	f.t.Helper()
	switch words := strings.Fields(line); {
	case strings.HasPrefix(line, "mkdir ") || strings.HasPrefix(line, "go get "): // f.dir, and the clone
	case name == "clone":
		root, err := filepath.Abs("..")
		if err != nil {
			f.t.Fatal(err)
		}
		const stand = "=/path/to/skerry"
		if !strings.Contains(line, stand) {
			f.t.Fatalf("%q has no %s", line, stand)
		}
		f.run("go", strings.Fields(strings.Replace(line, stand, "="+root, 1))[1:]...)
	case strings.Contains(line, "/cmd/buf@"):
		f.write(generated, readFile(f.t, filepath.Join(committed, generated)))
	case line == "go run .":
		f.run("go", "build", "-o", "wallet", ".")
		f.svc = startService(f.t, f.dir)
	default:
		f.run(words[0], words[1:]...)
	}
}

// What the tutorial generates, and where it is committed with what it is generated from.
const (
	committed = "testdata/tutorial"
	generated = "walletpb/wallet.pb.go"
)

// write writes a file that the tutorial shows.
func (f *follower) write(name, text string) {
	f.t.Helper()
	if (strings.HasSuffix(name, ".proto") || strings.HasSuffix(name, ".yaml")) && readFile(f.t, filepath.Join(committed, name)) != text {
		f.t.Errorf("%s/%s is not what the tutorial shows: write it anew and run make generate", committed, name)
	}
	writeFile(f.t, filepath.Join(f.dir, name), text)
}

// ask sends what a block shows and compares the answers.
func (f *follower) ask(b block) {
	f.t.Helper()
	if f.svc == nil {
		f.t.Fatal("the tutorial asks a service that it has not started")
	}
	if b.name == "restart" {
		f.svc.stop()
		f.svc = startService(f.t, f.dir)
	}
	f.svc.follow(b.text)
}

// run runs a command as a reader would, in a module that no workspace knows.
func (f *follower) run(name string, args ...string) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), name, args...)
	cmd.Dir = f.dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "PWD="+f.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

const snippetImports = `package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/skerryhq/skerry/entity"

	pb "example.com/wallet/walletpb"
)

var _ = paySalary

`

// service is the tutorial's program while it runs.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	said *bytes.Buffer
}

func startService(t *testing.T, dir string) *service {
	t.Helper()
	s := &service{t: t, cmd: exec.CommandContext(t.Context(), "./wallet", "-http", "127.0.0.1:0"), said: &bytes.Buffer{}}
	s.cmd.Dir, s.cmd.Stderr, s.cmd.WaitDelay = dir, s.said, 10*time.Second
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.addr = addr
			return s
		}
	}
	t.Fatalf("the service ended before it listened: %v\n%s", s.cmd.Wait(), s.said)
	return nil
}

func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the service ends with %v\n%s", err, s.said)
	}
}

// follow runs a console block: "$ curl …", followed by the answer.
func (s *service) follow(text string) {
	s.t.Helper()
	for part := range strings.SplitSeq(text, "$ ") {
		command, want, _ := strings.Cut(part, "\n")
		if command == "" {
			continue
		}
		if got := s.curl(command); compact(s.t, got) != compact(s.t, want) {
			s.t.Errorf("$ %s\n%s\nthe tutorial says\n%s", command, got, want)
		}
	}
}

var words = regexp.MustCompile(`'[^']*'|\S+`)

// curl does what curl would, as far as the tutorial uses it, so that the test needs none.
func (s *service) curl(command string) string {
	s.t.Helper()
	args := words.FindAllString(command, -1)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 1; i < len(args); i++ {
		switch value := strings.Trim(args[min(i+1, len(args)-1)], "'"); args[i] {
		case "--json":
			req.Method, req.Body, req.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(value)), int64(len(value))
			req.Header.Set("Content-Type", "application/json")
			i++
		case "-H":
			name, text, _ := strings.Cut(value, ": ")
			req.Header.Set(name, text)
			i++
		default:
			url := strings.Replace(args[i], "localhost:8090", s.addr, 1)
			if req.URL, err = req.URL.Parse("http://" + url); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

func compact(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Errorf("%q is no JSON: %v", text, err)
	}
	return b.String()
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
