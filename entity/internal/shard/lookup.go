package shard

// A lookup asks what became of an earlier command, by its caller's key. It goes the way of a
// query: behind what the entity was given before, and confirmed, so that "not known" is true for
// every command that was taken in before the lookup began.

// underWay tells that a command with the same key is with the entity and has no outcome yet.
func (e *Entity) underWay(key *Key) bool {
	same := func(c *Command) bool {
		return c != nil && !c.answered && !c.Lookup && c.Key.Kind == key.Kind && c.Key.Name == key.Name
	}
	if same(e.running) {
		return true
	}
	found := false
	e.queue.each(func(c **Command) { found = found || same(*c) })
	return found
}

// lookUp answers a lookup at its turn.
func (m *Machine) lookUp(e *Entity, c *Command) {
	a, ok := e.window.callers[c.Key.Name]
	switch {
	case !ok && m.bug == bugLookupStale:
		m.leave(&waiter{command: c, answer: Answer{Kind: NotKnown}})
	case !ok:
		m.decide(e, c, Answer{Kind: NotKnown, Reason: "no answer is remembered under this key"})
	default:
		m.repeat(c, &a.answer)
	}
}
