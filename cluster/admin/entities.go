package admin

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
)

// Inspector looks into a node: an [entity.Host], or a [Client] of one far away.
type Inspector interface {
	Shards(ctx context.Context) ([]entity.ShardInfo, error)
	Inspect(ctx context.Context, typ, id string, at *uint64) (*entity.EntityInfo, error)
}

// Entities shows the shards and the entities of a node.
func Entities(of Inspector) Section { return &entities{of} }

type entities struct{ of Inspector }

func (*entities) Name() string { return "entities" }

func (*entities) Paths() []string { return []string{"shards", "entities/{type}/{id}?at={version}"} }

func (e *entities) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	word, args, err := split(r)
	switch {
	case err != nil:
		gateway.WriteError(w, err)
	case word == "shards" && len(args) == 0:
		infos, err := e.of.Shards(r.Context())
		show(w, r, shardsToWire(infos), err)
	case word == "entities" && len(args) == 2:
		e.entity(w, r, args[0], args[1])
	default:
		gateway.WriteError(w, gateway.NotFound(e.Paths(), "nothing is at this path; a slash within an id is written %%2F"))
	}
}

func (e *entities) entity(w http.ResponseWriter, r *http.Request, typ, id string) {
	at, err := version(r)
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	info, err := e.of.Inspect(r.Context(), typ, id, at)
	var moved *entity.MovedError
	if errors.As(err, &moved) {
		err = &entity.Error{Kind: entity.ErrUnavailable, Reason: moved.Error() + ": ask that node"}
	}
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	show(w, r, entityToWire(info), nil)
}

// version reads the parameter at; nil is the newest one.
func version(r *http.Request) (*uint64, error) {
	text := r.URL.Query().Get("at")
	if text == "" {
		return nil, nil
	}
	at, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil, malformed("at=%s is no version: give a number from 0 to the entity's newest version", text)
	}
	return &at, nil
}

// show writes a message, or the error instead.
func show(w http.ResponseWriter, r *http.Request, msg proto.Message, err error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		gateway.WriteError(w, gateway.MethodNotAllowed(r.Method))
	case err != nil:
		gateway.WriteError(w, err)
	default:
		gateway.WriteMessage(w, msg)
	}
}
