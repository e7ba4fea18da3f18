package cluster

import (
	"context"

	"github.com/skerryhq/skerry/entity"
)

// seeThrough stays with a command whose caller does not: the owner has taken it in and told so, and if the shard moves before it has
// run, nobody is left to send it to the next owner. So it is sent once more under its key, which waits with the first
// one, and follows the shard until there is an answer or the command's time is over.
func (n *Node) seeThrough(ctx context.Context, req entity.Request) {
	deadline, _ := ctx.Deadline()
	req.Async, req.Attempt = false, max(req.Attempt, 1)+1
	n.serving.Go(func() {
		ctx, cancel := context.WithDeadline(n.ctx, deadline)
		defer cancel()
		_, _ = n.Call(ctx, &req) // its answer is stored for whoever asks
	})
}
