package admin_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
	adminv1 "github.com/skerryhq/skerry/proto/skerry/admin/v1"
)

// prober is a node that is as it is.
type prober entity.Health

func (p prober) Health(context.Context) entity.Health { return entity.Health(p) }

func probe(t *testing.T, h http.Handler, path string) (int, *adminv1.Health) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	var m adminv1.Health
	if err := protojson.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("%s is answered %d %s: %v", path, w.Code, w.Body, err)
	}
	if m.GetOk() != (w.Code == http.StatusOK) {
		t.Errorf("%s is answered %d with %v", path, w.Code, &m)
	}
	return w.Code, &m
}

func TestProbesFailByWhatIsOwedTooLong(t *testing.T) {
	t.Parallel()
	long := entity.Wait{Age: time.Hour, Of: "shard 3", Reason: "it is away"}
	short := entity.Wait{Age: time.Second}
	for name, test := range map[string]struct {
		is          entity.Health
		live, ready []string // the checks that fail
	}{
		"idle":                  {is: entity.Health{Shards: 4}},
		"busy":                  {is: entity.Health{Stuck: short, Command: short, Handler: short, Unflushed: short, Journal: short}},
		"stuck":                 {is: entity.Health{Stuck: long}, live: []string{"stuck"}, ready: []string{"stuck"}},
		"without its journal":   {is: entity.Health{Journal: long, Command: long}, ready: []string{"command", "journal"}},
		"behind with pages":     {is: entity.Health{Unflushed: long}, ready: []string{"unflushed"}},
		"with a handler hangs":  {is: entity.Health{Handler: long}, ready: []string{"handler"}},
		"leaving":               {is: entity.Health{Unready: []string{"the node is leaving"}}, ready: []string{"ready"}},
		"starting, and no rows": {is: entity.Health{Unready: []string{"a", "b"}}, ready: []string{"ready", "ready"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := admin.Health(prober(test.is), admin.HealthConfig{})
			for path, want := range map[string][]string{"/livez": test.live, "/readyz": test.ready} {
				if _, got := probe(t, h, path); !slices.Equal(got.GetFailing(), want) {
					t.Errorf("%s fails by %v, want %v", path, got.GetFailing(), want)
				}
			}
		})
	}
}

func TestProbesTellWhereAndWhyButNotToClients(t *testing.T) {
	t.Parallel()
	is := prober{Journal: entity.Wait{Age: 7 * time.Second, Of: "shard 3", Reason: "10.0.0.7 is away"}}
	_, got := probe(t, admin.Health(is, admin.HealthConfig{}), "/readyz")
	i := slices.IndexFunc(got.GetChecks(), func(c *adminv1.Check) bool { return c.GetName() == "journal" })
	if c := got.GetChecks()[i]; c.GetOf() != "shard 3" || c.GetReason() != "10.0.0.7 is away" || c.GetAgeMs() != 7000 || c.GetLimitMs() != 5000 {
		t.Errorf("the check is told as %v", c)
	}
	_, got = probe(t, admin.Health(is, admin.HealthConfig{Terse: true}), "/readyz")
	if len(got.GetChecks()) != 0 || !slices.Equal(got.GetFailing(), []string{"journal"}) {
		t.Errorf("clients are told %v", got)
	}
	if code, _ := probe(t, admin.Health(is, admin.HealthConfig{JournalLimit: time.Minute}), "/readyz"); code != http.StatusOK {
		t.Errorf("with another limit it is answered %d", code)
	}
}

func TestProbesAnswerNothingElse(t *testing.T) {
	t.Parallel()
	h := admin.Health(prober{}, admin.HealthConfig{})
	for line, want := range map[string]int{"GET /": 404, "GET /livez/x": 404, "POST /livez": 405, "HEAD /readyz": 200} {
		method, path, _ := strings.Cut(line, " ")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, path, http.NoBody))
		if w.Code != want {
			t.Errorf("%s is answered %d, want %d", line, w.Code, want)
		}
	}
}

// away is a journal in memory that can be made to answer nothing.
type away struct {
	*journal.Memory
	mu   sync.Mutex
	gate chan struct{}
}

func (j *away) set(on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if on {
		j.gate = make(chan struct{})
		return
	}
	close(j.gate)
	j.gate = nil
}

// Tail implements journal.Journal.
func (j *away) Tail(ctx context.Context, shard uint32, number uint64) (journal.Slot, error) {
	j.mu.Lock()
	gate := j.gate
	j.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return journal.Slot{}, ctx.Err()
		}
	}
	return j.Memory.Tail(ctx, shard, number)
}

// A single node that nobody asks anything notices all the same that its journal has gone, and that it is back.
func TestIdleNodeIsReadyUntilItsJournalGoesAndAgainAfterwards(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	j := &away{Memory: journal.NewMemory()}
	nothing := entity.Define[int64]("nothing", entity.On(func(int64, entity.Command[*emptypb.Empty]) (entity.Effect, *emptypb.Empty, error) {
		return entity.None, &emptypb.Empty{}, nil
	}))
	host, err := entity.Start(t.Context(), entity.Config{
		Journal: j, Types: []entity.Definition{nothing}, Shards: 4, Logger: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Stop(context.WithoutCancel(t.Context())) }()
	h := admin.Health(host, admin.HealthConfig{})
	becomes := func(path string, code int) {
		t.Helper()
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if got, _ := probe(t, h, path); got == code {
				return
			}
			clock.Add(int64(time.Second)) // the next probe
		}
		t.Fatalf("%s never answers %d", path, code)
	}
	for range 100 {
		clock.Add(int64(10 * time.Second))
		becomes("/readyz", http.StatusOK)
	}
	j.set(true)
	becomes("/readyz", http.StatusServiceUnavailable)
	becomes("/livez", http.StatusOK) // it is not to be restarted
	j.set(false)
	becomes("/readyz", http.StatusOK)
}
