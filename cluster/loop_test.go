package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	wirev1 "github.com/skerryhq/skerry/proto/skerry/wire/v1"
)

// Else a node that has just joined would wait in vain for the answer, and then overtake an owner that serves.
func TestARequestToYieldThatWasNotTakenInIsARefusal(t *testing.T) {
	t.Parallel()
	away := &entity.Error{Kind: entity.ErrUnavailable}
	for _, c := range []struct {
		name, subject string
		err           error
		refused       bool
	}{
		{"taken in", subjectYield, nil, false},
		{"of nobody it knows", subjectYield, away, true},
		{"not reached", subjectYield, fmt.Errorf("%w: %w", transport.ErrUnreachable, away), false},
		{"lost", subjectYield, errors.New("lost"), false},
		{"of something else", subjectOwned, away, false},
	} {
		n := &Node{}
		n.inbox.init()
		n.notTaken(c.subject, "b-1", []*wirev1.Claim{{Shard: 3, Epoch: 7}}, c.err)
		items, _ := n.inbox.take()
		if (len(items) == 1) != c.refused {
			t.Errorf("%s: %v", c.name, items)
		}
	}
}
