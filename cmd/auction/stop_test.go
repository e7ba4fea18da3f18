package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const slowBody = `{"title":"A lamp","openingCents":1000}`

// halfSent is a request whose body the service waits for.
type halfSent struct {
	net.Conn
	answer *bufio.Reader
}

// sendHalf sends a request but not its body, and returns when the service asks for that.
func sendHalf(t *testing.T, p *process) halfSent {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.http, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "POST /v1/entities/lot/lamp/OpenLot HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(slowBody))
	h := halfSent{conn, bufio.NewReader(conn)}
	if line, err := h.answer.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := h.answer.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return h
}

// terminate sends SIGTERM and returns when the service takes no new connections.
func terminate(t *testing.T, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; <-time.After(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.http, "http://"))
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(end) {
			t.Fatal("it still takes connections")
		}
	}
}

func launchProgram(t *testing.T) *process {
	t.Helper()
	bin, err := exec.LookPath("auction") // put there by testscript.Main
	if err != nil {
		t.Fatal(err)
	}
	p, err := launch(bin, t.TempDir(), nil, "-http", ":0", "-admin", ":0", "-drain", drainPatience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func TestARequestUnderWayIsAnsweredBeforeTheServiceEnds(t *testing.T) {
	t.Parallel()
	p := launchProgram(t)
	h := sendHalf(t, p)
	terminate(t, p)
	if _, err := io.WriteString(h, slowBody); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(h.answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s", resp.Status)
	}
	if err := <-p.ended; err != nil {
		t.Fatalf("it ended with %v\n%s", err, p.stderr.String())
	}
	p.ended <- nil
}

func TestASecondSignalEndsTheServiceAtOnce(t *testing.T) {
	t.Parallel()
	p := launchProgram(t)
	sendHalf(t, p)
	terminate(t, p)
	err := insist(p)
	p.ended <- err
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Fatalf("it ended with %v, want the second signal", err)
	}
}

// insist signals until the process ends, as a person would: one signal that comes
// within a moment of the first may count as the first.
func insist(p *process) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails once it has ended
		select {
		case err := <-p.ended:
			return err
		case <-again.C:
		}
	}
}
