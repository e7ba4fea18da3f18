package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

func TestANodeThatKnowsOfNoClusterDoesNotTakeItsShards(t *testing.T) {
	t.Parallel()
	j := journal.NewMemory()
	if err := mustBeAlone(t.Context(), j); err != nil {
		t.Errorf("on a fresh journal: %v", err)
	}
	m := &Member{Cluster: "auction", Name: "n1", Gossip: "127.0.0.1:0", Peer: "127.0.0.1:0", Weight: 1}
	e, err := m.start(t.Context(), entity.Config{Journal: j, Types: Types(), Shards: 4, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; { // its row comes in a moment
		err = mustBeAlone(t.Context(), j)
	}
	if !errors.Is(err, errNotAlone) || !strings.Contains(err.Error(), "n1") {
		t.Error(err)
	}
	if err := e.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := mustBeAlone(t.Context(), j); err != nil {
		t.Errorf("when it has stopped: %v", err)
	}
}
