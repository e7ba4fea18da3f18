package shard

import "slices"

// checkBooks looks into a machine: sums, lists and marks must agree with each other, or memory
// would leak and limits would drift.
func (o *simOwner) checkBooks() {
	m, s := o.m, o.s
	live, bytes, firing := 0, 0, 0
	for of, e := range m.entities {
		if e.Of != of {
			s.fail("%s files %s under %s", o.name, e.Of.ID, of.ID)
		}
		if e.state == recovering && e.busy {
			s.fail("%s: %s is busy while it recovers", o.name, of.ID)
		}
		if e.state == living {
			live++
			bytes += e.bytes
		}
		if e.firing {
			firing++
		}
	}
	switch {
	case m.phase != Serving:
		return
	case live != m.live || bytes != m.liveBytes:
		s.fail("%s counts %d live entities of %d bytes; there are %d of %d", o.name, m.live, m.liveBytes, live, bytes)
	case firing != m.timers.firing:
		s.fail("%s counts %d entities with due timers; there are %d", o.name, m.timers.firing, firing)
	case len(m.timers.hints) > 200+s.inputs:
		s.fail("%s holds %d hints", o.name, len(m.timers.hints))
	}
	o.checkLists()
	o.checkUnflushed()
	o.checkTroubled()
}

// checkTroubled tells that whoever nobody wants is remembered for his trouble only, and those are bounded.
func (o *simOwner) checkTroubled() {
	m, s := o.m, o.s
	if m.troubled.len() > maxTroubled {
		s.fail("%s remembers %d failed recoveries", o.name, m.troubled.len())
	}
	m.troubled.each(func(e **Entity) {
		if !(*e).troubled {
			s.fail("%s: %s is in the list of failed recoveries, and is not", o.name, (*e).Of.ID)
		}
	})
	for of, e := range m.entities {
		if m.idle(e) && !e.troubled && e.backoff > 0 {
			s.fail("%s: nobody wants %s, nobody will forget it", o.name, of.ID)
		}
	}
}

const living = live

func (o *simOwner) checkLists() {
	m, s := o.m, o.s
	n := 0
	for c := m.commands.first; c != nil; c = c.next {
		n++
		if c.answered || c.Name == "released" {
			s.fail("%s lists a command that is answered", o.name)
		}
	}
	if n != m.pending {
		s.fail("%s counts %d unanswered commands; it lists %d", o.name, m.pending, n)
	}
	n = 0
	for e := m.lru.oldest; e != nil; e = e.lruNext {
		n++
		if e.state != live || m.entities[e.Of] != e {
			s.fail("%s: %s is in the list of the live, and is not", o.name, e.Of.ID)
		}
	}
	if n != m.live {
		s.fail("%s lists %d live entities, it counts %d", o.name, n, m.live)
	}
	size := 0
	for _, b := range m.gathered {
		size += b.bytes
		if b.bytes > m.cfg.MaxRecordBytes && len(b.entries) > 1 {
			s.fail("%s gathers %d bytes for one record", o.name, b.bytes)
		}
	}
	if size != m.gatherSz {
		s.fail("%s counts %d gathered bytes; there are %d", o.name, m.gatherSz, size)
	}
}

func (o *simOwner) checkUnflushed() {
	m, s := o.m, o.s
	bytes := 0
	seen := map[*Entity]bool{}
	late := 0
	for i, e := range slices.Concat(m.derive.dirty, m.derive.late.entities) {
		if e.late != (i >= len(m.derive.dirty)) {
			s.fail("%s: %s is late: %v; it is among the others", o.name, e.Of.ID, e.late)
		}
		if e.late {
			late += e.pinned
		}
		if seen[e] || m.entities[e.Of] != e || len(e.unflushed) == 0 {
			s.fail("%s: %s is marked as unflushed twice, or after it was forgotten, or without reason", o.name, e.Of.ID)
		}
		seen[e] = true
		for i := range e.unflushed {
			bytes += len(e.unflushed[i].body)
			if i > 0 && s.truth.prev.Writer == o.name && e.unflushed[i].entry != e.unflushed[i-1].entry+1 {
				s.fail("%s: %s holds entry %d behind entry %d", o.name, e.Of.ID, e.unflushed[i].entry, e.unflushed[i-1].entry)
			}
		}
	}
	for _, e := range m.entities {
		if len(e.unflushed) > 0 && !seen[e] {
			s.fail("%s: %s holds entries that nobody will flush", o.name, e.Of.ID)
		}
	}
	if bytes != m.derive.bytes {
		s.fail("%s counts %d unflushed bytes; there are %d", o.name, m.derive.bytes, bytes)
	}
	if late != m.derive.late.bytes {
		s.fail("%s counts %d bytes of late entities; there are %d", o.name, m.derive.late.bytes, late)
	}
}
