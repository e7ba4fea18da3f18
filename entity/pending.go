package entity

import (
	"errors"
	"fmt"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/skerryhq/skerry/entity/internal/shard"
	"github.com/skerryhq/skerry/journal"
)

// pending is a command with its caller.
type pending struct {
	shard.Command
	done   chan struct{} // one signal per use
	async  bool          // nobody waits
	tell   func(*Response, error)
	answer shard.Answer
	home   *sync.Pool
}

// newPending takes memory from the host's own pool: a channel must not pass from one bubble of testing/synctest to another.
func (h *Host) newPending(req *Request, def Definition, info *CommandInfo) *pending {
	c, ok := h.pendings.Get().(*pending)
	if !ok {
		c = &pending{done: make(chan struct{}, 1), home: &h.pendings}
	}
	c.Command = shard.Command{
		To: journal.Entity{Type: def.Name(), ID: req.ID}, Name: info.Name, Payload: req.Payload,
		Key: req.Key, Query: info.Query, Local: req.Local && info.Query, Lookup: req.Lookup, Attempt: req.Attempt,
		Principal: req.Principal, Cause: req.Cause, Trace: req.Trace, Tag: c,
	}
	c.async = req.Async
	if req.IfVersion != nil {
		c.HasExpect, c.Expect = true, *req.IfVersion
	}
	if !info.Query {
		c.Hash = hashOf(info.Name, req.Payload)
	}
	return c
}

// free makes the memory ready for another command. Only who received the answer may call it, and
// only if the shard holds the command no more.
func (c *pending) free() {
	done, home := c.done, c.home
	*c = pending{done: done, home: home}
	home.Put(c)
}

// hashOf tells one command from another under the same key.
func hashOf(name string, payload []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(name)
	_, _ = d.WriteString("\x00")
	_, _ = d.Write(payload)
	return d.Sum64()
}

// Limits of what a caller says of itself, in bytes.
const (
	maxKey  = 256
	maxNote = 256
)

// check refuses what can never be taken.
func (h *Host) check(req *Request) (Definition, *CommandInfo, error) {
	def, ok := h.types[req.Type]
	if !ok {
		return nil, nil, refuse(unknownType, "this service has no entities of type %q", req.Type)
	}
	if req.Lookup {
		return def, lookupInfo, checkLookup(req)
	}
	info, ok := def.lookup(req.Command)
	if !ok {
		return nil, nil, unknownCommand(def, req.Command)
	}
	if info.TimerOnly {
		return nil, nil, refuse(unknownCmd, "only a timer of the entity may send %s", info.Short)
	}
	if err := checkName("id", req.ID); err != nil {
		return nil, nil, err
	}
	if len(req.Payload) > h.cfg.MaxCommandBytes {
		return nil, nil, refuse(tooLarge, "%s has %d bytes; at most %d are taken", info.Short, len(req.Payload), h.cfg.MaxCommandBytes)
	}
	if err := checkKey(req.Key); err != nil {
		return nil, nil, err
	}
	if req.Async && (info.Query || req.Key.Kind != shard.CallerKey) {
		return nil, nil, refuse(malformed, "%s cannot be sent without waiting for its answer: only a command with a caller's key can", info.Short)
	}
	return def, info, errors.Join(checkNote("principal", req.Principal), checkNote("cause", req.Cause), checkNote("trace", req.Trace))
}

// lookupInfo stands for the command that a lookup does not have.
var lookupInfo = &CommandInfo{Query: true}

// checkLookup refuses what asks for no stored answer.
func checkLookup(req *Request) error {
	if err := checkName("id", req.ID); err != nil {
		return err
	}
	if req.Key.Kind != shard.CallerKey || req.Command != "" || len(req.Payload) > 0 || req.Async {
		return refuse(malformed, "a lookup asks for the answer of a caller's key: it has no command, no payload, and is waited for")
	}
	return checkKey(req.Key)
}

// after returns the offset that an answer about an entity of a shard must have seen.
func (h *Host) after(req *Request, query bool, number uint32) (uint64, error) {
	if req.After.History == "" || !query {
		return 0, nil // a command sees everything anyway
	}
	if req.After.History != h.history {
		return 0, refuse(malformed, "the token is of history %q; this journal's is %q: it was restored in between, so the token tells nothing", req.After.History, h.history)
	}
	return req.After.Offset(number), nil
}

func checkNote(what, note string) error {
	if len(note) > maxNote || !utf8.ValidString(note) {
		return refuse(malformed, "the %s is not valid UTF-8 of at most %d bytes", what, maxNote)
	}
	return nil
}

func checkKey(k CommandKey) error {
	switch k.Kind {
	case shard.NoKey:
	case shard.ClientKey:
		if k.Number == 0 || k.Oldest == 0 || k.Oldest > k.Number {
			return refuse(malformed, "the client's key has number %d with oldest %d", k.Number, k.Oldest)
		}
	case shard.CallerKey:
		if k.Name == "" || len(k.Name) > maxKey || !utf8.ValidString(k.Name) || containsControl(k.Name) {
			return refuse(malformed, "the key must be valid UTF-8 of 1 to %d bytes without control characters", maxKey)
		}
	default:
		return refuse(malformed, "keys of kind %d are the runtime's own", k.Kind)
	}
	return nil
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}

func unknownCommand(def Definition, name string) error {
	var known string
	for _, info := range def.Commands() {
		if info.TimerOnly {
			continue
		}
		if known != "" {
			known += ", "
		}
		known += info.Short
	}
	return refuse(unknownCmd, "type %q answers no %q; it answers %s", def.Name(), fmt.Sprintf("%.100s", name), known)
}
