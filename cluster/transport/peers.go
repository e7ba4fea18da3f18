package transport

import (
	"cmp"
	"slices"
	"time"
)

// PeerState is what an endpoint knows of a peer that it asks, for operators.
type PeerState struct {
	Peer
	// Connected tells that there is a connection, since Since, which speaks Version of the protocol.
	Connected bool
	Since     time.Time
	Version   uint32
	// Unanswered envelopes hold Bytes; Streams are open.
	Unanswered, Bytes, Streams int
	// Failures counts the attempts in a row that failed; Failure is the last one's reason.
	Failures int
	Failure  string
}

// Peers returns the peers that were asked lately, ordered by address.
func (t *Endpoint) Peers() []PeerState {
	t.mu.RLock()
	known := make([]*peer, 0, len(t.peers))
	for _, p := range t.peers {
		known = append(known, p)
	}
	t.mu.RUnlock()
	all := make([]PeerState, 0, len(known))
	for _, p := range known {
		all = append(all, p.state())
	}
	slices.SortFunc(all, func(a, b PeerState) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Node, b.Node))
	})
	return all
}

func (p *peer) state() PeerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PeerState{Peer: p.to, Unanswered: len(p.waiting), Bytes: p.bytes}
	if c := p.conn; c != nil {
		s.Connected, s.Since, s.Version, s.Streams = true, c.began, c.with.version, c.streams.count()
	} else if p.failures > 0 {
		s.Failures, s.Failure = p.failures, p.failure.Error()
	}
	return s
}
