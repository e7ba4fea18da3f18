package cluster

import "context"

// InLoop has f run on the goroutine that decides, and waits for it.
func (n *Node) InLoop(ctx context.Context, f func()) error {
	return n.inLoop(ctx, func(*decider) { f() })
}
