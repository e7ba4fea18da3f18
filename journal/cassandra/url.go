package cassandra

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Environment variables that ParseURL asks for. The password's file wins over the password.
const (
	UserVariable         = "SKERRY_CASSANDRA_USER"
	PasswordVariable     = "SKERRY_CASSANDRA_PASSWORD"
	PasswordFileVariable = "SKERRY_CASSANDRA_PASSWORD_FILE"
)

// ParseURL reads where a journal lies:
//
//	cassandra://HOST[:PORT][,HOST[:PORT]…]/KEYSPACE[?OPTION=VALUE&…]
//
// Options: dc (the data centre that writes), dev=1 (Development), create=1
// (CreateSchema), timeout (a duration), bucket and record (bytes), tls=1, ca, cert and
// key (files in PEM; each of them implies tls). A password is never part of the URL, which
// ends in logs: getenv, os.Getenv as a rule, is asked for the variables named above.
func ParseURL(text string, getenv func(string) string) (Config, error) {
	var cfg Config
	rest, found := strings.CutPrefix(text, "cassandra://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, keyspace, _ := strings.Cut(rest, "/")
	switch {
	case strings.Contains(rest, "@"):
		return cfg, fmt.Errorf("journal/cassandra: a URL ends in logs: give user and password as %s and %s", UserVariable, PasswordFileVariable)
	case !found, hosts == "", keyspace == "":
		return cfg, fmt.Errorf("journal/cassandra: %q: want cassandra://HOST:PORT,…/KEYSPACE", text)
	}
	cfg.Hosts, cfg.Keyspace = strings.Split(hosts, ","), keyspace
	text, _, _ = strings.Cut(text, "?") // somebody may have put a password behind it
	options, err := url.ParseQuery(query)
	if err != nil {
		return cfg, fmt.Errorf("journal/cassandra: %q: %w", text, err)
	}
	if err := cfg.options(options); err != nil {
		return cfg, fmt.Errorf("journal/cassandra: %q: %w", text, err)
	}
	return cfg, cfg.login(getenv)
}

func (c *Config) options(options url.Values) (err error) {
	var files tlsFiles
	secure := false
	for name, values := range options {
		value := values[len(values)-1]
		switch name {
		case "dc":
			c.DataCenter = value
		case "dev":
			c.Development, err = strconv.ParseBool(value)
		case "create":
			c.CreateSchema, err = strconv.ParseBool(value)
		case "timeout":
			c.Timeout, err = time.ParseDuration(value)
		case "bucket":
			c.BucketBytes, err = strconv.ParseInt(value, 10, 64)
		case "record":
			c.MaxRecordBytes, err = strconv.Atoi(value)
		case "tls":
			secure, err = strconv.ParseBool(value)
		case "ca":
			files.ca = value
		case "cert":
			files.cert = value
		case "key":
			files.key = value
		default:
			return fmt.Errorf("option %q is not known: dc, dev, create, timeout, bucket, record, tls, ca, cert and key are", name)
		}
		if err != nil {
			return fmt.Errorf("option %s: %q is not possible", name, value)
		}
	}
	if secure || files != (tlsFiles{}) {
		c.TLS, err = files.load()
	}
	return err
}

func (c *Config) login(getenv func(string) string) error {
	c.Username = getenv(UserVariable)
	c.Password = Secret(getenv(PasswordVariable))
	file := getenv(PasswordFileVariable)
	if file == "" {
		return nil
	}
	secret, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("journal/cassandra: %s: %w", PasswordFileVariable, err)
	}
	c.Password = Secret(strings.TrimRight(string(secret), "\r\n"))
	return nil
}

// tlsFiles are PEM files: whom to trust (by default whom the system trusts), and who we are, if asked.
type tlsFiles struct{ ca, cert, key string }

func (f tlsFiles) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("option ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("option ca: %s has no certificate in PEM", f.ca)
		}
	}
	if f.cert == "" && f.key == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("options cert and key: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
