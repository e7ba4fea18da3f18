package main

import (
	"testing"

	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

func TestOnlyAProcessThatStillTellsHasAState(t *testing.T) {
	t.Parallel()
	for standing, want := range map[string]string{"member": "ready", "rival": "ready", "lost": "", "refusing": ""} {
		if got := state(&adminv1.Member{Standing: standing, Ready: true, Weight: 1}, nil); got != want {
			t.Errorf("%s: got %q, want %q", standing, got, want)
		}
	}
}

func TestShardsOfOtherNodesAreNoTroubleOfAProcessor(t *testing.T) {
	t.Parallel()
	for want, states := range map[string][]string{
		"running":                         {"following", "loading"},
		"running; 1 shard on other nodes": {"following", "elsewhere"},
		"running, but for 1 of 2 shards here; 2 shards on other nodes": {"elsewhere", "blocked", "following", "elsewhere"},
	} {
		p := &adminv1.Processor{State: "running"}
		for _, s := range states {
			p.Shards = append(p.Shards, &adminv1.ProcessorShard{State: s})
		}
		if got := stateOf(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
