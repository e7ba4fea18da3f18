package admin

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/skerryhq/skerry/entity"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// This file turns what entity tells operators into messages and back. A test
// holds both directions against each other, field by field.

func shardsToWire(infos []entity.ShardInfo) *adminv1.Shards {
	m := &adminv1.Shards{}
	for _, s := range infos {
		m.Shards = append(m.Shards, &adminv1.Shard{
			Shard: s.Shard, Phase: s.Phase, Reason: s.Reason, Owner: s.Owner, Epoch: s.Epoch,
			Head: s.Head, Flushed: s.Flushed, Offset: s.Offset,
			LiveEntities: int64(s.Live), PendingCommands: int64(s.Pending), UnflushedBytes: int64(s.UnflushedBytes),
			EntitiesBehind: int64(s.Behind),
		})
	}
	return m
}

func shardsFromWire(m *adminv1.Shards) []entity.ShardInfo {
	infos := []entity.ShardInfo{}
	for _, s := range m.GetShards() {
		infos = append(infos, entity.ShardInfo{
			Shard: s.GetShard(), Phase: s.GetPhase(), Reason: s.GetReason(), Owner: s.GetOwner(), Epoch: s.GetEpoch(),
			Head: s.GetHead(), Flushed: s.GetFlushed(), Offset: s.GetOffset(),
			Live: int(s.GetLiveEntities()), Pending: int(s.GetPendingCommands()), UnflushedBytes: int(s.GetUnflushedBytes()),
			Behind: int(s.GetEntitiesBehind()),
		})
	}
	return infos
}

func entityToWire(i *entity.EntityInfo) *adminv1.Entity {
	m := &adminv1.Entity{
		Type: i.Type, Id: i.ID, Shard: i.Shard, Live: i.Live, Version: i.Version, Entry: i.Entry,
		StateJson: string(i.State), StateError: i.StateError, EventsOmitted: i.Omitted,
	}
	for _, e := range i.Events {
		m.Events = append(m.Events, &adminv1.Event{
			Version: e.Version, Entry: e.Entry, Type: e.Type, DataJson: string(e.Data), Time: toTimestamp(e.Time),
			Command: e.Command, Key: e.Key, Principal: e.Principal, Cause: e.Cause, Trace: e.Trace, StoredType: e.StoredType,
		})
	}
	for _, t := range i.Timers {
		m.Timers = append(m.Timers, &adminv1.Timer{
			Name: t.Name, Due: toTimestamp(t.Due), Command: t.Command, ArmedEntry: t.Armed,
			Attempts: int64(t.Attempts), RetryAt: toTimestamp(t.RetryAt), LastError: t.LastError,
		})
	}
	for _, a := range i.Window {
		m.Window = append(m.Window, &adminv1.Answer{
			Key: a.Key, Entry: a.Entry, Version: a.Version, Time: toTimestamp(a.Time), Rejection: a.Rejection,
		})
	}
	return m
}

func entityFromWire(m *adminv1.Entity) *entity.EntityInfo {
	i := &entity.EntityInfo{
		Type: m.GetType(), ID: m.GetId(), Shard: m.GetShard(), Live: m.GetLive(), Version: m.GetVersion(), Entry: m.GetEntry(),
		State: toJSON(m.GetStateJson()), StateError: m.GetStateError(), Omitted: m.GetEventsOmitted(),
		Events: []entity.EventInfo{}, Timers: []entity.TimerInfo{}, Window: []entity.WindowInfo{},
	}
	for _, e := range m.GetEvents() {
		i.Events = append(i.Events, entity.EventInfo{
			Version: e.GetVersion(), Entry: e.GetEntry(), Type: e.GetType(), StoredType: e.GetStoredType(), Data: toJSON(e.GetDataJson()), Time: toTime(e.GetTime()),
			Command: e.GetCommand(), Key: e.GetKey(), Principal: e.GetPrincipal(), Cause: e.GetCause(), Trace: e.GetTrace(),
		})
	}
	for _, t := range m.GetTimers() {
		i.Timers = append(i.Timers, entity.TimerInfo{
			Name: t.GetName(), Due: toTime(t.GetDue()), Command: t.GetCommand(), Armed: t.GetArmedEntry(),
			Attempts: int(t.GetAttempts()), RetryAt: toTime(t.GetRetryAt()), LastError: t.GetLastError(),
		})
	}
	for _, a := range m.GetWindow() {
		i.Window = append(i.Window, entity.WindowInfo{
			Key: a.GetKey(), Entry: a.GetEntry(), Version: a.GetVersion(), Time: toTime(a.GetTime()), Rejection: a.GetRejection(),
		})
	}
	return i
}

// toTimestamp leaves the zero time out.
func toTimestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func toTime(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// toJSON makes a string of what is no JSON, so that the whole stays printable.
func toJSON(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string always has a JSON form
	return quoted
}
