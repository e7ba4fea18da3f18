package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(thenStop{m}, map[string]func(){"auction": main, "post": post, "get": get, "relay": relayMain, "wire": wireMain})
}

// TestScripts tells how the program looks from a shell. Beside testscript's own commands there are
//
//	serve ARGS                 start auction in the background and wait until it is ready; sets $HTTP and $ADMIN
//	shutdown [SIGNAL]          end it in good order, by TERM or INT
//	powercut                   end it as a power cut would
//	until PATTERN... -- ARGS   run auction until it has printed what all the patterns match, then interrupt it; that is its stdout
//	exec post URL JSON [KEY]   send a command; prints the status and the body
//	exec get URL [QUERY]       ask the read model, after it has seen what the answer to a query had, such as
//	                           lot/lamp/GetLot; prints the same
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["process"] = new(*process)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serveCmd, "shutdown": shutdownCmd, "powercut": powercutCmd, "until": untilCmd},
	})
}

func current(ts *testscript.TestScript) **process { return ts.Value("process").(**process) }

func serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use ! exec auction")
	}
	bin, err := exec.LookPath("auction") // put there by testscript.Main
	ts.Check(err)
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	p, err := launch(bin, ts.MkAbs("."), env, args...)
	ts.Check(err)
	*current(ts) = p
	ts.Defer(p.kill)
	ts.Setenv("HTTP", p.http)
	ts.Setenv("ADMIN", p.admin)
}

func shutdownCmd(ts *testscript.TestScript, _ bool, args []string) {
	signal := map[string]os.Signal{"": syscall.SIGTERM, "INT": syscall.SIGINT}[strings.Join(args, "")]
	ts.Check((*current(ts)).stop(signal))
}

func untilCmd(ts *testscript.TestScript, neg bool, args []string) {
	cut := slices.Index(args, "--")
	if neg || cut < 1 {
		ts.Fatalf("usage: until PATTERN... -- ARGS")
	}
	missing := args[:cut:cut]
	bin, err := exec.LookPath("auction")
	ts.Check(err)
	cmd := exec.Command(bin, args[cut+1:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), ts.Stderr()
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		fmt.Fprintln(ts.Stdout(), lines.Text())
		before := len(missing)
		missing = slices.DeleteFunc(missing, func(p string) bool { return regexp.MustCompile("(?m)" + p).MatchString(said) })
		if len(missing) == 0 && before > 0 {
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	ts.Check(cmd.Wait())
	if len(missing) > 0 {
		ts.Fatalf("it ended and had not printed %q", missing)
	}
}

func powercutCmd(ts *testscript.TestScript, _ bool, _ []string) { (*current(ts)).kill() }

// post is a program of the scripts: what curl would do.
func post() {
	args := append(os.Args[1:], "")
	req, err := http.NewRequest(http.MethodPost, args[0], nil)
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		if args[2] != "" {
			req.Header.Set("Idempotency-Key", args[2])
		}
		var resp *http.Response
		if resp, err = patiently(req, args[1]); err == nil {
			err = show(resp)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// get is a program of the scripts: what a page does that wants to see its own write. The query is
// asked first, and the read model then waits for what its answer had seen.
func get() {
	if err := getAfter(append(os.Args[1:], "")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func getAfter(args []string) error {
	target, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	token := ""
	if args[1] != "" {
		query, err := http.NewRequest(http.MethodGet, "http://"+target.Host+"/v1/entities/"+args[1], nil)
		if err != nil {
			return err
		}
		resp, err := patiently(query, "")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		token = resp.Header.Get("Skerry-Token")
	}
	req, err := http.NewRequest(http.MethodGet, args[0], nil)
	if err != nil {
		return err
	}
	req.Header.Set("Skerry-Token", token)
	resp, err := patiently(req, "")
	if err != nil {
		return err
	}
	return show(resp)
}

// patiently sends a request until it is answered by more than "not now", as every careful caller does.
func patiently(req *http.Request, body string) (resp *http.Response, err error) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		again := req.Clone(req.Context())
		again.Body = io.NopCloser(strings.NewReader(body))
		again.ContentLength = int64(len(body))
		resp, err = http.DefaultClient.Do(again)
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || time.Now().After(end) {
			return resp, err
		}
		_ = resp.Body.Close()
	}
}

// show prints an answer.
func show(resp *http.Response) error {
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	_, err := io.Copy(os.Stdout, resp.Body)
	return err
}
