package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func prepareWatch(flags *flag.FlagSet, t terminal) action {
	node, asJSON := nodeFlags(flags, t), jsonFlag(flags)
	span := flags.Duration("for", 0, "end after this (default: when it is interrupted)")
	return func(ctx context.Context, _ []string) error {
		if *span > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *span)
			defer cancel()
		}
		w := &watching{out: t.out, err: t.err, asJSON: *asJSON}
		return w.run(ctx, node)
	}
}

// watching prints what nodes tell, as it comes.
type watching struct {
	mu       sync.Mutex // over both writers
	out, err io.Writer
	asJSON   bool
}

// run watches all nodes until ctx ends. One that cannot be reached is tried again, for nodes come and go; only when it is the only
// one and never answered, that is an error.
func (w *watching) run(ctx context.Context, of *target) error {
	var work sync.WaitGroup
	addresses := of.addresses()
	failed := make(chan error, len(addresses))
	for _, addr := range addresses {
		work.Go(func() {
			if err := w.follow(ctx, of.at(addr), len(addresses) > 1); err != nil {
				failed <- err
			}
		})
	}
	work.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// watchRetry is the pause after a node did not answer.
const watchRetry = time.Second

func (w *watching) follow(ctx context.Context, node *target, patient bool) error {
	f := following{node: node, patient: patient}
	for {
		told, err := node.watch(ctx, f.after)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of the time is the end, not a failure
		}
		if err != nil {
			if err := f.failed(w, err); err != nil {
				return err
			}
			rest(ctx, watchRetry)
			continue
		}
		if err := f.told(w, told); err != nil {
			return err
		}
	}
}

// following is how far one node was watched.
type following struct {
	node    *target
	patient bool
	process string // that answered last
	after   uint64 // the last event that was printed
	silent  bool
}

// failed tells that the node does not answer, once, or returns the error if it never will.
func (f *following) failed(w *watching, err error) error {
	if errors.Is(err, errSingle) || f.process == "" && !f.patient {
		return err
	}
	if !f.silent {
		w.say("%s does not answer; it is tried again: %v", f.node.addr, err)
	}
	f.silent = true
	return nil
}

func (f *following) told(w *watching, told *adminv1.ClusterEvents) error {
	if f.silent {
		w.say("%s answers again", f.node.addr)
		f.silent = false
	}
	restarted := f.process != "" && told.GetIncarnation() != f.process
	f.process = told.GetIncarnation()
	if restarted {
		f.after = 0 // its numbers begin anew
		return nil
	}
	for _, e := range told.GetEvents() {
		f.after = e.GetNumber()
	}
	return w.print(told)
}

func (n *target) watch(ctx context.Context, after uint64) (told *adminv1.ClusterEvents, err error) {
	err = n.askCluster(ctx, func(ctx context.Context, of *admin.Client) error {
		told, err = of.Watch(ctx, after)
		return err
	})
	return told, err
}

func (w *watching) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = fmt.Fprintf(w.err, format+"\n", args...)
}

func (w *watching) print(told *adminv1.ClusterEvents) error {
	if missed := told.GetMissed(); missed > 0 {
		w.say("%s: %d events before these are not remembered any more", safe(told.GetNode()), missed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range told.GetEvents() {
		if err := w.printOne(told.GetNode(), e); err != nil {
			return err
		}
	}
	return nil
}

func (w *watching) printOne(node string, e *adminv1.ClusterEvent) error {
	if !w.asJSON {
		_, err := fmt.Fprintf(w.out, "%s  %s  %s\n", clock(e.GetTime().AsTime()), safe(node), safe(e.GetText()))
		return err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.out, "{\"from\":%q,\"event\":%s}\n", node, text)
	return err
}
