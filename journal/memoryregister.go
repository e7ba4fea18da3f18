package journal

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
)

var (
	_ Registers = (*Memory)(nil)
	_ Witnesses = (*Memory)(nil)
)

// memoryPartition names a partition of registers.
type memoryPartition struct {
	space Space
	name  string
}

// Registers implements Registers.
func (m *Memory) Registers(ctx context.Context, space Space, partition string) ([]Register, error) {
	if err := space.CheckPartition(partition); err != nil {
		return nil, err
	}
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := slices.SortedFunc(maps.Values(m.registers[memoryPartition{space, partition}]), func(a, b Register) int {
		return cmp.Compare(a.Name, b.Name)
	})
	for i := range found {
		found[i] = found[i].clone()
	}
	return found, nil
}

// Swap implements Registers.
func (m *Memory) Swap(ctx context.Context, space Space, partition string, next Register) (Register, error) {
	if err := cmp.Or(space.CheckPartition(partition), next.Check()); err != nil {
		return Register{}, err
	}
	if err := m.ready(ctx); err != nil {
		return Register{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := memoryPartition{space, partition}
	stored, exists := m.registers[at][next.Name]
	switch {
	case stored.Revision != next.Revision-1:
		stored.Name = next.Name
		return stored.clone(), nil
	case !exists && len(m.registers[at]) >= MaxRegisters:
		return Register{}, CrowdedError(space, partition, next.Name)
	case m.registers[at] == nil:
		m.registers[at] = map[string]Register{}
	}
	m.registers[at][next.Name] = next.clone()
	return next, nil
}

func (r Register) clone() Register {
	r.Value = bytes.Clone(r.Value)
	return r
}

// PutWitness implements Witnesses.
func (m *Memory) PutWitness(ctx context.Context, w Witness) error {
	if err := w.Check(); err != nil {
		return err
	}
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	w.View = bytes.Clone(w.View)
	m.witnesses[w.Address] = w
	return nil
}

// Witnesses implements Witnesses. A Memory keeps all of them.
func (m *Memory) Witnesses(ctx context.Context) ([]Witness, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := slices.SortedFunc(maps.Values(m.witnesses), func(a, b Witness) int { return cmp.Compare(a.Address, b.Address) })
	for i := range found {
		found[i].View = bytes.Clone(found[i].View)
	}
	return found, nil
}
