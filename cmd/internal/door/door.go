package door

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/skerryhq/skerry/entity/gateway"
)

// Door is one listener and what answers behind it.
type Door struct {
	url     string
	http    *http.Server
	serving sync.WaitGroup
}

// Open listens; port 0 picks one. broken gets an error if the door stops answering by itself; it needs room for one.
func Open(addr string, h http.Handler, log *slog.Logger, broken chan<- error) (*Door, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	d := &Door{url: "http://" + listener.Addr().String(), http: gateway.Server(h, log)}
	d.serving.Go(func() {
		if err := d.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			broken <- fmt.Errorf("%s no longer answers: %w", d.url, err)
		}
	})
	return d, nil
}

// URL is where the door can be reached.
func (d *Door) URL() string { return d.url }

// Close stops listening and waits for the requests under way; those that
// are not answered when ctx ends are cut off.
func (d *Door) Close(ctx context.Context) error {
	err := d.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests to %s were cut off: %w", d.url, err), d.http.Close())
	}
	d.serving.Wait()
	return err
}

// Check takes loopback addresses only, unless told otherwise. An address without a host, such as :0, is one.
func Check(addr string, beyondLoopback bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%w: write it like 127.0.0.1:8080", err)
	}
	ip := net.ParseIP(host)
	if host == "" || host == "localhost" || ip != nil && ip.IsLoopback() || beyondLoopback {
		return nil
	}
	return errors.New("other machines could reach it, and nobody is asked who they are: use 127.0.0.1, or say -listen-beyond-loopback if that is what you want")
}

// WithHost makes :8080 mean this machine only.
func WithHost(addr string) string {
	if strings.HasPrefix(addr, ":") {
		return "127.0.0.1" + addr
	}
	return addr
}
