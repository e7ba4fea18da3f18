package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"
)

// Start measures the time from the start of a process to its first answer, on
// a journal that holds data already.
type Start struct {
	Setup
	// JournalBytes is about how much is written first.
	JournalBytes int64
	Entities     int
	Runs         int
	// Command starts this program anew so that it calls [FirstAnswer] with setup and folder
	// and prints "answered" after it.
	Command func(ctx context.Context, s Setup, dir string) *exec.Cmd
}

// StartFigures is the result.
type StartFigures struct {
	Journal      string `json:"journal"`
	JournalBytes int64  `json:"journal_bytes"`
	Entities     int    `json:"entities"`
	Events       int    `json:"events"`
	// StartMS is the median time from starting the process to its first answer.
	StartMS float64   `json:"start_ms"`
	RunsMS  []float64 `json:"runs_ms"`
	Machine
}

const maxJournalBytes = 1 << 40

// Check tells what is wrong with the measurement.
func (s Start) Check() error {
	switch {
	case s.JournalBytes < 1 || s.JournalBytes > maxJournalBytes:
		return fmt.Errorf("a journal of %d bytes: use 1 to %d", s.JournalBytes, int64(maxJournalBytes))
	case s.Entities < 1 || s.Entities > maxEntities:
		return fmt.Errorf("%d entities: use 1 to %d", s.Entities, maxEntities)
	case s.Runs < 1:
		return fmt.Errorf("%d runs: use 1 or more", s.Runs)
	case s.Payload < 1:
		return fmt.Errorf("an empty payload would never fill the journal: use 1 byte or more")
	case s.Journal == Memory:
		return fmt.Errorf("the journal %s ends with its process: measure the start on %s", Memory, Pebble)
	case s.Journal == Cassandra:
		return fmt.Errorf("the start is measured by the size of a folder: measure it on %s", Pebble)
	}
	return s.Setup.check()
}

// Run fills a journal and starts the program on it, as often as asked.
func (s Start) Run(ctx context.Context) (f StartFigures, err error) {
	if err := s.Check(); err != nil {
		return f, err
	}
	dir, remove, err := s.scratch()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	f = StartFigures{Journal: s.Journal, Entities: s.Entities}
	if f.Events, err = s.fill(ctx, dir); err != nil {
		return f, err
	}
	if f.JournalBytes, err = sizeOf(dir); err != nil {
		return f, err
	}
	for range s.Runs {
		took, err := s.once(ctx, dir)
		if err != nil {
			return f, err
		}
		f.RunsMS = append(f.RunsMS, milliseconds(took))
	}
	f.StartMS, f.Machine = median(f.RunsMS), ThisMachine()
	return f, nil
}

// fill writes payloads of about half the wanted bytes (each rests in its record
// and in a page), and then more until the folder has the size.
func (s Start) fill(ctx context.Context, dir string) (events int, err error) {
	n, err := s.start(ctx, dir, ledgers, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	payload := randomBytes(s.Payload)
	step := int(max(s.JournalBytes/int64(s.Payload)/16, 1))
	for {
		err := inParallel(ctx, step, func(ctx context.Context, i int) error {
			return put(ctx, n, entityID((events+i)%s.Entities), payload)
		})
		if err != nil {
			return events, err
		}
		events += step
		if size, err := sizeOf(dir); err != nil || size >= s.JournalBytes {
			return events, err
		}
	}
}

func entityID(i int) string { return fmt.Sprintf("e-%06d", i) }

// Answered is what the started program prints when it has its first answer.
const Answered = "answered\n"

func (s Start) once(ctx context.Context, dir string) (time.Duration, error) {
	cmd := s.Command(ctx, s.Setup, dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the program anew: %w", err)
	}
	line := make([]byte, len(Answered))
	_, readErr := io.ReadFull(out, line)
	took := time.Since(begin)
	if err := cmd.Wait(); err != nil || readErr != nil {
		return 0, fmt.Errorf("the started program gave no answer (%w): %s", errors.Join(err, readErr), bytes.TrimSpace(stderr.Bytes()))
	}
	return took, nil
}

// FirstAnswer starts a host on the journal in dir, calls answered once it has the
// answer of an entity that holds data, and stops it.
func FirstAnswer(ctx context.Context, s Setup, dir string, answered func()) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	n, err := s.start(ctx, dir, ledgers, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	got, err := balance.Ask(ctx, ledgers.Ref(n, entityID(0)), &emptypb.Empty{})
	if err != nil {
		return err
	}
	if got.GetValue() == 0 {
		return fmt.Errorf("entity %s has no events: %s is not a journal that was filled for this", entityID(0), dir)
	}
	answered()
	return nil
}

func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		bytes += info.Size()
		return nil
	})
	return bytes, err
}

// ignoreGone: the store removes files while it is looked at.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
