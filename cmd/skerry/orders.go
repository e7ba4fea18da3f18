package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skerryhq/skerry/cluster"
	"github.com/skerryhq/skerry/cluster/admin"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// ordering is what the verbs of the placement have in common.
type ordering struct {
	node   *target
	asJSON *bool
	wait   *time.Duration
	t      terminal
}

func orderFlags(flags *flag.FlagSet, t terminal) *ordering {
	return &ordering{
		node: nodeFlags(flags, t), asJSON: jsonFlag(flags), t: t,
		wait: flags.Duration("wait", 0, "wait until it is so, no longer than this; without it, the order is stored and obeyed from then on"),
	}
}

func forceFlag(flags *flag.FlagSet) *bool {
	return flags.Bool("force", false, "give the order also for a node that is not in the cluster now")
}

// order is something that an operator wants, and how to tell that it is so.
type order struct {
	give func(context.Context, *admin.Client) error
	// isRead tells that the node which is asked obeys.
	isRead func(*adminv1.Members) bool
	// left counts the shards that are not yet where they are wanted, and tells why none of them will come, if that is so.
	left func(*adminv1.Placement) (shards int, hopeless string)
	// done and going are what is said when nothing is left, and while something is: %s is "1 shard is" or "2 shards are".
	done, going string
}

func prepareDrain(flags *flag.FlagSet, t terminal) action {
	o, force := orderFlags(flags, t), forceFlag(flags)
	return func(ctx context.Context, args []string) error {
		node := args[0]
		return o.run(ctx, order{
			give:   func(ctx context.Context, of *admin.Client) error { return of.Drain(ctx, node, *force) },
			isRead: func(m *adminv1.Members) bool { return slices.Contains(m.GetDrains(), node) },
			left:   func(p *adminv1.Placement) (int, string) { return leftOn(p, node) },
			done:   safe(node) + " is drained: it owns no shards, and gets none until undrain",
			going:  safe(node) + " is being drained, until undrain: %s still there",
		})
	}
}

// leftOn counts a node's shards. None can go if no node may have them, or if all nodes are drained: then they share the shards.
func leftOn(p *adminv1.Placement, node string) (left int, hopeless string) {
	stay := 0
	for _, x := range p.GetShards() {
		if x.GetNode() != node {
			continue
		}
		left++
		if x.GetBelongs() == "" || x.GetBelongs() == node && x.GetWhy() == cluster.AllDrained.String() {
			stay++
		}
	}
	if left > 0 && stay == left {
		return left, fmt.Sprintf("no node is left that is ready and not drained, so %s keeps %s until there is one", safe(node), shardsOf(left))
	}
	return left, ""
}

func prepareUndrain(flags *flag.FlagSet, t terminal) action {
	o, force := orderFlags(flags, t), forceFlag(flags)
	return func(ctx context.Context, args []string) error {
		node := args[0]
		return o.run(ctx, order{
			give:   func(ctx context.Context, of *admin.Client) error { return undrain(ctx, of, node, *force) },
			isRead: func(m *adminv1.Members) bool { return !slices.Contains(m.GetDrains(), node) },
			left: func(p *adminv1.Placement) (int, string) {
				return count(p, func(x *adminv1.PlacedShard) bool { return x.GetBelongs() == node && x.GetNode() != node }), ""
			},
			done:  safe(node) + " is not drained: what belongs there is there",
			going: safe(node) + " is not drained any more: %s still to go there",
		})
	}
}

// undrain takes back a drain of a node that is there, or that is drained.
func undrain(ctx context.Context, of *admin.Client, node string, force bool) error {
	m, err := of.Members(ctx)
	if err != nil {
		return err
	}
	names := slices.Clone(m.GetDrains())
	for _, x := range m.GetMembers() {
		names = append(names, x.GetNode())
	}
	if !force && !slices.Contains(names, node) {
		slices.Sort(names)
		return fmt.Errorf("no node %q is in the cluster or drained; known: %s; -force gives the order all the same", node, safe(strings.Join(slices.Compact(names), ", ")))
	}
	return of.Undrain(ctx, node)
}

func prepareMove(flags *flag.FlagSet, t terminal) action {
	o, force := orderFlags(flags, t), forceFlag(flags)
	clearPins := flags.Bool("clear", false, "take pins back instead: all, or those of the shards given")
	return func(ctx context.Context, args []string) error {
		if *clearPins {
			return o.clear(ctx, args)
		}
		if len(args) != 2 {
			return fmt.Errorf("%w: move takes SHARD and NODE, or -clear: see skerry help move", errUsage)
		}
		shards, err := numbers(args[:1])
		if err != nil {
			return err
		}
		return o.move(ctx, shards[0], args[1], *force)
	}
}

func (o *ordering) move(ctx context.Context, shard int, node string, force bool) error {
	return o.run(ctx, order{
		give: func(ctx context.Context, of *admin.Client) error { return of.Pin(ctx, shard, node, force) },
		isRead: func(m *adminv1.Members) bool {
			return slices.ContainsFunc(m.GetPins(), func(p *adminv1.Pin) bool { return int(p.GetShard()) == shard && p.GetNode() == node })
		},
		left: func(p *adminv1.Placement) (int, string) {
			x := p.GetShards()[shard]
			switch {
			case x.GetNode() == node:
				return 0, ""
			case x.GetPinIgnored() != "":
				return 1, fmt.Sprintf("shard %d stays on %s: %s; the pin is obeyed as soon as that changes", shard, safe(x.GetNode()), safe(x.GetPinIgnored()))
			}
			return 1, ""
		},
		done:  fmt.Sprintf("shard %d is on %s, and stays there until move -clear %d", shard, safe(node), shard),
		going: fmt.Sprintf("shard %d goes to %s, until move -clear %d: %%s on its way", shard, safe(node), shard),
	})
}

