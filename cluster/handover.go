package cluster

import "context"

// HandOver lets other nodes take this one's shards, while it still takes calls and brings them to wherever the shards are.
// It returns when the node has none left, at once if no other node may have them, or with an error when ctx ends
// first. The node gets no shards any more; Stop is what follows, and does not try again.
func (n *Node) HandOver(ctx context.Context) error {
	n.inbox.put(leave{})
	select {
	case <-n.empty:
		return nil
	case <-n.ended:
		return errStopped
	case <-ctx.Done():
		n.triedHandOver.Store(true)
		return ctx.Err()
	}
}
