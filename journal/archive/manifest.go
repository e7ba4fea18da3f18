package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/skerryhq/skerry/journal"
)

const (
	manifestName   = "manifest.json"
	manifestFormat = 1
	// maxManifest limits what is read of a file that calls itself a manifest.
	maxManifest = 64 << 20
)

// manifest is what a complete archive says of itself.
type manifest struct {
	Format  int         `json:"format"`
	Archive string      `json:"archive"`
	History string      `json:"history"`
	Shards  int         `json:"shards"`
	Facts   []fact      `json:"facts"`
	Files   []fileEntry `json:"files"`
	// Checksum is the SHA-256 of the rest, encoded by this package.
	Checksum string `json:"checksum"`
}

// fact is a settled one.
type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// fileEntry is one shard's file; its place is the shard's number.
type fileEntry struct {
	Name    string `json:"name"`
	Bytes   int64  `json:"bytes"`
	Records uint64 `json:"records"`
	Events  uint64 `json:"events"`
	// LargestRecord is in bytes.
	LargestRecord int `json:"largest_record"`
	// TimersFromHour is the last header's.
	TimersFromHour int64  `json:"timers_from_hour"`
	SHA256         string `json:"sha256"`
}

// Names of the facts that hosts settle, without a slash: all others of that form belong to the journal
// that keeps them.
const (
	historyFact = "history"
	shardsFact  = "shards"
	listedFact  = "events-listed"
)

// belongsToService tells which facts an archive carries beside history and shards.
func belongsToService(name string) bool { return strings.Contains(name, "/") || name == listedFact }

func (m *manifest) sum() (string, error) {
	bare := *m
	bare.Checksum = ""
	b, err := json.Marshal(bare)
	digest := sha256.Sum256(b)
	return hex.EncodeToString(digest[:]), err
}

// write makes the archive complete. It is durable when write returns.
func (m *manifest) write(dir string) error {
	sum, err := m.sum()
	if err != nil {
		return err
	}
	m.Checksum = sum
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	if err := writeSynced(path+".new", append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(path string, b []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func syncDir(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// readManifest reads the manifest and holds the files' sizes against it, so that a cut archive is refused
// before anything is done with it.
func readManifest(dir string) (*manifest, error) {
	m, err := parseManifest(filepath.Join(dir, manifestName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s has no %s: the export was not completed: call it again, or name the directory of an archive", ErrDamaged, dir, manifestName)
	}
	if err != nil {
		return nil, err
	}
	for i, f := range m.Files {
		path := filepath.Join(dir, fileName(i))
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if info.Size() != f.Bytes {
			return nil, fmt.Errorf("%w: %s has %d bytes, the manifest says %d", ErrDamaged, path, info.Size(), f.Bytes)
		}
	}
	return m, nil
}

func parseManifest(path string) (*manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(file, maxManifest))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(b, &struct {
		Format *int `json:"format"`
	}{&m.Format}); err == nil && m.Format > manifestFormat {
		return nil, fmt.Errorf("%w: %s has format %d, this release knows up to %d", ErrFormat, path, m.Format, manifestFormat)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	sum, err := m.sum()
	if err != nil || sum != m.Checksum || len(m.Files) != m.Shards || m.Shards < 1 || m.Format != manifestFormat {
		return nil, fmt.Errorf("%w: %s does not match its checksum", ErrDamaged, path)
	}
	return m, nil
}

// service is what a journal's facts say of the service that it belongs to.
type service struct {
	history   string
	shards    int
	facts     []fact
	importing string
	imported  string
}

// maxShards is the largest count of shards that is believed.
const maxShards = 1 << 16

// readService reads the settled facts.
func readService(read func(visit func(name, value string) error) error) (s service, err error) {
	err = read(func(name, value string) error {
		switch {
		case name == historyFact:
			s.history = value
		case name == shardsFact:
			if _, err := fmt.Sscanf(value, "%d", &s.shards); err != nil || s.shards < 1 || s.shards > maxShards {
				return fmt.Errorf("%w: its count of shards is %q", journal.ErrCorrupt, value)
			}
		case name == journal.ImportingFact:
			s.importing = value
		case name == journal.ImportedFact:
			s.imported = value
		case belongsToService(name):
			s.facts = append(s.facts, fact{name, value})
		}
		return nil
	})
	return s, err
}
