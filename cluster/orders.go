package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// Operators' orders are registers in the journal, so that they survive restarts of all nodes. The name of each says what it
// is about, its value what is wanted; an empty value is an order that was taken back:
//
//	shard/17 = n2     shard 17 is to live on node n2 while that can have it
//	node/n3 = drain   node n3 is to be free of shards
const (
	ordersPartition = "orders"
	shardOrder      = "shard/"
	nodeOrder       = "node/"
	drainOrder      = "drain"
)

// orders is what operators want of the placement.
type orders struct {
	pins   []Pin
	drains []string
}

// readOrders passes over what it does not know: another release may have written it.
func readOrders(ctx context.Context, in journal.Registers, shards int) (orders, error) {
	registers, err := in.Registers(ctx, journal.Placement, ordersPartition)
	if err != nil {
		return orders{}, fmt.Errorf("cluster: the operators' orders: %w", err)
	}
	var o orders
	for _, r := range registers {
		value := string(r.Value)
		if node, ok := strings.CutPrefix(r.Name, nodeOrder); ok && value == drainOrder {
			o.drains = append(o.drains, node)
		}
		if text, ok := strings.CutPrefix(r.Name, shardOrder); ok && value != "" {
			if number, err := strconv.Atoi(text); err == nil && number >= 0 && number < shards {
				o.pins = append(o.pins, Pin{Shard: number, Node: value})
			}
		}
	}
	return o, nil
}

// Drain has a node freed of shards and keeps it so, over restarts, until Undrain. The node need not run. It is
// durable when it returns without an error; shards move from then on, while they serve. After an
// error the order may have been stored: give it again.
func (n *Node) Drain(ctx context.Context, node string) error {
	return n.order(ctx, nodeOrder, node, drainOrder)
}

// Undrain takes back a Drain.
func (n *Node) Undrain(ctx context.Context, node string) error {
	return n.order(ctx, nodeOrder, node, "")
}

// Pin has a shard live on a node, over restarts, for as long as that node is ready and may own shards. It
// is durable as Drain is.
func (n *Node) Pin(ctx context.Context, shard int, node string) error {
	if err := n.checkShard(shard); err != nil {
		return err
	}
	if node == "" {
		return wrongOrder("a pin names a node")
	}
	return n.order(ctx, shardOrder, strconv.Itoa(shard), node)
}

// Unpin takes back all pins, or those of the shards given.
func (n *Node) Unpin(ctx context.Context, shards ...int) error {
	for _, shard := range shards {
		if err := n.checkShard(shard); err != nil {
			return err
		}
	}
	o, err := readOrders(ctx, n.registers, n.identity.Shards)
	if err != nil {
		return unavailable(err)
	}
	defer n.tellOrders()
	for _, p := range o.pins {
		if len(shards) > 0 && !slices.Contains(shards, p.Shard) {
			continue
		}
		if err := n.store(ctx, shardOrder+strconv.Itoa(p.Shard), ""); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) checkShard(shard int) error {
	if shard < 0 || shard >= n.identity.Shards {
		return wrongOrder(fmt.Sprintf("there is no shard %d: shards are numbered 0 to %d", shard, n.identity.Shards-1))
	}
	return nil
}

// wrongOrder refuses an order that nobody can obey.
func wrongOrder(why string) error {
	return &entity.Rejection{Code: "skerry/malformed", Message: why}
}

// order stores one order and has all members read it.
func (n *Node) order(ctx context.Context, kind, of, value string) error {
	if len(of) == 0 || len(of) > MaxNodeBytes || len(value) > MaxNodeBytes || !isPlain(of+value) {
		return wrongOrder(fmt.Sprintf("a node's name has 1 to %d bytes, which are UTF-8 without control characters", MaxNodeBytes))
	}
	defer n.tellOrders()
	return n.store(ctx, kind+of, value)
}

func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func (n *Node) store(ctx context.Context, name, value string) error {
	_, err := journal.Change(ctx, n.registers, journal.Placement, ordersPartition, name, func(now journal.Register) ([]byte, bool) {
		return []byte(value), string(now.Value) != value
	})
	switch {
	case errors.Is(err, journal.ErrCrowded), errors.Is(err, journal.ErrInvalid):
		return wrongOrder(err.Error())
	case err != nil:
		return &entity.Error{Kind: entity.ErrUnknownOutcome, Reason: fmt.Sprintf("the order may have been stored, give it again: %v", err), Cause: err}
	}
	return nil
}

// tellOrders has all members read the operators' orders now.
func (n *Node) tellOrders() {
	n.inbox.put(ordersChanged{})
	n.send(mail{subject: subjectOrders}, nil)
}
