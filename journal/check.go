package journal

import (
	"cmp"
	"errors"
	"fmt"
)

// KeptSnapshots is how many snapshots of an entity a journal keeps.
const KeptSnapshots = 2

// ErrInvalid is wrapped when a call's arguments break the contract. Nothing
// was stored.
var ErrInvalid = errors.New("journal: invalid argument")

// Check tells whether type and id may be stored.
func (e Entity) Check() error {
	if err := checkName("an entity's type", e.Type); err != nil {
		return err
	}
	return checkName("an entity's id", e.ID)
}

// Check tells whether d may be stored.
func (d Derived) Check() error {
	for _, p := range d.Pages {
		if err := p.check(); err != nil {
			return err
		}
	}
	for _, timers := range [][]Timer{d.Arms, d.Disarms} {
		for _, t := range timers {
			if err := t.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p Page) check() error {
	if err := p.Of.Check(); err != nil {
		return err
	}
	if p.First == 0 || p.Last < p.First {
		return fmt.Errorf("%w: a page of entries %d to %d", ErrInvalid, p.First, p.Last)
	}
	return nil
}

func (t Timer) check() error {
	if err := t.Of.Check(); err != nil {
		return err
	}
	return checkName("a timer's name", t.Name)
}

func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%w: %s has %d bytes, at most %d are allowed", ErrInvalid, what, len(name), MaxName)
	}
	return nil
}

// Compare orders timers by the time they are due; the rest only tells
// different timers apart.
func (t Timer) Compare(u Timer) int {
	return cmp.Or(
		cmp.Compare(t.Due, u.Due),
		cmp.Compare(t.Of.Type, u.Of.Type),
		cmp.Compare(t.Of.ID, u.Of.ID),
		cmp.Compare(t.Name, u.Name),
		cmp.Compare(t.Armed, u.Armed),
	)
}
