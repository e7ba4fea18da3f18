package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/skerryhq/skerry/entity"
)

// Config says what a gateway serves. Caller and Types are required; a zero field
// means the default that its comment gives.
type Config struct {
	// Caller delivers the commands.
	Caller entity.Caller
	// Types are those that can be reached; others are answered 404.
	Types []entity.Definition
	// Services are those of protobuf that are served over gRPC, gRPC-Web and Connect. Each
	// rpc takes a command or query, and gives its reply, of one of Types. Default: none.
	Services []protoreflect.ServiceDescriptor
	// Principal tells who sends a request; its error is answered 401. Default: nobody is named.
	Principal func(*http.Request) (string, error)
	// Logger default: slog.Default().
	Logger *slog.Logger

	// MaxBodyBytes limits a request's body. Default 1 MiB.
	MaxBodyBytes int
	// MaxRequests bounds the requests that wait for their answer, MaxRequestBytes the bodies
	// of all requests together. Default 4,096 and 64 MiB. Beyond, callers are answered 429.
	MaxRequests     int
	MaxRequestBytes int
	// Timeout is a command's when the request names none. Default 5 s. Requests may
	// name up to [MaxTimeout].
	Timeout time.Duration
	// CrossOrigin decides which pages in browsers may send commands. Default: only pages of this server.
	CrossOrigin *http.CrossOriginProtection
}

// MaxTimeout is the longest that a command may take; longer wishes are cut to it.
const MaxTimeout = 60 * time.Second

const (
	defaultBodyBytes    = 1 << 20
	defaultRequests     = 4096
	defaultRequestBytes = 64 << 20
	defaultTimeout      = 5 * time.Second
)

// withDefaults returns the config with defaults filled in, or all that is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Principal == nil {
		c.Principal = func(*http.Request) (string, error) { return "", nil }
	}
	if c.CrossOrigin == nil {
		c.CrossOrigin = http.NewCrossOriginProtection()
	}
	c.MaxBodyBytes = orDefault(c.MaxBodyBytes, defaultBodyBytes)
	c.MaxRequests = orDefault(c.MaxRequests, defaultRequests)
	c.MaxRequestBytes = orDefault(c.MaxRequestBytes, max(defaultRequestBytes, c.MaxBodyBytes))
	c.Timeout = orDefault(c.Timeout, defaultTimeout)
	return c, c.check()
}

func (c Config) check() error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf("gateway: "+format, args...)) }
	if c.Caller == nil {
		fail("Config.Caller is nil: give an entity.Host or another entity.Caller")
	}
	if len(c.Types) == 0 {
		fail("Config.Types is empty: give the types that can be reached")
	}
	if c.MaxBodyBytes < 0 {
		fail("Config.MaxBodyBytes is %d: it must be positive", c.MaxBodyBytes)
	}
	if c.MaxRequests < 0 {
		fail("Config.MaxRequests is %d: it must be positive", c.MaxRequests)
	}
	if c.MaxRequestBytes < c.MaxBodyBytes {
		fail("Config.MaxRequestBytes is %d: it must be at least MaxBodyBytes, %d", c.MaxRequestBytes, c.MaxBodyBytes)
	}
	if c.Timeout < 0 || c.Timeout > MaxTimeout {
		fail("Config.Timeout is %v: it must be between 0 and %v", c.Timeout, MaxTimeout)
	}
	return errors.Join(wrong...)
}

func orDefault[N int | time.Duration](n, otherwise N) N {
	if n == 0 {
		return otherwise
	}
	return n
}
