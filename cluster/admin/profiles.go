package admin

import (
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"slices"

	"github.com/skerryhq/skerry/entity/gateway"
)

// Profiles shows pprof's profiles: go tool pprof http://ADDR/admin/v1/profiles/heap.
// A CPU profile takes as long as its parameter seconds says.
func Profiles() Section { return profiles{} }

type profiles struct{}

func (profiles) Name() string { return "profiles" }

func (profiles) Paths() []string { return []string{"profiles/{name}?seconds={n}"} }

func (profiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, args, err := split(r)
	if err != nil {
		gateway.WriteError(w, err)
		return
	}
	var name string
	if len(args) == 1 {
		name = args[0]
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		gateway.WriteError(w, gateway.MethodNotAllowed(r.Method))
	case name == "cpu":
		pprof.Profile(w, r)
	case name == "trace":
		pprof.Trace(w, r)
	case runtimepprof.Lookup(name) != nil:
		pprof.Handler(name).ServeHTTP(w, r)
	default:
		gateway.WriteError(w, gateway.NotFound(profileNames(), "there is no profile %q", name))
	}
}

func profileNames() []string {
	names := []string{"cpu", "trace"}
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name())
	}
	slices.Sort(names)
	return names
}
