package cluster

import (
	"testing"
	"time"
)

func TestANodeWhoseClockIsOutvotedWantsToBeFreeOfShards(t *testing.T) {
	t.Parallel()
	w := decides(t, 4, "a", "b", "c")
	read := func(node string, ahead time.Duration) bool {
		w.clockRead(clockRead{node + "-1", ahead})
		return w.self.Draining
	}
	if read("b", 5*time.Second) {
		t.Error("one against one decides nothing")
	}
	if read("c", -5*time.Second) {
		t.Error("ours is between the two")
	}
	if !read("c", 3*time.Second) {
		t.Error("two others agree that ours is late")
	}
	if len(w.told(orderAnnounce)) != 1 {
		t.Error("it is not told")
	}
	if !read("c", 1500*time.Millisecond) {
		t.Error("it is not well again yet")
	}
	if read("c", 500*time.Millisecond) {
		t.Error("it is well again")
	}
	read("c", 5*time.Second)
	w.at++
	w.membership(w.at, w.lost("b"))
	if read("c", 5*time.Second) {
		t.Error("b is no member any more: one against one")
	}
}
