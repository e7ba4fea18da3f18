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

// TestTutorial does what the tutorial says, in a module of its own: it writes
// the files, runs their tests, starts the service, and compares each answer.
// Left out are the commands that need a network; the generated code is the committed
// one, which .ci/fresh holds against the tutorial's .proto file.
func TestTutorial(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t, "tutorial.md")
	dir := t.TempDir()
	writeModule(t, dir)
	writeFiles(t, dir, blocks)
	inDir(t, dir, "go", "test", "./...")
	inDir(t, dir, "go", "build", "-o", "wallet", ".")

	var svc *service
	for _, b := range blocks {
		if b.language != "console" {
			continue
		}
		if svc != nil && b.name == "restart" {
			svc.stop()
			svc = nil
		}
		if svc == nil {
			svc = startService(t, dir)
		}
		svc.follow(b.text)
	}
	if svc == nil {
		t.Fatal("the tutorial asks the service nothing")
	}
	svc.stop()
}

// writeModule makes a module that uses this tree, with the versions that it uses.
func writeModule(t *testing.T, dir string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	mod := readFile(t, "../go.mod")
	mod = regexp.MustCompile(`(?m)^module .*$`).ReplaceAllString(mod, "module example.com/wallet")
	mod = regexp.MustCompile(`(?m)^tool .*$`).ReplaceAllString(mod, "")
	mod += "\nrequire github.com/skerryhq/skerry v0.0.0\n\nreplace github.com/skerryhq/skerry => " + root + "\n"
	writeFile(t, filepath.Join(dir, "go.mod"), mod)
	writeFile(t, filepath.Join(dir, "go.sum"), readFile(t, "../go.sum"))
}

// writeFiles writes the blocks that are named for a file, and the committed
// code that is generated from the tutorial's .proto file.
func writeFiles(t *testing.T, dir string, blocks []block) {
	t.Helper()
	const committed = "testdata/tutorial"
	for _, b := range blocks {
		switch {
		case b.language == "go" && b.name == "snippet":
			b.name, b.text = "snippet.go", snippetImports+b.text
		case !strings.Contains(b.name, "."):
			continue
		case b.language != "go" && readFile(t, filepath.Join(committed, b.name)) != b.text:
			t.Errorf("%s/%s is not what the tutorial shows: write it anew and run make generate", committed, b.name)
		}
		writeFile(t, filepath.Join(dir, b.name), b.text)
	}
	const code = "walletpb/wallet.pb.go"
	writeFile(t, filepath.Join(dir, code), readFile(t, filepath.Join(committed, code)))
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

func inDir(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -mod=mod", "GOWORK=off", "PWD="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
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
