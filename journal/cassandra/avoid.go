package cassandra

import (
	"sync"
	"time"

	"github.com/gocql/gocql"
)

// sickFor is how long a node that did not answer is asked last.
const sickFor = 5 * time.Second

// avoiding puts nodes that did not answer behind the others for a while. The
// driver alone would send each request for a partition to the same first replica
// until its heartbeats fail, which takes it many timeouts.
type avoiding struct {
	gocql.HostSelectionPolicy
	now func() time.Time

	mu   sync.Mutex
	sick map[string]time.Time // until when, by host id
}

func newAvoiding(inner gocql.HostSelectionPolicy) *avoiding {
	return &avoiding{HostSelectionPolicy: inner, now: time.Now, sick: map[string]time.Time{}}
}

// Pick implements gocql.HostSelectionPolicy.
func (p *avoiding) Pick(query gocql.ExecutableQuery) gocql.NextHost {
	next := p.HostSelectionPolicy.Pick(query)
	var last []gocql.SelectedHost
	return func() gocql.SelectedHost {
		for host := next(); host != nil; host = next() {
			if !p.isSick(host.Info()) {
				return watched{host, p}
			}
			last = append(last, host)
		}
		if len(last) == 0 {
			return nil
		}
		host := last[0]
		last = last[1:]
		return watched{host, p}
	}
}

func (p *avoiding) isSick(host *gocql.HostInfo) bool {
	if host == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	until, noted := p.sick[host.HostID()]
	if noted && p.now().After(until) {
		delete(p.sick, host.HostID())
		return false
	}
	return noted
}

// watched tells the policy how it went with a node.
type watched struct {
	gocql.SelectedHost
	policy *avoiding
}

// Mark implements gocql.SelectedHost. A node that answers, even with an error, is well.
func (w watched) Mark(err error) {
	w.SelectedHost.Mark(err)
	if err == nil || answered(err) || w.Info() == nil {
		return
	}
	w.policy.mu.Lock()
	defer w.policy.mu.Unlock()
	w.policy.sick[w.Info().HostID()] = w.policy.now().Add(sickFor)
}
