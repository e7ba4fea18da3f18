package journal

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a journal that forgets everything when the process ends. It is the
// model of the other journals and keeps the whole contract: several owners may
// use one Memory at once, from any goroutine.
//
// It keeps the bodies it is given: nobody may change them afterwards.
type Memory struct {
	mu       sync.RWMutex // guards the maps and closed; a shard's log has a lock of its own
	closed   bool
	shards   map[uint32]*memoryLog
	timers   map[uint32][]Timer
	entities map[Entity]*memoryEntity
	settled  map[string]string

	registers map[memoryPartition]map[string]Register
	witnesses map[string]Witness // by address
}

// memoryLog is the log of one shard.
type memoryLog struct {
	mu      sync.Mutex
	records []Record // record n is at n-1
	flushed uint64
}

type memoryEntity struct {
	pages     []Page     // by last, then first entry
	snapshots []Snapshot // newest first
}

// NewMemory returns an empty journal.
func NewMemory() *Memory {
	return &Memory{
		shards:   map[uint32]*memoryLog{},
		timers:   map[uint32][]Timer{},
		entities: map[Entity]*memoryEntity{},
		settled:  map[string]string{},

		registers: map[memoryPartition]map[string]Register{},
		witnesses: map[string]Witness{},
	}
}

// log returns the shard's log, which it makes on first use.
func (m *Memory) log(ctx context.Context, shard uint32) (*memoryLog, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	log, closed := m.shards[shard], m.closed
	m.mu.RUnlock()
	if closed {
		return nil, ErrClosed
	}
	if log != nil {
		return log, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards[shard] == nil {
		m.shards[shard] = &memoryLog{}
	}
	return m.shards[shard], nil
}

// Head implements Log.
func (m *Memory) Head(ctx context.Context, shard uint32) (Head, error) {
	log, err := m.log(ctx, shard)
	if err != nil {
		return Head{}, err
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	var head Head
	if n := len(log.records); n > 0 {
		head.Last = log.records[n-1].Header
	}
	head.Flushed = max(log.flushed, head.Last.Flushed)
	return head, nil
}

// Append implements Log.
func (m *Memory) Append(ctx context.Context, shard uint32, rec Record) (Slot, error) {
	log, err := m.log(ctx, shard)
	if err != nil {
		return Slot{}, err
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	end := uint64(len(log.records))
	switch {
	case rec.Number == 0 || rec.Number > end+1:
		return Slot{}, GapError(shard, rec.Number, end)
	case rec.Number <= end:
		return Slot{Taken: true, Holder: log.records[rec.Number-1].Header}, nil
	}
	log.records = append(log.records, rec)
	return Slot{Taken: true, Holder: rec.Header}, nil
}

// GapError is what a journal answers to an append that would leave the slot
// before it empty: end is the log's newest record. It wraps ErrRefused.
func GapError(shard uint32, number, end uint64) error {
	return fmt.Errorf("%w: shard %d: record %d does not follow record %d: read the log's head first", ErrRefused, shard, number, end)
}

// Tail implements Log.
func (m *Memory) Tail(ctx context.Context, shard uint32, number uint64) (Slot, error) {
	log, err := m.log(ctx, shard)
	if err != nil {
		return Slot{}, err
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if number == 0 || number > uint64(len(log.records)) {
		return Slot{}, nil
	}
	return Slot{Taken: true, Holder: log.records[number-1].Header}, nil
}

// Read implements Log.
func (m *Memory) Read(ctx context.Context, shard uint32, from uint64, maxBytes int) ([]Record, error) {
	log, err := m.log(ctx, shard)
	if err != nil {
		return nil, err
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	from = max(from, 1)
	if from > uint64(len(log.records)) {
		return nil, nil
	}
	rest := log.records[from-1:]
	size, n := len(rest[0].Body), 1
	for n < len(rest) && size+len(rest[n].Body) <= maxBytes {
		size += len(rest[n].Body)
		n++
	}
	return slices.Clone(rest[:n]), nil
}

// Derive implements Store.
func (m *Memory) Derive(ctx context.Context, d Derived) error {
	if err := d.Check(); err != nil {
		return err
	}
	log, err := m.log(ctx, d.Shard)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	for _, p := range d.Pages {
		m.entity(p.Of).addPage(p)
	}
	m.timers[d.Shard] = changeTimers(m.timers[d.Shard], d.Arms, d.Disarms)
	log.mu.Lock()
	defer log.mu.Unlock()
	log.flushed = max(log.flushed, d.UpTo)
	return nil
}

// entity returns what is stored of an entity; the caller holds the lock.
func (m *Memory) entity(of Entity) *memoryEntity {
	e := m.entities[of]
	if e == nil {
		e = &memoryEntity{}
		m.entities[of] = e
	}
	return e
}

func (e *memoryEntity) addPage(p Page) {
	p.Body = bytes.Clone(p.Body)
	at, found := slices.BinarySearchFunc(e.pages, p, func(a, b Page) int {
		return cmp.Or(cmp.Compare(a.Last, b.Last), cmp.Compare(a.First, b.First))
	})
	if !found {
		e.pages = slices.Insert(e.pages, at, p)
	}
}

// changeTimers applies arms, then disarms, to a shard's index.
func changeTimers(index, arms, disarms []Timer) []Timer {
	for _, t := range arms {
		if at, found := slices.BinarySearchFunc(index, t, Timer.Compare); !found {
			index = slices.Insert(index, at, t)
		}
	}
	for _, t := range disarms {
		if at, found := slices.BinarySearchFunc(index, t, Timer.Compare); found {
			index = slices.Delete(index, at, at+1)
		}
	}
	return index
}

// Pages implements Store.
func (m *Memory) Pages(ctx context.Context, of Entity, after uint64, visit func(Page) error) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.mu.RLock()
	var pages []Page
	if e := m.entities[of]; e != nil {
		pages = slices.Clone(e.pages)
	}
	m.mu.RUnlock()
	for _, p := range pages {
		if p.Last <= after {
			continue
		}
		if err := visit(p); err != nil {
			return err
		}
	}
	return nil
}

// SaveSnapshot implements Store.
func (m *Memory) SaveSnapshot(ctx context.Context, s Snapshot) error {
	if err := s.Of.Check(); err != nil {
		return err
	}
	if err := m.ready(ctx); err != nil {
		return err
	}
	s.Body = bytes.Clone(s.Body)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entity(s.Of)
	at, found := slices.BinarySearchFunc(e.snapshots, s, func(a, b Snapshot) int { return cmp.Compare(b.Entry, a.Entry) })
	if found {
		e.snapshots[at] = s
		return nil
	}
	e.snapshots = slices.Insert(e.snapshots, at, s)
	e.snapshots = e.snapshots[:min(len(e.snapshots), KeptSnapshots)]
	return nil
}

// Snapshots implements Store.
func (m *Memory) Snapshots(ctx context.Context, of Entity) ([]Snapshot, error) {
	if err := m.ready(ctx); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	e := m.entities[of]
	if e == nil {
		return nil, nil
	}
	return slices.Clone(e.snapshots), nil
}

// Timers implements Store.
func (m *Memory) Timers(ctx context.Context, shard uint32, fromHour, toHour int64, visit func(Timer) error) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.mu.RLock()
	var due []Timer
	for _, t := range m.timers[shard] {
		if hour := t.Hour(); hour >= fromHour && hour < toHour {
			due = append(due, t)
		}
	}
	m.mu.RUnlock()
	for _, t := range due {
		if err := visit(t); err != nil {
			return err
		}
	}
	return nil
}

// Settle implements Journal.
func (m *Memory) Settle(ctx context.Context, name, value string) (string, error) {
	if err := m.ready(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if settled, ok := m.settled[name]; ok {
		return settled, nil
	}
	m.settled[name] = value
	return value, nil
}

// Settled implements Journal.
func (m *Memory) Settled(ctx context.Context, prefix string, visit func(name, value string) error) error {
	if err := m.ready(ctx); err != nil {
		return err
	}
	m.mu.RLock()
	settled := maps.Clone(m.settled)
	m.mu.RUnlock()
	for _, name := range slices.Sorted(maps.Keys(settled)) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := visit(name, settled[name]); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Journal.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	return nil
}

// ready tells whether a call may go on.
func (m *Memory) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	return nil
}
