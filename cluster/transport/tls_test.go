package transport_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a key and its certificate, which the authority signs; the zero one makes an authority.
func (a authority) sign(t *testing.T, name string, purpose ...x509.ExtKeyUsage) (authority, *x509.Certificate, []byte) {
	t.Helper()
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	cert := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: purpose,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		cert.IsCA, cert.KeyUsage, parent, parentKey = true, x509.KeyUsageCertSign, cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{signed, key}, signed, private
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	a, _, _ := authority{}.sign(t, name)
	return a
}

var bothPurposes = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}

// identity is the files of one node.
type identity struct{ transport.TLS }

func newIdentity(t *testing.T) identity {
	t.Helper()
	dir := t.TempDir()
	return identity{transport.TLS{
		CertFile: filepath.Join(dir, "node.crt"), KeyFile: filepath.Join(dir, "node.key"), CAFile: filepath.Join(dir, "ca.crt"),
	}}
}

func (i identity) certify(t *testing.T, by authority, name string) identity {
	t.Helper()
	_, cert, key := by.sign(t, name, bothPurposes...)
	write(t, i.CertFile, "CERTIFICATE", cert.Raw)
	write(t, i.KeyFile, "PRIVATE KEY", key)
	return i
}

func (i identity) trust(t *testing.T, all ...authority) identity {
	t.Helper()
	var ders [][]byte
	for _, a := range all {
		ders = append(ders, a.cert.Raw)
	}
	write(t, i.CAFile, "CERTIFICATE", ders...)
	return i
}

func write(t *testing.T, file, kind string, ders ...[]byte) {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Now(), time.Now()); err != nil { // in the time of the test
		t.Fatal(err)
	}
}

// ask has one node, of an identity, ask another.
func ask(t *testing.T, asks, answers *transport.TLS) (a transport.Answer, logs [2]string) {
	t.Helper()
	var here, there logged
	near, far := twoNodes(t, transport.Listen, slow(transport.Config{TLS: asks, Logger: here.logger()}), slow(transport.Config{TLS: answers, Logger: there.logger()}))
	far.Serve(pong)
	a = transport.Ask(t.Context(), near, far.Self(), command(patience))
	for end := time.Now().Add(patience); a.Err != nil && there.String() == "" && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // until the other side has logged too
	}
	_, _ = near.Close(), far.Close()
	return a, [2]string{here.String(), there.String()}
}

func TestBothSidesProveThatTheyBelongToTheCluster(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	member := newIdentity(t).certify(t, ours, "node").trust(t, ours)
	named := member
	named.Name = "node"
	other := newIdentity(t).certify(t, ours, "printer").trust(t, ours)
	foreign := newIdentity(t).certify(t, theirs, "node").trust(t, theirs)
	forged := newIdentity(t).certify(t, theirs, "node").trust(t, ours) // it knows whom to trust, and is not trusted

	for name, pair := range map[string][2]*transport.TLS{"members": {&member.TLS, &member.TLS}, "members by name": {&named.TLS, &named.TLS}} {
		if a, _ := ask(t, pair[0], pair[1]); a.Err != nil {
			t.Errorf("%s: %v", name, a.Err)
		}
	}
	for name, pair := range map[string][2]*transport.TLS{
		"asked by a foreign node": {&foreign.TLS, &member.TLS}, "a foreign node is asked": {&member.TLS, &foreign.TLS},
		"asked by a forged node": {&forged.TLS, &member.TLS}, "a forged node is asked": {&member.TLS, &forged.TLS},
		"asked by another name": {&other.TLS, &named.TLS}, "another name is asked": {&named.TLS, &other.TLS},
		"asked without TLS": {nil, &member.TLS}, "asked with TLS": {&member.TLS, nil},
	} {
		a, logs := ask(t, pair[0], pair[1])
		wantKind(t, name, a, transport.ErrUnreachable)
		for i, side := range []string{"who asks", "who is asked"} {
			if !strings.Contains(logs[i], "TLS") && !strings.Contains(logs[i], "certificate") {
				t.Errorf("%s: the log of %s does not say why: %q", name, side, logs[i])
			}
		}
	}
}

// Nodes go from one authority to another while they run and speak; then the old one opens nothing any more.
func TestCertificatesAndAuthorityChangeWithoutRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		former, next := newAuthority(t, "former"), newAuthority(t, "next")
		one, two := newIdentity(t), newIdentity(t)
		old := newIdentity(t).certify(t, former, "old").trust(t, former, next)
		for _, i := range []identity{one, two} {
			i.certify(t, former, "node").trust(t, former)
		}
		log, toOne, toTwo := &logged{}, newPipes(), newPipes()
		near, far := twoNodes(t, transport.Listen,
			transport.Config{TLS: &one.TLS, Listener: toOne, Dial: toTwo.dial, Logger: log.logger()},
			transport.Config{TLS: &two.TLS, Listener: toTwo, Dial: toOne.dial, Logger: log.logger()})
		near.Serve(pong)
		far.Serve(pong)
		speak := func(step string) {
			t.Helper()
			time.Sleep(transport.ReloadEvery) // until the files are looked at again
			for _, way := range [][2]*transport.Endpoint{{near, far}, {far, near}} {
				way[0].Disconnect(way[1].Self().Node)
				if a := transport.Ask(t.Context(), way[0], way[1].Self(), command(time.Second)); a.Err != nil {
					t.Fatalf("%s: %v", step, a.Err)
				}
			}
		}
		speak("at first")
		one.trust(t, former, next)
		speak("one trusts both authorities")
		two.trust(t, former, next)
		one.certify(t, next, "node")
		speak("one has the new certificate")
		if err := os.WriteFile(two.CertFile, []byte("half a file"), 0o600); err != nil {
			t.Fatal(err)
		}
		speak("a file of two cannot be read")
		if !strings.Contains(log.String(), "those read before stay in use") {
			t.Errorf("the log does not tell of it:\n%s", log)
		}
		two.certify(t, next, "node")
		speak("both have the new certificate")
		one.trust(t, next)
		two.trust(t, next)
		speak("both trust the new authority only")

		stray, _ := twoNodes(t, transport.Listen,
			transport.Config{TLS: &old.TLS, Listener: newPipes(), Dial: toOne.dial, Logger: log.logger()}, transport.Config{Listener: newPipes()})
		a := transport.Ask(t.Context(), stray, near.Self(), command(10*time.Second))
		wantKind(t, "a node with a certificate of the former authority", a, transport.ErrUnreachable)
		time.Sleep(10 * time.Second) // nobody reads a pipe that the other side gave up: its alert runs into its timeout
		if !strings.Contains(log.String(), "CN=old") {
			t.Errorf("the log does not tell whose certificate was refused:\n%s", log)
		}
	})
}

