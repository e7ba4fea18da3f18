package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// TLS names the files with which a node proves that it belongs to the cluster, and judges others. Both sides
// of a connection show a certificate, of TLS 1.3.
//
// The files may be replaced while nodes run: they are looked at every [ReloadEvery]. Connections are then made again with the new
// certificate, and what is under way is answered over the old ones. A connection whose peer is not signed by what is in the CA file now ends. So, to
// change the authority without losing a call, first put the old and the new one into the CA file of all nodes, then change their certificates,
// then remove the old one, with a few seconds between. If a file cannot be read, what was read before stays in use and a line is logged.
type TLS struct {
	// CertFile and KeyFile hold the node's certificate, with those between it and the authority, and its key, as PEM.
	CertFile, KeyFile string
	// CAFile holds the authorities that peers' certificates must be signed by, one or more, as PEM. They should sign
	// nothing but certificates of this cluster's nodes: any other certificate of theirs opens every node.
	CAFile string
	// Name, if given, is a DNS name that each node's certificate must bear, for authorities that also sign others.
	Name string
}

const (
	// ReloadEvery is how often the files of [TLS] are looked at.
	ReloadEvery = time.Second
	// expiryWarning is how long before a certificate's end the node begins to warn of it, once a day.
	expiryWarning = 14 * 24 * time.Hour
)

// secure makes connections prove who they are. A nil one does not.
type secure struct {
	files TLS
	log   *slog.Logger

	mu     sync.Mutex
	stamps [3]stamp
	now    *credentials
	// failure is what could not be read the last time; warned, when the certificate's end was last told of.
	failure string
	warned  time.Time
}

// credentials are the files' content.
type credentials struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

// stamp tells whether a file has changed.
type stamp struct {
	size int64
	at   time.Time
}

func newSecure(files TLS, log *slog.Logger) (*secure, error) {
	s := &secure{files: files, log: log}
	if err := s.reload(); err != nil {
		return nil, err
	}
	s.warn(time.Now())
	return s, nil
}

// client proves both sides of a connection that this node made, and returns by what.
func (s *secure) client(ctx context.Context, raw net.Conn) (net.Conn, *credentials, error) {
	if s == nil {
		return raw, nil, nil
	}
	by := s.current()
	c := tls.Client(raw, s.config(by))
	return c, by, c.HandshakeContext(ctx)
}

// server proves both sides of a connection that a peer made, and returns by what.
func (s *secure) server(ctx context.Context, raw net.Conn) (net.Conn, *credentials, error) {
	if s == nil {
		return raw, nil, nil
	}
	by := s.current()
	c := tls.Server(raw, s.config(by))
	return c, by, c.HandshakeContext(ctx)
}

// config is made for each connection, of what the files held last. There are no sessions to resume: one would
// outlive an authority.
func (s *secure) config(by *credentials) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{by.cert},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, //nolint:gosec // verified below: nodes are known by their authority, not by a host's name
		SessionTicketsDisabled: true,
		VerifyConnection:       func(state tls.ConnectionState) error { return s.verify(by, state.PeerCertificates) },
	}
}

// verify demands a certificate that an authority signed for a node. Nodes are client and server to each other, so either purpose does.
func (s *secure) verify(now *credentials, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the peer shows no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: now.roots, Intermediates: between, DNSName: s.files.Name,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("the peer's certificate %q is not one of this cluster's (CAFile %s): %w", chain[0].Subject, s.files.CAFile, err)
	}
	return nil
}

// current returns what the files held last.
func (s *secure) current() *credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// look reads the files again if they have changed.
func (s *secure) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := ""
	if err := s.reload(); err != nil {
		said = err.Error()
	}
	if said != "" && said != s.failure {
		s.log.Error("the certificates cannot be read; those read before stay in use", "error", said)
	}
	s.failure = said
	s.warn(now)
}

// reload reads the files if they have changed.
func (s *secure) reload() error {
	var stamps [3]stamp
	for i, name := range []string{s.files.CertFile, s.files.KeyFile, s.files.CAFile} {
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("transport: TLS: %w", err)
		}
		stamps[i] = stamp{info.Size(), info.ModTime()}
	}
	if s.now != nil && stamps == s.stamps {
		return nil
	}
	read, err := s.files.read()
	if err != nil {
		return err
	}
	if s.now != nil {
		s.log.Info("new certificates are in use", "certificate", s.files.CertFile, "until", read.cert.Leaf.NotAfter)
	}
	s.now, s.stamps, s.warned = read, stamps, time.Time{}
	return nil
}

// warn tells once a day of a certificate that ends soon.
func (s *secure) warn(now time.Time) {
	end := s.now.cert.Leaf.NotAfter
	if end.Sub(now) < expiryWarning && now.Sub(s.warned) >= 24*time.Hour {
		s.warned = now
		s.log.Warn("the node's certificate ends soon, and then no other node speaks to this one: replace the file", "certificate", s.files.CertFile, "until", end)
	}
}

func (t TLS) read() (*credentials, error) {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("transport: TLS: certificate %s with key %s: %w", t.CertFile, t.KeyFile, err)
	}
	text, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("transport: TLS: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("transport: TLS: %s holds no certificate of an authority, as PEM", t.CAFile)
	}
	return &credentials{cert, roots}, nil
}
