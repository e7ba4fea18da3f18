package readside

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/skerryhq/skerry/entity"
)

// Runner runs processors beside the shards that this node serves, or those that it is assigned. All methods may be called
// concurrently.
type Runner struct {
	cfg     Config
	workers map[string]*worker
	order   []*worker
	ours    assignment
	unwatch func()

	stopOnce sync.Once
	stopping chan struct{}
	cancel   context.CancelFunc
	feeders  sync.WaitGroup
	ended    chan struct{} // the workers have ended
}

// Errors of a runner.
var (
	// ErrBehind is wrapped by WaitFor when the processor did not get there in time. The
	// command that the token is of is done all the same.
	ErrBehind = errors.New("readside: the processor is behind")

	// ErrHalted is wrapped by Halted, and by what such a processor cannot do.
	ErrHalted = errors.New("readside: the processor has stopped for good")

	// ErrPaused is wrapped by what a paused processor cannot do.
	ErrPaused = errors.New("readside: the processor is paused")

	// ErrUnknownProcessor is wrapped when no processor has that name.
	ErrUnknownProcessor = errors.New("readside: no such processor")

	// ErrNotParked is wrapped by Retry when the entity is not parked.
	ErrNotParked = errors.New("readside: the entity is not parked")
)

// Start makes the library's tables where they are missing and begins where each processor
// stopped. It fails if a database does not answer; after that the processors wait for it.
// ctx covers the start only. Stop the runner before the host and the databases.
func Start(ctx context.Context, cfg Config) (*Runner, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	for _, p := range cfg.Processors {
		if err := checkRules(p, cfg.Source.Types()); err != nil {
			return nil, err
		}
		if err := createTables(ctx, p.db); err != nil {
			return nil, fmt.Errorf("readside: start processor %s: %w", p.name, err)
		}
	}
	r := &Runner{cfg: cfg, workers: map[string]*worker{}, stopping: make(chan struct{}), ended: make(chan struct{})}
	life, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	tails := newTails(cfg.Source, len(cfg.Processors))
	for _, p := range cfg.Processors {
		w := newWorker(cfg, p, tails, &r.ours)
		r.workers[p.name], r.order = w, append(r.order, w)
	}
	r.run(life)
	return r, nil
}

func (r *Runner) run(life context.Context) {
	r.unwatch = r.cfg.Source.Watch(r.changed)
	var workers sync.WaitGroup
	for _, w := range r.order {
		for _, l := range w.lanes {
			w.stir(l)
		}
		r.feeders.Go(func() { w.feed(life) })
		r.feeders.Go(func() { w.lookAbroad(life) })
		workers.Go(func() { w.work(life, r.stopping) })
	}
	go func() {
		workers.Wait()
		close(r.ended)
	}()
}

func (r *Runner) changed(shard uint32) {
	for _, w := range r.order {
		w.changed(shard)
	}
}

// Stop lets each processor end its transaction and waits for that. When ctx ends first the
// transactions are rolled back; a handler that does not look at its context is named in the
// error and left behind. A second call does nothing.
func (r *Runner) Stop(ctx context.Context) error {
	var err error
	r.stopOnce.Do(func() { err = r.stop(ctx) })
	return err
}

// stopGrace is how long a transaction may take to roll back once its context has ended.
const stopGrace = time.Second

func (r *Runner) stop(ctx context.Context) error {
	r.unwatch()
	close(r.stopping)
	defer r.feeders.Wait()
	defer r.cancel()
	select {
	case <-r.ended:
		return r.closeStatements()
	case <-ctx.Done():
	}
	r.cancel()
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-r.ended:
		return errors.Join(fmt.Errorf("readside: stop: the last transactions were rolled back: %w", ctx.Err()), r.closeStatements())
	case <-grace.C:
		return fmt.Errorf("readside: stop: %s: %w", r.busy(), ctx.Err())
	}
}

// busy names the handlers that run.
func (r *Runner) busy() string {
	text := "left behind a handler that does not look at its context"
	for _, w := range r.order {
		if c := w.running.Load(); c != nil {
			text += fmt.Sprintf("; processor %s is in event %s", w.name, eventID(w.store.history, c.shard, c.first))
		}
	}
	return text
}

func (r *Runner) closeStatements() error {
	var errs []error
	for _, w := range r.order {
		errs = append(errs, w.store.statements.close())
	}
	return errors.Join(errs...)
}

// worker returns the one that runs a processor.
func (r *Runner) worker(processor string) (*worker, error) {
	w := r.workers[processor]
	if w == nil {
		return nil, notFound(ErrUnknownProcessor, "this node runs no processor %q; it runs %s", processor, r.names())
	}
	return w, nil
}

func (r *Runner) names() string {
	var names []string
	for _, w := range r.order {
		names = append(names, w.name)
	}
	return strings.Join(names, ", ")
}

// notFound is an error that operators' tools understand, too.
func notFound(kind error, format string, args ...any) error {
	return refused(kind, "skerry/not-found", format, args...)
}

func refused(kind error, code, format string, args ...any) error {
	return &refusedError{kind, &entity.Rejection{Code: code, Message: fmt.Sprintf(format, args...)}}
}

type refusedError struct {
	kind error
	no   *entity.Rejection
}

func (e *refusedError) Error() string   { return e.kind.Error() + ": " + e.no.Message }
func (e *refusedError) Unwrap() []error { return []error{e.kind, e.no} }
