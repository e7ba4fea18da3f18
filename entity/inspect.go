package entity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// Shards tells the state of each shard, in order.
func (h *Host) Shards(ctx context.Context) ([]ShardInfo, error) {
	out := make([]ShardInfo, 0, len(h.shards))
	for number := range h.shards {
		i, here, err := h.infoOf(ctx, number)
		if err != nil {
			return nil, err
		}
		if !here {
			out = append(out, ShardInfo{Shard: uint32(number), Phase: "elsewhere"}) //nolint:gosec // at most maxShards
			continue
		}
		s := ShardInfo{
			Shard: uint32(number), Phase: i.Phase.String(), Reason: i.Reason, Owner: i.Owner, Epoch: i.Epoch, Head: i.Head, //nolint:gosec // at most maxShards
			Flushed: i.Flushed, Offset: i.Offset, Live: i.Live, Pending: i.Pending, UnflushedBytes: i.UnflushedBytes, Behind: i.Late,
		}
		switch {
		case i.Refusing:
			s.Phase = "refusing"
		case i.Preparing:
			s.Phase = "preparing"
		case i.Yielding:
			s.Phase = "yielding"
		}
		out = append(out, s)
	}
	return out, nil
}

// infoOf asks a shard how it is; here is false if it never was on this host. A shard that moves away and comes back has a new actor:
// if the one that was asked has ended, its successor is.
func (h *Host) infoOf(ctx context.Context, number int) (i shard.Info, here bool, err error) {
	for {
		a := h.shards[number].Load()
		if a == nil {
			return i, false, nil
		}
		i, err = look(ctx, a, func(m *shard.Machine) shard.Info { return m.Info() })
		if err == nil || h.shards[number].Load() == a {
			return i, true, err
		}
	}
}

// look asks a shard's actor.
func look[T any](ctx context.Context, a *shardActor, ask func(*shard.Machine) T) (T, error) {
	answer := make(chan T, 1)
	a.then(func(m *shard.Machine, _ int64) { answer <- ask(m) })
	select {
	case v := <-answer:
		return v, nil
	case <-a.stopped:
		var none T
		return none, &Error{Kind: ErrUnavailable, Reason: "the node has stopped"}
	case <-ctx.Done():
		var none T
		return none, &Error{Kind: ErrUnavailable, Reason: fmt.Sprintf("shard %d does not answer", a.number), Cause: ctx.Err()}
	}
}

// maxShownEvents bounds the events of one EntityInfo.
const maxShownEvents = 10_000

// Inspect shows an entity at its newest committed version, or at an older one. It reads
// the journal and changes nothing.
func (h *Host) Inspect(ctx context.Context, typ, id string, at *uint64) (*EntityInfo, error) {
	def, ok := h.types[typ]
	if !ok {
		return nil, refuse(unknownType, "this service has no entities of type %q", typ)
	}
	if err := checkName("id", id); err != nil {
		return nil, err
	}
	of := journal.Entity{Type: typ, ID: id}
	number := h.shardOf(of)
	a := h.shards[number].Load()
	if a == nil {
		return nil, h.moved(number, "", 0)
	}
	known, err := h.viewOf(ctx, a, of)
	if err != nil {
		return nil, err
	}
	info := &EntityInfo{Type: typ, ID: id, Shard: a.number, Live: known.Live, Events: []EventInfo{}, Timers: []TimerInfo{}, Window: []WindowInfo{}}
	v := viewer{def: def, info: info, at: at}
	r := &rebuilt{instance: def.newInstance(id, nil)}
	if err := h.viewEntries(ctx, &v, r, of, known); err != nil {
		return nil, err
	}
	if at != nil && v.beyond > *at {
		return nil, refuse(malformed, "version %d of %s %q lies inside a command that stored versions %d to %d together: ask for %d or %d",
			*at, typ, id, info.Version+1, v.beyond, info.Version, v.beyond)
	}
	if at != nil && *at > info.Version {
		return nil, refuse(malformed, "%s %q has version %d; there is no version %d yet", typ, id, info.Version, *at)
	}
	v.finish(r, known)
	return info, nil
}

