package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is what -json prints.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	System   string `json:"system"`
}

func prepareVersion(flags *flag.FlagSet, t terminal) action {
	asJSON := jsonFlag(flags)
	return func(context.Context, []string) error {
		v := thisVersion()
		if *asJSON {
			return printJSON(t.out, v)
		}
		_, err := fmt.Fprintf(t.out, "skerry %s %s %s %s\n", v.Version, v.Revision, v.Go, v.System)
		return err
	}
}

func thisVersion() version {
	v := version{Version: "(devel)", Revision: "(unknown)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func jsonFlag(flags *flag.FlagSet) *bool {
	return flags.Bool("json", false, "print JSON instead of a table")
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
