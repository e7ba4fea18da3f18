package launch

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

//go:embed pom.xml
var pom []byte

// ErrMissing is wrapped when the machine lacks Java 17 or Maven.
var ErrMissing = errors.New("launch: Cassandra needs Java 17 and Maven")

// ErrFetch is wrapped when Maven cannot fetch Cassandra's jars, as without a network.
var ErrFetch = errors.New("launch: Cassandra's jars are not there, and Maven cannot fetch them")

// java17 finds the Java that runs a node: JAVA_HOME's, or the first on the PATH.
func java17(ctx context.Context) (string, error) {
	java := "java"
	if home := os.Getenv("JAVA_HOME"); home != "" {
		java = filepath.Join(home, "bin", "java")
	}
	path, err := exec.LookPath(java)
	if err != nil {
		return "", fmt.Errorf("%w: %w: install a Java 17 or set JAVA_HOME", ErrMissing, err)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s -version: %w: %s", ErrMissing, path, err, out)
	}
	if version := javaVersion.FindSubmatch(out); version == nil || string(version[1]) != "17" {
		return "", fmt.Errorf("%w: %s is another version: install a Java 17 or set JAVA_HOME: %s", ErrMissing, path, firstLine(out))
	}
	return path, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

// jars returns the folder with Cassandra's jars, fetched when first used.
// Processes may fetch at once: each into a folder of its own, and the first
// that is complete gets the name.
func jars(ctx context.Context, cfg Config) (string, error) {
	dir := filepath.Join(cfg.Cache, "cassandra-"+Version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("%w: %w: install Maven, or copy the jars of cassandra-all %s and all it depends on to %s", ErrMissing, err, Version, dir)
	}
	if err := os.MkdirAll(cfg.Cache, 0o755); err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	fetching, err := os.MkdirTemp(cfg.Cache, "fetching-")
	if err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	defer func() { _ = os.RemoveAll(fetching) }()
	if err := fetch(ctx, cfg, mvn, fetching); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(fetching, "jars"), dir); err != nil {
		if _, other := os.Stat(dir); other != nil {
			return "", fmt.Errorf("launch: %w", err)
		}
	}
	return dir, nil
}

func fetch(ctx context.Context, cfg Config, mvn, dir string) error {
	cfg.Logger.Info("fetching Cassandra with Maven", "version", Version, "cache", cfg.Cache)
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom, 0o600); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	command := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", file, "-Dmaven.wagon.http.connectionTimeout=10000", "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(dir, "jars"))
	out, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: version %s: %w: %s", ErrFetch, Version, err, tail(out, 2000))
	}
	return nil
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return line
}

func tail(text []byte, most int) []byte {
	return text[max(0, len(text)-most):]
}
