package stream

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// renderer applies the rules to records. It may be used by several goroutines, each with a
// StoredReader of its own.
type renderer struct {
	rules  map[string]Rule // by the event's full name
	types  map[string]entity.Definition
	lists  map[string]int
	log    *slog.Logger
	failed atomic.Uint64
}

func newRenderer(cfg Config) *renderer {
	r := &renderer{
		rules: map[string]Rule{}, types: map[string]entity.Definition{}, lists: map[string]int{}, log: cfg.Logger,
	}
	for _, rule := range cfg.Rules {
		r.rules[rule.event] = rule
	}
	for _, t := range cfg.Source.Types() {
		r.types[t.Name()] = t
	}
	for i, list := range cfg.Lists {
		r.lists[list] = i
	}
	return r
}

// command is what the events of one command have become.
type command struct {
	last      uint64 // offset of its last event
	fragments []fragment
}

// record renders the commands of a record, all of them or none. Those without events are passed over.
func (r *renderer) record(stored *entity.StoredReader, shard uint32, rec journal.Record) ([]command, error) {
	if rec.Events == 0 {
		return nil, nil
	}
	var out []command
	next := rec.FirstOffset
	err := stored.Each(rec, func(s *entity.Stored) error {
		if len(s.Events) == 0 {
			return nil
		}
		first := next
		next += uint64(len(s.Events))
		out = append(out, command{next - 1, r.command(s, shard, first)})
		return nil
	})
	if err == nil && next != rec.NextOffset() {
		err = fmt.Errorf("%w: record %d says that it has %d events, and has %d", journal.ErrCorrupt, rec.Number, rec.Events, next-rec.FirstOffset)
	}
	if err != nil {
		return nil, fmt.Errorf("shard %d: %w", shard, err)
	}
	return out, nil
}

// command renders the events of one command. An event that cannot be rendered is logged, counted
// and left out: it must not stop what all others see.
func (r *renderer) command(s *entity.Stored, shard uint32, first uint64) []fragment {
	var out []fragment
	for i := range s.Events {
		at := Event[proto.Message]{
			EntityType: s.Type, EntityID: s.ID, Version: s.Version - uint64(len(s.Events)-1-i), Time: s.Time,
			Shard: shard, Offset: first + uint64(i),
		}
		fragments, err := r.event(&s.Events[i], at)
		if err != nil {
			r.failed.Add(1)
			r.log.Error("an event is missing in the stream: correct its rule", "event", s.Events[i].Type,
				"entity", s.Type+"/"+s.ID, "version", at.Version, "shard", shard, "offset", at.Offset, "err", err)
			continue
		}
		out = append(out, fragments...)
	}
	return out
}

// event renders one event: all its fragments, or an error.
func (r *renderer) event(stored *entity.StoredEvent, at Event[proto.Message]) (out []fragment, err error) {
	def, ok := r.types[at.EntityType]
	if !ok {
		return nil, nil
	}
	rule, ok := r.rules[def.Current(stored.Type)]
	if !ok {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("its rule panicked: %v", p)
		}
	}()
	if at.Msg, err = def.Decode(stored.Type, stored.Payload); err != nil {
		return nil, err
	}
	for _, f := range rule.render(at) {
		list, ok := r.lists[f.List]
		if !ok {
			return nil, fmt.Errorf("its rule names the list %q, which is not in Config.Lists", f.List)
		}
		json, err := toJSON(f.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, fragment{at.Shard, at.Offset, list, f.Topic, string(json)})
	}
	return out, nil
}
