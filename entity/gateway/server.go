package gateway

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of [Server].
const (
	headerPatience = 5 * time.Second
	bodyPatience   = 30 * time.Second
	// answerPatience is longer than any command may take.
	answerPatience = bodyPatience + MaxTimeout + 10*time.Second
	idlePatience   = 2 * time.Minute
	// maxHeaderBytes has room for an id of 10 kB in the path with each byte escaped.
	maxHeaderBytes = 64 << 10
)

// Server returns a server with limits on all that a client sends and on the time that it
// takes. It serves HTTP/1.1 and, to clients that begin with it, HTTP/2 without TLS. The caller
// gives it a listener and shuts it down, before it stops what the handler calls.
func Server(h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: headerPatience,
		ReadTimeout:       bodyPatience,
		WriteTimeout:      answerPatience,
		IdleTimeout:       idlePatience,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
