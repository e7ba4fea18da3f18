package launch

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed files
var files embed.FS

var templates = template.Must(template.ParseFS(files, "files/*"))

// layout is what the configuration files of one node are filled with.
type layout struct {
	Config
	Dir         string
	IP          string
	StoragePort int
	Seeds       string
	DataCenter  string
	Rack        string
	// Key and CA are PEM files, empty without TLS.
	Key, CA string
}

// write writes the node's configuration.
func (l layout) write() error {
	conf := filepath.Join(l.Dir, "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	for _, t := range templates.Templates() {
		f, err := os.Create(filepath.Join(conf, t.Name()))
		if err != nil {
			return fmt.Errorf("launch: %w", err)
		}
		err = t.Execute(f, l)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("launch: write %s: %w", t.Name(), err)
		}
	}
	return nil
}
