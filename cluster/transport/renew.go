package transport

import (
	"context"
	"time"
)

// renew makes a connection in place of c, over which calls go from then on; c brings the answers that it owes. If that cannot
// be done c stays, or ends for a reason if there is one.
func (p *peer) renew(c *conn, otherwise error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != c || p.former != nil || p.renewing {
		return
	}
	p.renewing = p.t.spawn(func() {
		ctx, cancel := context.WithTimeout(p.t.life, p.t.cfg.DialTimeout)
		defer cancel()
		m, with, err := p.t.reach(ctx, p.to)
		switch {
		case err == nil:
			p.replace(c, newConn(p.t, m, with, p))
			return
		case otherwise != nil:
			c.end(otherwise)
		}
		p.mu.Lock()
		p.renewing = false
		p.mu.Unlock()
	})
}

// replace serves a connection in place of another one. If that is over, or the peer forgotten, there is nothing to replace.
func (p *peer) replace(c, next *conn) {
	p.mu.Lock()
	p.renewing = false
	wanted := p.conn == c && !p.gone
	if wanted {
		p.conn, p.former = next, c
		p.used = time.Now()
	}
	p.mu.Unlock()
	if !wanted {
		next.medium.close()
		return
	}
	next.signal()
	next.run()
	if next.broke() {
		p.lookAgain()
	}
}

// waitsOn tells whether a connection owes answers, with the lock held.
func (p *peer) waitsOn(c *conn) bool {
	for _, k := range p.waiting {
		if k.on == c {
			return true
		}
	}
	return false
}

// review looks at all connections when what nodes prove themselves by has changed. judge tells whether one was made with what
// counts now, and, if not, why its peer is not to be spoken to any more, if so.
func (t *Endpoint) review(judge func(medium) (current bool, distrusted error)) {
	made, taken := t.connections()
	for _, c := range made {
		if current, distrusted := judge(c.medium); !current {
			c.asks.renew(c, distrusted)
		}
	}
	for _, c := range taken { // the others' to make again
		if _, distrusted := judge(c.medium); distrusted != nil {
			t.logs.say(t.cfg.Logger, "a connection is closed", "peer", c.with.peer.String(), "error", distrusted.Error())
			c.end(distrusted)
		}
	}
}

// connections are those that this node made, and those that it took.
func (t *Endpoint) connections() (made, taken []*conn) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, p := range t.peers {
		p.mu.Lock()
		if p.conn != nil {
			made = append(made, p.conn)
		}
		p.mu.Unlock()
	}
	for c := range t.incoming {
		taken = append(taken, c)
	}
	return made, taken
}
