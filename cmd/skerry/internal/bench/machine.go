package bench

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine tells on what a figure was measured.
type Machine struct {
	CPUs int `json:"cpus"`
	// LoadAverage is the system's over 1, 5 and 15 minutes; empty where it tells none.
	LoadAverage string `json:"load_average"`
	// Revision is the program's commit; empty if it was built without.
	Revision string `json:"revision"`
}

// ThisMachine looks at the machine now.
func ThisMachine() Machine {
	return Machine{CPUs: runtime.GOMAXPROCS(0), LoadAverage: loadAverage(), Revision: revision()}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func revision() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
