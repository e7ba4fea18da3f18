package bench

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestTheTimeOfAProcessIsReadBehindItsName(t *testing.T) {
	t.Parallel()
	stat := "4711 (a) 1 2 (name) S 1 4711 4711 0 -1 4194560 100 0 5 0 250 50 7 8 20 0 90 0 1234 5678 910\n"
	got, err := parseProcessTime([]byte(stat))
	if err != nil || got != 3*time.Second {
		t.Errorf("%v, %v; want the 250 and 50 hundredths of a second", got, err)
	}
	for _, bad := range []string{"", "4711 (name) S 1", "4711 (name) S 1 2 3 4 5 6 7 8 9 10 x y z"} {
		if got, err := parseProcessTime([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestTheTimeOfThisProcessIsKnownOnLinux(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc here")
	}
	if _, err := processTime(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := processTime(1 << 30); err == nil {
		t.Error("a process that does not exist has a time")
	}
}
