package gossip

import (
	"context"
	"time"
)

// memberlist 0.7.0 loses news: when its queue of them was empty for a moment it numbers the next ones from the start, and
// of two with the same number and length it keeps one. In a small cluster, where names and so messages are equally long,
// one process in some dozens that become ready while another joins would then not be heard of until the two compare all
// they know (Config.SyncInterval). So what a process says of itself is said again a little later, twice. Who has
// heard it takes no notice.
var retellAfter = [...]time.Duration{400 * time.Millisecond, 1100 * time.Millisecond}

// retell says again what was announced, until ctx ends.
func (g *Gossip) retell(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for left := retellAfter[:]; ; {
		select {
		case <-g.announced:
			left = retellAfter[:]
		case <-timer.C:
			g.repeat()
		case <-ctx.Done():
			return
		}
		if len(left) > 0 {
			timer.Reset(left[0])
			left = left[1:]
		}
	}
}

// repeat does not wait until the news is sent.
func (g *Gossip) repeat() {
	g.announcing.Lock()
	defer g.announcing.Unlock()
	_ = g.list.UpdateNode(time.Nanosecond)
}
