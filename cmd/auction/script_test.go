package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
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
//	exec post URL JSON [KEY]   send a command; prints the status and the body
//	exec get URL [QUERY]       ask the read model, after it has seen what the answer to a query had, such as
//	                           lot/lamp/GetLot; prints the same
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		Deadline:            time.Now().Add(20 * patience),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["process"] = new(*process)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"serve": serveCmd, "shutdown": shutdownCmd, "powercut": powercutCmd},
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

func powercutCmd(ts *testscript.TestScript, _ bool, _ []string) { (*current(ts)).kill() }

// post is a program of the scripts: what curl would do.
func post() {
	args := append(os.Args[1:], "")
	req, err := http.NewRequest(http.MethodPost, args[0], strings.NewReader(args[1]))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		if args[2] != "" {
			req.Header.Set("Idempotency-Key", args[2])
		}
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil {
			defer resp.Body.Close()
			fmt.Println(resp.Status)
			_, err = io.Copy(os.Stdout, resp.Body)
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
		resp, err := http.Get("http://" + target.Host + "/v1/entities/" + args[1])
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
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
