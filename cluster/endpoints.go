package cluster

import (
	"context"
	"slices"
)

// AnswersAt tells other nodes, and through them the service's callers, where this one answers: host:port, as others reach it.
// Empty takes that back. It does not wait until they know. An error says that the address is too long.
func (n *Node) AnswersAt(api string) error {
	said := n.self
	said.API = api
	if err := said.Check(); err != nil {
		return err
	}
	n.inbox.put(answersAt(api))
	return nil
}

// Endpoints lists where the service can be called, as this node knows it: what [Node.AnswersAt] was told on each member that
// is ready and does not leave, sorted. It is made for those who resolve a service by one of its nodes.
func (n *Node) Endpoints(ctx context.Context) ([]string, error) {
	k, err := n.ask(ctx)
	if err != nil {
		return nil, err
	}
	return k.endpoints(), nil
}

func (k *knowledge) endpoints() []string {
	found := []string{}
	for _, m := range k.view.Members() {
		if m.API != "" && m.Ready && !m.Leaving {
			found = append(found, m.API)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
