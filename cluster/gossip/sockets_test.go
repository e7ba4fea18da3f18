package gossip

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/hashicorp/memberlist"
)

// The system gives a port that is free for streams, and a program may have it for packets.
func TestAFreePortThatIsTakenForPacketsIsTriedAgainWithAnother(t *testing.T) {
	t.Parallel()
	taken := fmt.Errorf("failed to start UDP listener: %v", syscall.EADDRINUSE) //nolint:errorlint // as memberlist does
	for _, test := range []struct {
		name        string
		port, fails int
		err         error
		tries       int
	}{
		{"any port, taken twice", 0, 2, taken, 3},
		{"any port, always taken", 0, 1000, taken, portTries},
		{"a port that was asked for", 7946, 1000, taken, 1},
		{"another failure", 0, 1000, errors.New("no such address"), 1},
	} {
		tries := 0
		_, err := open(test.port, func() (*memberlist.NetTransport, error) {
			if tries++; tries <= test.fails {
				return nil, test.err
			}
			return &memberlist.NetTransport{}, nil
		})
		if tries != test.tries || (err == nil) != (test.fails < test.tries) {
			t.Errorf("%s: %d tries, want %d: %v", test.name, tries, test.tries, err)
		}
	}
}
