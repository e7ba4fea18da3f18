package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/skerryhq/skerry/entity"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// root is the path of all that the gateway serves.
const root = "/v1/entities"

// catalog knows the types that can be reached and what they answer.
type catalog struct {
	types map[string]*served
	names []string // sorted
	index *apiv1.Index
}

// served is one type.
type served struct {
	commands map[string]entity.CommandInfo // by short and by full name
	names    []string                      // short ones, in order
	index    *apiv1.Index
	// commonReply makes the message that all commands reply with; nil if they differ.
	commonReply func() proto.Message
}

func newCatalog(types []entity.Definition) (catalog, error) {
	c := catalog{types: map[string]*served{}, index: &apiv1.Index{}}
	for i, def := range types {
		if def == nil {
			return c, fmt.Errorf("gateway: Config.Types[%d] is nil", i)
		}
		if c.types[def.Name()] != nil {
			return c, fmt.Errorf("gateway: Config.Types names %q twice", def.Name())
		}
		s := &served{commands: map[string]entity.CommandInfo{}}
		for _, info := range open(def) {
			s.commands[info.Short], s.commands[info.Name] = info, info
			s.names = append(s.names, info.Short)
		}
		s.commonReply = commonReply(def)
		described := describe(def)
		s.index = &apiv1.Index{Types: []*apiv1.EntityType{described}}
		c.types[def.Name()] = s
		c.names = append(c.names, def.Name())
		c.index.Types = append(c.index.Types, described)
	}
	slices.Sort(c.names)
	return c, nil
}

// open returns the commands of a type that anybody may send: those that only
// timers send are as good as unknown.
func open(def entity.Definition) []entity.CommandInfo {
	return slices.DeleteFunc(slices.Clone(def.Commands()), func(c entity.CommandInfo) bool { return c.TimerOnly })
}

// commonReply makes the message that all commands of a type reply with; nil if they differ. Queries do not
// count: their answers are not stored.
func commonReply(def entity.Definition) (reply func() proto.Message) {
	var name protoreflect.FullName
	for _, info := range open(def) {
		if info.Query {
			continue
		}
		other := info.NewReply().ProtoReflect().Descriptor().FullName()
		if reply != nil && other != name {
			return nil
		}
		name, reply = other, info.NewReply
	}
	return reply
}

// target is where a request goes: to a command of an entity, or to an index.
type target struct {
	typ, id string // id is empty where the service makes it
	command entity.CommandInfo
	index   proto.Message
	key     string // of the command whose answer is asked for
	served  *served
}

// route finds the target of a path, as it came: still escaped, so that an id
// may hold slashes. The two forms that send commands differ in their number of segments.
func (c *catalog) route(method, escaped string) (t target, err error) {
	rest, ok := strings.CutPrefix(escaped, root)
	if !ok || (rest != "" && rest[0] != '/') {
		return t, refuse(http.StatusNotFound, codeNotFound, "nothing is at this path").
			remedied("See GET " + root + " for what there is.")
	}
	if rest == "" || rest == "/" {
		t.index = c.index
		return t, allow(method, "a list", http.MethodGet, http.MethodHead)
	}
	segments, err := unescape(strings.Split(rest[1:], "/"))
	if err != nil {
		return t, err
	}
	s, err := c.typeNamed(segments[0])
	if err != nil {
		return t, err
	}
	t.typ, t.served = segments[0], s
	switch len(segments) {
	case 1:
		t.index = s.index
		return t, allow(method, "a list", http.MethodGet, http.MethodHead)
	case 2:
		return s.create(method, t, segments[1])
	case 3:
		return s.ask(method, t, segments[1], segments[2])
	case 4:
		if segments[2] == replies {
			return s.reply(method, t, segments[1], segments[3])
		}
	}
	return t, refuse(http.StatusNotFound, codeNotFound, "the path has %d parts behind %s; a command has at most 3: type, id, command; an answer has 4: type, id, replies, key", len(segments), root).
		remedied("Write a slash within an id as %2F.")
}