// viewOf is what the shard knows of an entity. Of a cluster's hosts only the owner knows all: another would show
// less than is committed.
func (h *Host) viewOf(ctx context.Context, a *shardActor, of journal.Entity) (shard.EntityView, error) {
	type answer struct {
		view shard.EntityView
		info shard.Info
	}
	known, err := look(ctx, a, func(m *shard.Machine) answer { return answer{m.View(of), m.Info()} })
	if err == nil && h.cfg.Ownership != nil && known.info.Phase != shard.Serving {
		return shard.EntityView{}, h.moved(a.number, known.info.Owner, known.info.Epoch)
	}
	return known.view, err
}

// errEnough ends the reading at the wanted version.
var errEnough = errors.New("enough")

func (h *Host) viewEntries(ctx context.Context, v *viewer, r *rebuilt, of journal.Entity, known shard.EntityView) error {
	m := &merger{r: r}
	r.before, r.each = v.before, v.entry
	err := h.cfg.Journal.Pages(ctx, of, 0, func(p journal.Page) error { return eachPaged(p.Body, m.add) })
	for i := 0; err == nil && i < len(known.Unflushed); i++ {
		err = m.add(known.Unflushed[i])
	}
	var broken brokenError
	switch {
	case err == nil || errors.Is(err, errEnough):
		return nil
	case errors.As(err, &broken):
		v.info.StateError = err.Error()
		return nil
	}
	return err
}

// viewer fills an EntityInfo from entries.
type viewer struct {
	def  Definition
	info *EntityInfo
	at   *uint64
	// beyond is the version that the entry behind the wanted version leads to, if
	// that entry began before it.
	beyond uint64
}

// before stops at the first entry that leads beyond the wanted version.
func (v *viewer) before(version uint64, _ []byte) error {
	if v.at != nil && version > *v.at {
		if *v.at > v.info.Version {
			v.beyond = version
		}
		return errEnough
	}
	return nil
}

func (v *viewer) entry(_ uint64, b []byte) error {
	var e shard.Entry
	if err := e.Decode(b); err != nil {
		return brokenError{err}
	}
	v.info.Version, v.info.Entry = e.Version, e.Number
	first := e.Version - uint64(len(e.Events)) + 1
	for i, ev := range e.Events {
		if len(v.info.Events) == maxShownEvents {
			v.info.Events = v.info.Events[1:]
			v.info.Omitted++
		}
		v.info.Events = append(v.info.Events, EventInfo{
			Version: first + uint64(i), Entry: e.Number, Type: v.def.Current(string(ev.Type)), StoredType: v.storedType(ev), Data: v.data(ev),
			Time: time.Unix(0, e.Time).UTC(), Command: string(e.Command), Key: e.Key.String(),
			Principal: string(e.Principal), Cause: string(e.Cause), Trace: string(e.Trace),
		})
	}
	return nil
}

// storedType names the type that an event was stored as, if it is read as another.
func (v *viewer) storedType(ev shard.StoredEvent) string {
	if string(ev.Type) == v.def.Current(string(ev.Type)) {
		return ""
	}
	return string(ev.Type)
}

// data renders an event for people, as it is read today.
func (v *viewer) data(ev shard.StoredEvent) json.RawMessage {
	msg, err := v.def.Decode(string(ev.Type), ev.Payload)
	if err == nil {
		if b, err := protojson.Marshal(msg); err == nil {
			return b
		}
	}
	b, _ := json.Marshal(ev.Payload) // base64: JSON cannot tell it
	return b
}

func (v *viewer) finish(r *rebuilt, known shard.EntityView) {
	for _, p := range r.image.Timers() {
		t := TimerInfo{Name: p.Name, Due: time.Unix(0, p.Due).UTC(), Command: p.Command, Armed: p.Armed}
		for _, f := range known.Failing {
			if f.Name == p.Name && f.Armed == p.Armed {
				t.Attempts, t.LastError = f.Attempts, f.LastError
				t.RetryAt = time.Unix(0, f.RetryAt).UTC()
			}
		}
		v.info.Timers = append(v.info.Timers, t)
	}
	for _, w := range r.image.Window() {
		v.info.Window = append(v.info.Window, WindowInfo{
			Key: w.Key, Entry: w.Entry, Version: w.Version, Time: time.Unix(0, w.Time).UTC(), Rejection: w.Rejection,
		})
	}
	if v.info.StateError != "" {
		return
	}
	state, err := r.instance.show()
	if err != nil {
		v.info.StateError = err.Error()
		return
	}
	v.info.State = state
}
