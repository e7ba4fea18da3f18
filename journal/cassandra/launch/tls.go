package launch

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certify writes a new authority's certificate, and a key with a certificate that
// it signed for all loopback addresses a cluster may use.
func certify(dir string) (key, ca string, err error) {
	key, ca = filepath.Join(dir, "node.pem"), filepath.Join(dir, "ca.pem")
	authority, authorityKey, err := sign(template509("skerry launch authority", true), nil, nil)
	if err != nil {
		return "", "", fmt.Errorf("launch: certificate: %w", err)
	}
	node := template509("skerry launch node", false)
	node.DNSNames = []string{"localhost"}
	for i := range MaxNodes {
		node.IPAddresses = append(node.IPAddresses, net.ParseIP(address(i)))
	}
	cert, nodeKey, err := sign(node, authority, authorityKey)
	if err != nil {
		return "", "", fmt.Errorf("launch: certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(nodeKey)
	if err != nil {
		return "", "", fmt.Errorf("launch: certificate: %w", err)
	}
	bundle := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), encode(cert)...)
	if err := os.WriteFile(key, append(bundle, encode(authority)...), 0o600); err != nil {
		return "", "", fmt.Errorf("launch: %w", err)
	}
	if err := os.WriteFile(ca, encode(authority), 0o600); err != nil {
		return "", "", fmt.Errorf("launch: %w", err)
	}
	return key, ca, nil
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

// validFor is how long the certificates of a launched cluster hold.
const validFor = 10 * 365 * 24 * time.Hour

func template509(name string, authority bool) *x509.Certificate {
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validFor), BasicConstraintsValid: true,
	}
	if authority {
		cert.IsCA, cert.KeyUsage = true, x509.KeyUsageCertSign
		return cert
	}
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return cert
}

// sign makes a key and its certificate, signed by parent or, without one, by itself.
func sign(cert, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.ParseCertificate(der)
	return signed, key, err
}
