package shard

import "github.com/skerryhq/skerry/journal"

// EntityView is what the machine can say of an entity beside the journal.
type EntityView struct {
	Live bool
	// Unflushed is the committed entries that pages do not hold yet.
	Unflushed [][]byte
	// Failing is the timers whose command failed.
	Failing []FailingTimer
}

// FailingTimer is a pending timer whose command failed.
type FailingTimer struct {
	Name      string
	Armed     uint64
	Attempts  int
	RetryAt   int64 // Unix nanoseconds
	LastError string
}

// View looks at an entity without waking it.
func (m *Machine) View(of journal.Entity) EntityView {
	e := m.entities[of]
	if e == nil {
		return EntityView{}
	}
	v := EntityView{Live: e.state == live}
	for i := range e.unflushed {
		if s := &e.unflushed[i]; s.record <= m.last.Number {
			v.Unflushed = append(v.Unflushed, s.body)
		}
	}
	for i := range e.timers {
		if p := &e.timers[i]; p.attempts > 0 {
			v.Failing = append(v.Failing, FailingTimer{p.Name, p.Armed, p.attempts, p.retryAt, p.lastError})
		}
	}
	return v
}

// Timers returns the pending timers.
func (i *Image) Timers() []Pending { return i.timers }

// RememberedKey is one key of a window.
type RememberedKey struct {
	Key            string
	Entry, Version uint64
	Time           int64 // Unix nanoseconds
	Rejection      string
}

// Window returns what is remembered, for people.
func (i *Image) Window() []RememberedKey {
	var out []RememberedKey
	add := func(key string, a *answer) {
		r := RememberedKey{Key: key, Entry: a.entry, Version: a.version, Time: a.time}
		if a.rejection != nil {
			r.Rejection = a.rejection.Code
		}
		out = append(out, r)
	}
	for j := range i.window.clients {
		cl := &i.window.clients[j]
		for k := range cl.answers {
			key := Key{Kind: ClientKey, Client: cl.id, Number: cl.answers[k].number}
			add(key.String(), &cl.answers[k].answer)
		}
	}
	for _, a := range i.window.order {
		add(a.name, &a.answer)
	}
	return out
}
