package transport

import "time"

// silence counts for how long nothing is heard of a peer.
type silence struct {
	silentAfter, deadAfter time.Duration
	heard                  time.Time
	// next is when to look again, if nothing comes before.
	next time.Time
}

// listen begins to count.
func (c *Config) listen(now time.Time) silence {
	s := silence{silentAfter: c.SilentAfter, deadAfter: c.DeadAfter, heard: now}
	s.again(now)
	return s
}

func (s *silence) again(now time.Time) {
	s.next = now.Add(s.silentAfter)
	if dead := s.heard.Add(s.deadAfter); dead.Before(s.next) {
		s.next = dead
	}
}

// dead takes in that nothing was heard until now, which is next or later. It returns true if the peer is to be given up, and
// tells t if it is silent.
func (s *silence) dead(now time.Time, t taker) bool {
	if late := now.Sub(s.next); late > s.silentAfter/2 { // this process stood still, and what came meanwhile was not read yet
		s.heard = s.heard.Add(late)
		s.again(now)
		return false
	}
	if now.Sub(s.heard) >= s.deadAfter {
		return true
	}
	t.silent()
	s.again(now)
	return false
}
