package transport_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/cluster/transport/transporttest"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		beChild()
		return
	}
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func TestTCPKeepsTheContract(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(*testing.T) transporttest.Suite { return transporttest.Suite{Start: listen} })
}

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(*testing.T) transporttest.Suite { return transporttest.Suite{Start: inMemory()} })
}

func TestMemoryKeepsTheContractInFakeTime(t *testing.T) {
	t.Parallel()
	transporttest.Run(t, func(*testing.T) transporttest.Suite { return transporttest.Suite{Start: inMemory(), FakeTime: true} })
}

func listen(t *testing.T, cfg transport.Config) transport.Transport {
	t.Helper()
	n, err := transport.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// inMemory starts nodes of one network.
func inMemory() func(t *testing.T, cfg transport.Config) transport.Transport {
	var m *transport.Memory
	return func(t *testing.T, cfg transport.Config) transport.Transport {
		t.Helper()
		if m == nil { // made in the bubble, if there is one
			m = transport.NewMemory()
		}
		n, err := m.Listen(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}