func (o *ordering) clear(ctx context.Context, args []string) error {
	shards, err := numbers(args)
	if err != nil {
		return err
	}
	of := func(shard uint32) bool { return len(shards) == 0 || slices.Contains(shards, int(shard)) }
	return o.run(ctx, order{
		give: func(ctx context.Context, c *admin.Client) error { return c.Unpin(ctx, shards...) },
		isRead: func(m *adminv1.Members) bool {
			return !slices.ContainsFunc(m.GetPins(), func(p *adminv1.Pin) bool { return of(p.GetShard()) })
		},
		left: func(p *adminv1.Placement) (int, string) {
			return count(p, func(x *adminv1.PlacedShard) bool {
				return of(x.GetShard()) && x.GetBelongs() != "" && x.GetNode() != x.GetBelongs()
			}), ""
		},
		done:  "the pins are taken back: those shards are where they belong without them",
		going: "the pins are taken back: %s still to go where they belong without them",
	})
}

func count(p *adminv1.Placement, is func(*adminv1.PlacedShard) bool) (n int) {
	for _, x := range p.GetShards() {
		if is(x) {
			n++
		}
	}
	return n
}

// shardsOf counts shards in words; shardsAre is the beginning of a sentence about them.
func shardsOf(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprintf("%d shards", n)
}

func shardsAre(n int) string {
	if n == 1 {
		return "1 shard is"
	}
	return shardsOf(n) + " are"
}

func numbers(args []string) ([]int, error) {
	var all []int
	for _, text := range args {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%w: %q is no shard: give a number from 0", errUsage, text)
		}
		all = append(all, n)
	}
	return all, nil
}

// outcome is what -json prints.
type outcome struct {
	Outcome string `json:"outcome"`
	// Left counts the shards that are not yet where they are wanted.
	Left int `json:"shards_left"`
}

// run gives an order and tells what comes of it.
func (o *ordering) run(ctx context.Context, x order) error {
	patient := *o.node
	patient.timeout = max(o.node.timeout, *o.wait+o.node.timeout)
	return patient.askCluster(ctx, func(ctx context.Context, of *admin.Client) error {
		if err := x.give(ctx, of); err != nil {
			return err
		}
		if err := awaitRead(ctx, of, x, max(readPatience, *o.wait)); err != nil {
			return err
		}
		left, hopeless, err := o.watch(ctx, of, x)
		switch {
		case err != nil:
			return err
		case hopeless != "" && *o.wait > 0:
			return fmt.Errorf("the order is stored, but %s", hopeless)
		case left > 0 && *o.wait > 0:
			return fmt.Errorf("the order is stored and obeyed, but after %v %s not yet where wanted: see skerry shards -moving", *o.wait, shardsAre(left))
		}
		return o.tell(x, left, hopeless)
	})
}

func (o *ordering) tell(x order, left int, hopeless string) error {
	says := x.done
	switch {
	case hopeless != "":
		says = hopeless
	case left > 0:
		says = fmt.Sprintf(x.going, shardsAre(left))
	}
	if *o.asJSON {
		return printJSON(o.t.out, outcome{says, left})
	}
	_, err := fmt.Fprintln(o.t.out, says)
	return err
}

const (
	// readPatience is how long a stored order may take to be read by the node that took it, where nobody waits longer.
	readPatience = 10 * time.Second
	pollPause    = 100 * time.Millisecond
)

// awaitRead waits until the node that took the order has read it.
func awaitRead(ctx context.Context, of *admin.Client, x order, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for why := ""; ; {
		m, err := of.Members(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the order is stored, but %s has not read it within %v. %s", of.Addr, patience, why)
		case err != nil:
			return fmt.Errorf("the order is stored, but the node does not tell what it makes of it: %w", err)
		case x.isRead(m):
			return nil
		}
		why = m.GetOrdersError()
		rest(ctx, pollPause)
	}
}

// watch waits for the end of an order, if it is to, and shows how it goes.
func (o *ordering) watch(ctx context.Context, of *admin.Client, x order) (left int, hopeless string, err error) {
	until := time.Now().Add(*o.wait)
	for shown := -1; ; {
		asked := time.Now()
		p, err := of.Placement(ctx)
		if err != nil {
			return 0, "", fmt.Errorf("the order is stored, but the node does not tell how it goes: %w", err)
		}
		left, hopeless = x.left(p)
		if left == 0 || hopeless != "" || *o.wait <= 0 {
			return left, hopeless, nil
		}
		if left != shown {
			shown = left
			_, _ = fmt.Fprintf(o.t.err, "%s left\n", shardsOf(left))
		}
		if !time.Now().Before(until) {
			return left, hopeless, nil
		}
		rest(ctx, max(pollPause, 5*time.Since(asked))) // thousands of shards are some work to tell
	}
}

// rest waits for so long, or until ctx ends.
func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
