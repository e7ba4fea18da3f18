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
// The files may be replaced while nodes run; new connections use the new ones, at most [ReloadEvery] later. To change the
// authority, first put the old and the new one into the CA file of all nodes, then change their certificates, then remove the old
// one. If a file cannot be read, what was read before stays in use and a line is logged.
type TLS struct {
	// CertFile and KeyFile hold the node's certificate, with those between it and the authority, and its key, as PEM.
	CertFile, KeyFile string
	// CAFile holds the authorities that peers' certificates must be signed by, one or more, as PEM. They should sign
	// nothing but certificates of this cluster's nodes: any other certificate of theirs opens every node.
	CAFile string
	// Name, if given, is a DNS name that each node's certificate must bear, for authorities that also sign others.
	Name string
}

// ReloadEvery is how often the files of [TLS] are looked at, at most.
const ReloadEvery = time.Second

// secure makes connections prove who they are. A nil one does not.
type secure struct {
	files TLS
	log   *slog.Logger

	mu     sync.Mutex
	looked time.Time
	stamps [3]stamp
	now    *credentials
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
	if err := s.reload(time.Now()); err != nil {
		return nil, err
	}
	return s, nil
}

// client proves both sides of a connection that this node made.
func (s *secure) client(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s == nil {
		return raw, nil
	}
	c := tls.Client(raw, s.config())
	return c, c.HandshakeContext(ctx)
}

// server proves both sides of a connection that a peer made.
func (s *secure) server(ctx context.Context, raw net.Conn) (net.Conn, error) {
	if s == nil {
		return raw, nil
	}
	c := tls.Server(raw, s.config())
	return c, c.HandshakeContext(ctx)
}

// config is made for each connection, of what the files hold now. There are no sessions to resume: one would
// outlive an authority.
func (s *secure) config() *tls.Config {
	now := s.current()
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{now.cert},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, //nolint:gosec // verified below: nodes are known by their authority, not by a host's name
		SessionTicketsDisabled: true,
		VerifyConnection:       func(state tls.ConnectionState) error { return s.verify(now, state.PeerCertificates) },
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

// current returns what the files hold.
func (s *secure) current() *credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.looked) >= ReloadEvery {
		if err := s.reload(now); err != nil {
			s.log.Error("the certificates cannot be read; those read before stay in use", "error", err)
		}
	}
	return s.now
}

// reload reads the files if they have changed.
func (s *secure) reload(now time.Time) error {
	s.looked = now
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
		s.log.Info("new certificates are in use", "certificate", s.files.CertFile)
	}
	s.now, s.stamps = read, stamps
	return nil
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
