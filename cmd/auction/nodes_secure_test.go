package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/gossip"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

func TestNodesWithCertificatesAndKeysWorkTogether(t *testing.T) {
	t.Parallel()
	s := ClusterSettings{Weight: 1, Cluster: defaultCluster, Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0"}
	s.Cert, s.Key = certify(t)
	s.CA, s.Keys = s.Cert, filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(s.Keys, []byte(gossip.NewKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, second := s.member(false), s.member(false)
	first.Name, second.Name = "n1", "n2"
	c := startMembers(t, first, second)
	c.settle()
	for i := range 6 {
		c.send(i%2, lotName(i), "open", &auctionv1.OpenLot{Title: "A lamp", OpeningCents: 100})
		c.send((i+1)%2, lotName(i), "bid", &auctionv1.PlaceBid{Bidder: "ann", AmountCents: 500})
	}
	conn, err := tls.Dial("tcp", c.group.first().entities.peer, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // only to see it
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != "node" {
		t.Errorf("the node shows the certificate of %q", got)
	}
}

// certify makes a certificate that is its own authority, and returns its files.
func certify(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "node.crt"), filepath.Join(t.TempDir(), "node.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: bytes}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A file that a node needs to know others by is not the folder of the data.
func TestAMissingFileIsRemediedWhereItIsNamed(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Settings{
		"remedy: give -gossip-keys a file":          {ClusterSettings: ClusterSettings{Keys: "none/file"}},
		"remedy: give -peer-cert, -peer-key and":    {ClusterSettings: ClusterSettings{CA: "none/file"}},
		"remedy: make none/file a folder that this": {Data: "none"},
	} {
		_, missing := os.Open("none/file")
		if err := s.explain(missing); !errors.Is(err, missing) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
