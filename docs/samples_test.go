package docs_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v2"
)

// object is a part of a manifest.
type object map[string]any

// at follows a path of keys; what is not there is nil.
func (o object) at(path ...string) any {
	var now any = o
	for _, key := range path {
		switch here := now.(type) {
		case object:
			now = here[key]
		case map[any]any:
			now = here[key]
		default:
			return nil
		}
	}
	return now
}

// list is the objects of a list.
func (o object) list(path ...string) (all []object) {
	items, _ := o.at(path...).([]any)
	for _, item := range items {
		m, _ := item.(map[any]any)
		x := object{}
		for k, v := range m {
			x[k.(string)] = v
		}
		all = append(all, x)
	}
	return all
}

func manifest(t *testing.T, file string) map[string][]object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string][]object{}
	for reader := yaml.NewDecoder(bytes.NewReader(text)); ; {
		reader.SetStrict(true) // a key twice is an error
		var o object
		err := reader.Decode(&o)
		if errors.Is(err, io.EOF) {
			return kinds
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		kind, _ := o.at("kind").(string)
		if kind == "" || o.at("apiVersion") == nil || o.at("metadata", "name") == nil {
			t.Errorf("%s: an object without kind, apiVersion or name: %v", file, o)
		}
		kinds[kind] = append(kinds[kind], o)
	}
}

// auctionSettings are the flags of the sample.
func auctionSettings(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`fs\.\w+Var\([^,]+, "([a-z-]+)"`).FindAllStringSubmatch(sourceOf(t, "../cmd/auction"), -1) {
		all[m[1]] = true
	}
	if len(all) < 10 {
		t.Fatalf("only %d settings were found in cmd/auction", len(all))
	}
	return all
}

func TestKubernetesSampleFitsTogether(t *testing.T) {
	t.Parallel()
	kinds := manifest(t, "samples/kubernetes/auction.yaml")
	for _, kind := range []string{"Service", "PodDisruptionBudget", "NetworkPolicy", "StatefulSet"} {
		if len(kinds[kind]) == 0 {
			t.Fatalf("there is no %s; kinds: %v", kind, slices.Sorted(maps.Keys(kinds)))
		}
	}
	set := kinds["StatefulSet"][0]
	names := map[any]object{}
	for _, s := range kinds["Service"] {
		names[s.at("metadata", "name")] = s
	}
	service, ok := names[set.at("spec", "serviceName")]
	if !ok || service.at("spec", "clusterIP") != "None" || service.at("spec", "publishNotReadyAddresses") != true {
		t.Errorf("the StatefulSet's service is %v: it must give names, also to pods that are not ready", service)
	}
	pod := object{"spec": set.at("spec", "template", "spec")}
	container := pod.list("spec", "containers")[0]
	env := map[string]string{}
	for _, e := range container.list("env") {
		value, _ := e["value"].(string)
		env[e["name"].(string)] = value
	}
	known := auctionSettings(t)
	for name := range env {
		flag, ours := strings.CutPrefix(name, "AUCTION_")
		if flag = strings.ReplaceAll(strings.ToLower(flag), "_", "-"); ours && !known[flag] {
			t.Errorf("%s is no setting of the sample", name)
		}
	}
	if got, want := len(strings.Split(env["AUCTION_JOIN"], ",")), set.at("spec", "replicas"); got != want {
		t.Errorf("%d nodes are to be joined, %v run", got, want)
	}
	drain, err := time.ParseDuration(env["AUCTION_DRAIN"])
	pause, _ := container.at("lifecycle", "preStop", "sleep", "seconds").(int)
	grace, _ := pod.at("spec", "terminationGracePeriodSeconds").(int)
	if err != nil || drain+time.Duration(pause)*time.Second >= time.Duration(grace)*time.Second {
		t.Errorf("a drain of %v (%v) after %d s does not end within %d s", drain, err, pause, grace)
	}
	checkMounts(t, pod, container)
	checkProbes(t, container)
}

// checkMounts wants each file of the settings to be below what is mounted.
func checkMounts(t *testing.T, pod, container object) {
	t.Helper()
	volumes := map[any]bool{}
	for _, v := range pod.list("spec", "volumes") {
		volumes[v["name"]] = true
	}
	var mounted []string
	for _, m := range container.list("volumeMounts") {
		if !volumes[m["name"]] || m["subPath"] != nil {
			t.Errorf("%v is mounted: there is no such volume, or only a part of it that never changes", m)
		}
		mounted = append(mounted, m["mountPath"].(string))
	}
	for _, e := range container.list("env") {
		value, _ := e["value"].(string)
		if strings.HasPrefix(value, "/") && !slices.ContainsFunc(mounted, func(dir string) bool { return strings.HasPrefix(value, dir) }) {
			t.Errorf("%v is %s, where nothing is mounted", e["name"], value)
		}
	}
}

func checkProbes(t *testing.T, container object) {
	t.Helper()
	ports := map[any]bool{}
	for _, p := range container.list("ports") {
		ports[p["name"]] = true
	}
	for probe, path := range map[string]string{"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"} {
		if got := container.at(probe, "httpGet", "path"); got != path || !ports[container.at(probe, "httpGet", "port")] {
			t.Errorf("%s asks %v, want %s at a port of the container", probe, container.at(probe), path)
		}
	}
}

func TestSystemdSampleIsTaken(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("samples/systemd/auction.service")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("samples/systemd/auction.conf")
	if err != nil {
		t.Fatal(err)
	}
	known := auctionSettings(t)
	for line := range strings.Lines(string(settings)) {
		name, _, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "#") || name == "" {
			continue
		}
		if !ok || !known[name] {
			t.Errorf("auction.conf has %q, which is no setting of the sample", strings.TrimSpace(line))
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("there is no systemd-analyze here: the unit is not verified")
	}
	copied := filepath.Join(t.TempDir(), "auction.service")
	there := strings.Replace(string(unit), "/usr/local/bin/auction", "/bin/true", 1) // the program is not installed here
	if err := os.WriteFile(copied, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", copied).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