func unescape(segments []string) ([]string, error) {
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, malformed("the path's part %q: %v", s, err)
		}
		segments[i] = plain
	}
	return segments, nil
}

func (c *catalog) typeNamed(name string) (*served, error) {
	if s := c.types[name]; s != nil {
		return s, nil
	}
	p := refuse(http.StatusNotFound, codeUnknownType, "this service serves no type %s", quoted(name)).
		remedied("Use one of the types in known, or see GET " + root + ".")
	p.body.Known = c.names
	return nil, p
}

func (s *served) named(typ, name string) (entity.CommandInfo, error) {
	if info, ok := s.commands[name]; ok {
		return info, nil
	}
	p := refuse(http.StatusNotFound, codeUnknownCommand, "type %q answers no %s", typ, quoted(name)).
		remedied("Use one of the commands in known, at " + root + "/" + url.PathEscape(typ) + "/{id}/{command}.")
	p.body.Known = s.names
	return entity.CommandInfo{}, p
}

// create is a command to an entity whose id the service makes.
func (s *served) create(method string, t target, command string) (_ target, err error) {
	if t.command, err = s.named(t.typ, command); err != nil {
		return t, err
	}
	if t.command.Query {
		return t, malformed("the query %s needs the id of an entity", t.command.Short).
			remedied("Ask " + root + "/" + url.PathEscape(t.typ) + "/{id}/" + t.command.Short + ".")
	}
	return t, allow(method, "the command "+t.command.Short, http.MethodPost)
}

// replies is the part of a path below which answers are asked for.
const replies = "replies"

// reply is the answer to an earlier command.
func (s *served) reply(method string, t target, id, key string) (target, error) {
	if wrong := wrongKey(key); wrong != "" {
		return t, malformed("the last part of the path is no key: %s", wrong).
			remedied("Give the " + headerKey + " of the command, with a slash written as %2F.")
	}
	if id == "" {
		return t, malformed("the id is empty").remedied("Name the entity in the path.")
	}
	t.id, t.key = id, key
	return t, allow(method, "an answer", http.MethodGet, http.MethodHead)
}

// ask is a command or query to an entity that the path names.
func (s *served) ask(method string, t target, id, command string) (_ target, err error) {
	if t.command, err = s.named(t.typ, command); err != nil {
		return t, err
	}
	if t.id = id; id == "" {
		return t, malformed("the id is empty").
			remedied("Name the entity in the path, or leave the part out to have the service make an id.")
	}
	if t.command.Query {
		return t, allow(method, "the query "+t.command.Short, http.MethodGet, http.MethodHead, http.MethodPost)
	}
	return t, allow(method, "the command "+t.command.Short, http.MethodPost)
}

// allow refuses methods that are not among those allowed.
func allow(method, what string, allowed ...string) error {
	if slices.Contains(allowed, method) {
		return nil
	}
	list := strings.Join(allowed, ", ")
	p := refuse(http.StatusMethodNotAllowed, codeMethod, "%s cannot be asked by %s", what, quoted(method)).
		remedied("Use " + list + ".")
	p.allow = list
	return p
}

// makeID returns the id of a new entity: the same one for the same key of the
// same principal, so that a repeat reaches the entity that the first try made. Another command
// with that key reaches it too, and is refused there. Without a key it is random.
func makeID(typ, principal, key string) string {
	var id [16]byte
	if key == "" {
		_, _ = rand.Read(id[:]) // never fails
	} else {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%d:%s%s", len(typ), typ, len(principal), principal, key))
		copy(id[:], sum[:])
	}
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

// quoted shows what a client sent, without control characters and not at length.
func quoted(text string) string {
	const most = 80
	if len(text) <= most {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q… (%d bytes)", strings.ToValidUTF8(text[:most], ""), len(text))
}
