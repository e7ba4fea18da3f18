package entity

import (
	"encoding/json"
	"time"
)

// ShardInfo is what an operator sees of one shard.
type ShardInfo struct {
	Shard uint32 `json:"shard"`
	// Phase is starting, serving, refusing, fenced or halted; Reason says why.
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
	// Owner wrote the newest claim.
	Owner string `json:"owner"`
	Epoch uint64 `json:"epoch"`
	// Head is the newest committed record; pages and timer index reach up to Flushed.
	Head    uint64 `json:"head"`
	Flushed uint64 `json:"flushed"`
	// Offset is that of the newest committed event.
	Offset uint64 `json:"offset"`
	// Live counts the entities in memory, Pending the unanswered commands.
	Live           int `json:"live_entities"`
	Pending        int `json:"pending_commands"`
	UnflushedBytes int `json:"unflushed_bytes"`
	// Behind counts the entities that the flush position has passed although their pages cannot be written: a part of
	// the journal is sick.
	Behind int `json:"entities_behind,omitempty"`
}

// EntityInfo is what an operator sees of one entity. It is read from the journal; looking changes nothing.
type EntityInfo struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Shard uint32 `json:"shard"`
	// Live tells whether it is in memory now.
	Live bool `json:"live"`
	// Version is the one shown; Entry the newest entry up to it.
	Version uint64 `json:"version"`
	Entry   uint64 `json:"entry"`
	// State at that version, as JSON; StateError instead if it cannot be rebuilt.
	State      json.RawMessage `json:"state,omitempty"`
	StateError string          `json:"state_error,omitempty"`
	// Events up to that version, oldest first; at most 10,000, the newest of them. Omitted counts the rest.
	Events  []EventInfo `json:"events"`
	Omitted uint64      `json:"events_omitted,omitempty"`
	// Timers that were pending at that version, and Window, the answers remembered there.
	Timers []TimerInfo  `json:"timers"`
	Window []WindowInfo `json:"window"`
}

// EventInfo is one stored event with where it came from.
type EventInfo struct {
	Version uint64 `json:"version"`
	Entry   uint64 `json:"entry"`
	// Type and Data are as the event is read today; StoredType is its type as stored, if that is another.
	Type       string          `json:"type"`
	StoredType string          `json:"stored_type,omitempty"`
	Data       json.RawMessage `json:"data"`
	Time       time.Time       `json:"time"`
	Command    string          `json:"command"`
	Key        string          `json:"key"`
	Principal  string          `json:"principal,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Trace      string          `json:"trace,omitempty"`
}

// TimerInfo is one pending timer. Attempts, RetryAt and LastError are of its failures, on a live entity.
type TimerInfo struct {
	Name      string    `json:"name"`
	Due       time.Time `json:"due"`
	Command   string    `json:"command"`
	Armed     uint64    `json:"armed_entry"`
	Attempts  int       `json:"attempts,omitempty"`
	RetryAt   time.Time `json:"retry_at,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// WindowInfo is one remembered answer.
type WindowInfo struct {
	Key     string    `json:"key"`
	Entry   uint64    `json:"entry"`
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
	// Rejection is its code, if the answer was one.
	Rejection string `json:"rejection,omitempty"`
}