// Under traffic both ways, from one authority to another: every call is answered. A node that stays behind is cut off, also if it is
// connected already.
func TestCertificatesChangeUnderTrafficWithoutALostCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		former, next := newAuthority(t, "former"), newAuthority(t, "next")
		one, two := newIdentity(t), newIdentity(t)
		for _, i := range []identity{one, two} {
			i.certify(t, former, "node").trust(t, former)
		}
		log, toOne, toTwo := &logged{}, newPipes(), newPipes()
		near, far := twoNodes(t, transport.Listen,
			transport.Config{TLS: &one.TLS, Listener: toOne, Dial: toTwo.dial, Logger: log.logger()},
			transport.Config{TLS: &two.TLS, Listener: toTwo, Dial: toOne.dial, Logger: log.logger()})
		slow := deliverer(func(in *transport.Incoming) { time.AfterFunc(300*time.Millisecond, func() { pong.Deliver(in) }) })
		near.Serve(slow)
		far.Serve(slow)
		traffic, stop := context.WithCancel(t.Context())
		var senders sync.WaitGroup
		var calls atomic.Int64
		for _, way := range [][2]*transport.Endpoint{{near, far}, {far, near}, {near, far}} {
			senders.Go(func() {
				for ; traffic.Err() == nil; calls.Add(1) {
					if a := transport.Ask(t.Context(), way[0], way[1].Self(), command(2*time.Second)); a.Err != nil {
						t.Errorf("a call of %s is lost: %v", way[0].Self(), a.Err)
					}
				}
			})
		}
		for _, step := range []func(){
			func() { one.trust(t, former, next) },
			func() { two.trust(t, former, next) },
			func() { one.certify(t, next, "node") },
			func() { two.certify(t, next, "node") },
			func() { one.trust(t, next) },
			func() { two.trust(t, next) },
		} {
			time.Sleep(3 * time.Second)
			step()
		}
		time.Sleep(3 * time.Second)
		stop()
		senders.Wait()
		if n := len(toOne.dials) + len(toTwo.dials); n < 6 || n > 20 {
			t.Errorf("%d connections were made, want a new one for each change of files", n)
		}
		if strings.Contains(log.String(), "is closed") || calls.Load() < 100 {
			t.Errorf("%d calls; the log:\n%s", calls.Load(), log)
		}

		one.certify(t, former, "node") // a slip: two does not trust it any more
		time.Sleep(3 * time.Second)
		if a := transport.Ask(t.Context(), near, far.Self(), command(time.Second)); a.Err != nil {
			t.Errorf("over the connection that stands: %v", a.Err)
		}
		two.trust(t, newAuthority(t, "third"))
		time.Sleep(3 * time.Second)
		a := transport.Ask(t.Context(), near, far.Self(), command(10*time.Second))
		wantKind(t, "a node that is not trusted any more", a, transport.ErrUnreachable)
		if !strings.Contains(log.String(), "a connection is closed") {
			t.Errorf("the log does not tell that a connection was closed:\n%s", log)
		}
		time.Sleep(10 * time.Second) // until the refused handshakes have ended
	})
}

func TestCertificateThatEndsSoonIsWarnedOf(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	member := newIdentity(t).certify(t, ours, "node").trust(t, ours) // for an hour
	var log logged
	n, err := transport.Listen(transport.Config{Node: "n", Cluster: "c", Shards: 8, TLS: &member.TLS, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	_ = n.Close()
	if !strings.Contains(log.String(), "the node's certificate ends soon") {
		t.Errorf("the log does not warn:\n%s", &log)
	}
}

// Who connects and does not complete the handshake is given up like who says no hello.
func TestHalfAHandshakeKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	member := newIdentity(t).certify(t, ours, "node").trust(t, ours)
	near, far := twoNodes(t, transport.Listen, slow(transport.Config{TLS: &member.TLS, Logger: slog.New(slog.DiscardHandler)}), transport.Config{TLS: &member.TLS, MaxHellos: 5, HelloTimeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	far.Serve(pong)
	for range 50 {
		c, err := net.Dial("tcp", far.Self().Address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() //nolint:revive // all stay open to the end
		if _, err := c.Write([]byte("\x16\x03\x01\x02\x00")); err != nil {
			t.Fatal(err)
		}
	}
	mustAnswer(t, near, far)
}
