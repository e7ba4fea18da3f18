package stream_test

import (
	"strings"
	"testing"
)

func TestACommittedEventReachesAnOpenPage(t *testing.T) {
	t.Parallel()
	source := newTwin(4)
	server := serve(t, newStream(t, configOf(source)))
	source.commit(t, 1, bid("old", 1))
	p := open(t, server.URL, "")
	p.awaitID(t)
	if p.lastID != "h1.1:1" || p.retry != "500" {
		t.Errorf("it begins with id %q and retry %q", p.lastID, p.retry)
	}
	source.commit(t, 2, command{id: "a"}, bid("a", 5, 7))
	m := p.mustNext(t)
	const want = `{"rows":[{"lot":"a","version":"1","priceCents":"5","shard":2,"offset":1},{"lot":"a","version":"2","priceCents":"7","shard":2,"offset":2}],"bids":[]}`
	if m.event != "lots" || m.id != "h1.1:1,2:2" || m.data != want {
		t.Errorf("message %+v, want data %s", m, want)
	}
}

func TestAPageThatComesBackGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	source := newTwin(4)
	server := serve(t, newStream(t, configOf(source)))
	other := open(t, server.URL, "")
	other.awaitID(t)
	p := open(t, server.URL, "")
	p.awaitID(t)
	source.commit(t, 0, bid("a", 1))
	p.rows(t, 1)
	_ = p.body.Close()
	source.commit(t, 3, bid("b", 2))
	source.commit(t, 0, bid("a", 3))
	other.rows(t, 3)

	p = open(t, server.URL, p.lastID)
	source.commit(t, 0, bid("a", 4))
	if got := brief(p.rows(t, 3)); got != "b@1=2 a@2=3 a@3=4" {
		t.Errorf("it got %s", got)
	}
	if p.lastID != "h1.0:3,3:1" {
		t.Errorf("it stands at %s", p.lastID)
	}
}

func TestAPageGoesOnBehindTheListThatItHasRead(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]string{
		"h1.":        "a@1=1 a@2=2 b@1=3 b@2=4 c@1=9",
		"h1.0:1":     "a@2=2 b@1=3 b@2=4 c@1=9",
		"h1.0:2,1:1": "b@2=4 c@1=9",
		"h1.1:2":     "a@1=1 a@2=2 c@1=9",
		"h1.0:2,1:2": "c@1=9",
	} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			source := newTwin(2)
			source.commit(t, 0, bid("a", 1), bid("a", 2))
			source.commit(t, 1)
			source.commit(t, 1, bid("b", 3, 4))
			server := serve(t, newStream(t, configOf(source)))
			p := open(t, server.URL+"?after="+after, "")
			missed := len(strings.Fields(want)) - 1
			got := p.rows(t, missed)
			source.commit(t, 0, bid("c", 9))
			got = append(got, p.rows(t, 1)...)
			if brief(got) != want {
				t.Errorf("it got %s, want %s", brief(got), want)
			}
		})
	}
}
