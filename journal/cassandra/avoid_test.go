package cassandra

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gocql/gocql"
)

// inOrder picks hosts always in the same order.
type inOrder struct {
	gocql.HostSelectionPolicy
	hosts []*gocql.HostInfo
}

type picked struct{ *gocql.HostInfo }

func (p picked) Info() *gocql.HostInfo { return p.HostInfo }
func (p picked) Mark(error)            {}

func (o inOrder) Pick(gocql.ExecutableQuery) gocql.NextHost {
	rest := o.hosts
	return func() gocql.SelectedHost {
		if len(rest) == 0 {
			return nil
		}
		host := rest[0]
		rest = rest[1:]
		return picked{host}
	}
}

type refusal struct{ gocql.RequestError }

func (refusal) Error() string { return "refused" }

func TestANodeThatDoesNotAnswerIsAskedLast(t *testing.T) {
	t.Parallel()
	o := inOrder{}
	for i := range 3 {
		host := &gocql.HostInfo{}
		host.SetHostID(fmt.Sprint("node", i))
		o.hosts = append(o.hosts, host)
	}
	now := time.Unix(1000, 0)
	p := newAvoiding(o)
	p.now = func() time.Time { return now }
	want := func(when, order string) {
		t.Helper()
		var got []string
		next := p.Pick(nil)
		for host := next(); host != nil; host = next() {
			got = append(got, host.Info().HostID())
		}
		if strings.Join(got, " ") != order {
			t.Errorf("%s: %q, want %q", when, got, order)
		}
	}
	want("all well", "node0 node1 node2")
	p.Pick(nil)().Mark(refusal{})
	want("one refused", "node0 node1 node2")
	p.Pick(nil)().Mark(gocql.ErrTimeoutNoResponse)
	want("one did not answer", "node1 node2 node0")
	p.Pick(nil)().Mark(errors.New("connection reset"))
	want("two did not answer", "node2 node0 node1")
	now = now.Add(sickFor + 1)
	want("a while later", "node0 node1 node2")
}
