package admin

import (
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// Runtime shows the process: which program it is, its age and its memory.
func Runtime(program string) Section {
	p := &process{program: program, started: time.Now()}
	p.version, p.revision = build()
	return p
}

type process struct {
	program, version, revision string
	started                    time.Time
}

func (*process) Name() string { return "runtime" }

func (*process) Paths() []string { return []string{"runtime"} }

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	show(w, r, &adminv1.Runtime{
		Program: p.program, Version: p.version, Revision: p.revision, GoVersion: runtime.Version(),
		Pid: int64(os.Getpid()), Started: toTimestamp(p.started), UptimeSeconds: int64(time.Since(p.started).Seconds()),
		Cpus: int64(runtime.GOMAXPROCS(0)), Goroutines: int64(runtime.NumGoroutine()),
		HeapBytes: int64(m.HeapAlloc), HeapObjects: int64(m.HeapObjects), SystemBytes: int64(m.Sys), Collections: int64(m.NumGC),
	}, nil)
}

func build() (version, revision string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return info.Main.Version, revision
}
