package admin

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/skerryhq/skerry/entity/gateway"
	apiv1 "github.com/skerryhq/skerry/proto/skerry/api/v1"
)

// Lister is a node that knows where the service answers, such as a cluster.Node.
type Lister interface {
	Endpoints(ctx context.Context) ([]string, error)
}

// Endpoints tells callers where the service answers, as JSON (skerry.api.v1.Endpoints): mount it at /v1/endpoints, where
// breaker/service.Members looks for it, of the listener that callers reach.
func Endpoints(of Lister) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			gateway.WriteError(w, gateway.MethodNotAllowed(r.Method))
			return
		}
		found, err := of.Endpoints(r.Context())
		if err != nil {
			gateway.WriteError(w, err)
			return
		}
		body, err := protojson.Marshal(&apiv1.Endpoints{Addresses: found})
		if err != nil {
			gateway.WriteError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(body, '\n'))
	})
}
