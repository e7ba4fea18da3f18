package cluster

import "testing"

// What plans for assembled clusters have found, small.

// A node that could not hear the others for a while may serve a shard that another process has claimed meanwhile, which is
// gone by now, so that nobody tells. Where the shard is quiet, nothing else would make the owner look.
func TestAnOwnerLooksIntoItsLogsWhenAMemberHasGone(t *testing.T) {
	t.Parallel()
	w := decides(t, 8, "a", "b", "c")
	w.owns()
	if found := w.told(orderLook); len(found) != 0 {
		t.Errorf("it looks although nobody has gone: %v", found)
	}
	w.membership(w.at, Membership{Members: w.without("b")})
	serves := 0
	for _, x := range w.steward.shards {
		if x.state == serving {
			serves++
		}
	}
	if found := w.told(orderLook); len(found) < serves || serves == 0 {
		t.Errorf("it looks at %d of its %d shards", len(found), serves)
	}
}
