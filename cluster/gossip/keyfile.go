package gossip

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	// keyFileEvery is how often the file of the keys is read.
	keyFileEvery = time.Second
	// maxKeyFile bounds it, in bytes.
	maxKeyFile = 64 << 10
)

// NewKey makes a random key of 32 bytes, as a line of a key file.
func NewKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: it ends the process instead
	return base64.StdEncoding.EncodeToString(key[:])
}

// ReadKeyFile reads keys from a file: one on each line, 16, 24 or 32 random bytes in base64. What is sent is encrypted with the first one; what
// comes may be with any. Empty lines and those that begin with # are skipped.
//
// To rotate without downtime, put the new key below the old one in the file of every node, then above it, then take the old one
// out; let a few seconds pass between.
func ReadKeyFile(name string) (*Keys, error) {
	text, err := readKeys(name)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeys(name, text)
	if err != nil {
		return nil, err
	}
	return NewKeys(keys[0], keys[1:]...)
}

func readKeys(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxKeyFile {
		err = fmt.Errorf("%s has %d bytes; at most %d are read", name, info.Size(), maxKeyFile)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("gossip: the keys: %w", err)
	}
	return text, nil
}

// parseKeys never repeats in an error what is in the file.
func parseKeys(name string, text []byte) (keys [][]byte, err error) {
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
			return nil, fmt.Errorf("gossip: the keys: line %d of %s must be 16, 24 or 32 bytes in base64, such as head -c 32 /dev/urandom | base64 prints", i+1, name)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("gossip: the keys: %s holds %d; it must be 1 to %d", name, len(keys), maxKeys)
	}
	return keys, nil
}

// followKeys takes in what changes in the file of the keys until ctx ends.
func (c Config) followKeys(ctx context.Context) {
	ticker := time.NewTicker(keyFileEvery)
	defer ticker.Stop()
	f := follower{config: c}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.look()
		}
	}
}

// follower knows what the file of the keys held last.
type follower struct {
	config Config
	text   []byte
	failed string
}

func (f *follower) look() {
	failure := ""
	if err := f.take(); err != nil {
		failure = err.Error()
	}
	if failure != "" && failure != f.failed {
		f.config.Logger.Error("gossip: the keys cannot be read; those read before stay in use", "error", failure)
	}
	f.failed = failure
}

func (f *follower) take() error {
	text, err := readKeys(f.config.KeyFile)
	if err != nil || bytes.Equal(text, f.text) {
		return err
	}
	keys, err := parseKeys(f.config.KeyFile, text)
	if err != nil {
		return err
	}
	f.text = text
	if slices.Equal(namesOf(keys), f.config.Keys.List()) {
		return nil
	}
	if err := f.config.Keys.replace(keys); err != nil {
		return err
	}
	f.config.Logger.Info("gossip: new keys are in use", slog.Any("keys", f.config.Keys.List()))
	return nil
}
