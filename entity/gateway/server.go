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
	// maxHeaderBytes has room for a token of 4,096 shards, twice: in the URL of a stream and as its Last-Event-ID.
	maxHeaderBytes = 192 << 10
)

// Limits of one connection of HTTP/2.
const (
	// maxStreams bounds the requests at a time; a client with more opens another connection.
	maxStreams = 1000
	// What a client may send before it is read, on all streams and on one.
	connectionBuffer = 1 << 20
	streamBuffer     = 256 << 10
	// A silent connection is asked whether it is alive, and closed if it does not answer.
	silenceAllowed, pingAllowed = 15 * time.Second, 10 * time.Second
	// writePatience ends a connection whose client reads nothing.
	writePatience = 30 * time.Second
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
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: connectionBuffer, MaxReceiveBufferPerStream: streamBuffer,
			SendPingTimeout: silenceAllowed, PingTimeout: pingAllowed, WriteByteTimeout: writePatience,
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
