package admin

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"

	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// ReadSide is what operators see of a node's processors, and their verbs: a
// readside.Runner, or a [Client] of one far away.
type ReadSide interface {
	Status(ctx context.Context) (*adminv1.Processors, error)
	// Parked lists the entities whose events wait behind a command that failed.
	Parked(ctx context.Context, processor string) (*adminv1.ParkedEntities, error)
	// Retry handles the parked events of an entity and returns when they are committed.
	Retry(ctx context.Context, processor, entityType, entityID string) error
	// Pause holds a processor until Resume, or until the process ends.
	Pause(ctx context.Context, processor string) error
	Resume(ctx context.Context, processor string) error
}

// Processors shows the processors of a node and takes verbs on them. A verb is a POST, which
// a page of another origin cannot send through an operator's browser.
func Processors(of ReadSide) Section {
	return &processors{of, http.NewCrossOriginProtection()}
}

type processors struct {
	of    ReadSide
	guard *http.CrossOriginProtection
}

func (*processors) Name() string { return "processors" }

func (*processors) Paths() []string {
	return []string{
		"processors", "processors/{name}/parked",
		"processors/{name}/retry/{type}/{id}", "processors/{name}/pause", "processors/{name}/resume",
	}
}

func (p *processors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, args, err := split(r)
	switch {
	case err != nil:
		gateway.WriteError(w, err)
	case len(args) == 0:
		status, err := p.of.Status(r.Context())
		show(w, r, status, err)
	case len(args) == 2 && args[1] == "parked":
		parked, err := p.of.Parked(r.Context(), args[0])
		show(w, r, parked, err)
	case len(args) == 4 && args[1] == "retry":
		p.verb(w, r, func() error { return p.of.Retry(r.Context(), args[0], args[2], args[3]) })
	case len(args) == 2 && args[1] == "pause":
		p.verb(w, r, func() error { return p.of.Pause(r.Context(), args[0]) })
	case len(args) == 2 && args[1] == "resume":
		p.verb(w, r, func() error { return p.of.Resume(r.Context(), args[0]) })
	default:
		gateway.WriteError(w, gateway.NotFound(p.Paths(), "nothing is at this path; a slash within an id is written %%2F"))
	}
}

// verb does what was asked for and answers with the state of all processors.
func (p *processors) verb(w http.ResponseWriter, r *http.Request, do func() error) {
	if r.Method != http.MethodPost {
		gateway.WriteError(w, gateway.MethodNotAllowed(r.Method, http.MethodPost))
		return
	}
	if err := p.guard.Check(r); err != nil {
		gateway.WriteError(w, &entity.Rejection{Code: "skerry/cross-origin", Message: err.Error()})
		return
	}
	if err := do(); err != nil {
		gateway.WriteError(w, err)
		return
	}
	answer(w, r, p.of.Status)
}

func answer[M proto.Message](w http.ResponseWriter, r *http.Request, ask func(context.Context) (M, error)) {
	msg, err := ask(r.Context())
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	gateway.WriteMessage(w, msg)
}
