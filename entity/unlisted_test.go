package entity_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// A due timer waits for the journal to list its event, and commands wait behind it. That is no defect of the
// entity, so nobody is told of one.
func TestCommandsBehindATimerWhoseEventCannotBeListedAreUnavailable(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	j := &settleFault{Journal: journal.NewMemory(), before: func(_ context.Context, name string) error {
		if broken.Load() && strings.HasPrefix(name, "event/") {
			return errors.New("no quorum")
		}
		return nil
	}}
	h := startRelease(t, j, tallies, nil)
	ref := tallies.Ref(h, "a")
	if _, err := resetLater.Ask(long(t), ref, wrapperspb.UInt32(1)); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := sum.Ask(long(t), ref, &emptypb.Empty{})
		if err == nil {
			continue // the timer is not due yet
		}
		if !errors.Is(err, entity.ErrUnavailable) || !strings.Contains(err.Error(), "no quorum") {
			t.Errorf("%v, want it unavailable, with the cause", err)
		}
		break
	}
	broken.Store(false)
	for {
		if _, err := sum.Ask(long(t), ref, &emptypb.Empty{}); err == nil {
			return
		} else if !errors.Is(err, entity.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}
