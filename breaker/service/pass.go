package service

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// The headers that are passed on, as the gateways of entities read them.
const (
	headerKey     = "Idempotency-Key"
	headerTimeout = "Skerry-Timeout"
	headerTrace   = "Traceparent"
)

type contextKey int

const (
	keyKey contextKey = iota
	traceKey
	methodKey
)

// WithKey gives a request the key of its command. With it, the request may be sent again.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey, key)
}

// WithTrace gives a request the W3C trace that it is part of.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey, traceparent)
}

// WithMethod names the method that a request calls, and with it the breaker, where the URL does not tell.
func WithMethod(ctx context.Context, method string) context.Context {
	return context.WithValue(ctx, methodKey, method)
}

// MethodOf is the method that a request calls: what WithMethod said; the last part of a path that names one, as
// those of Connect and gRPC (/package.Service/Method) and of entities (/v1/entities/TYPE/ID/METHOD or
// /v1/entities/TYPE/METHOD) do; and of any other path, the verb, so that no id becomes a breaker.
func MethodOf(r *http.Request) string {
	if m, _ := r.Context().Value(methodKey).(string); m != "" {
		return m
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	switch last := parts[len(parts)-1]; {
	case len(parts) == 2 && strings.Contains(parts[0], ".") && last != "":
		return last
	case (len(parts) == 4 || len(parts) == 5) && parts[0] == "v1" && parts[1] == "entities" && last != "":
		return last
	}
	return r.Method
}

// passOn sets the headers that tell the service what it should know. The request is ours.
func passOn(r *http.Request) {
	ctx := r.Context()
	if key, _ := ctx.Value(keyKey).(string); key != "" {
		setNew(r.Header, headerKey, key)
	}
	if trace, _ := ctx.Value(traceKey).(string); trace != "" {
		setNew(r.Header, headerTrace, trace)
	}
	if deadline, ok := ctx.Deadline(); ok {
		setNew(r.Header, headerTimeout, max(time.Until(deadline).Truncate(time.Millisecond), time.Millisecond).String())
	}
}

func setNew(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}

// repeatable tells whether a request that may have been executed may be sent again.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return rewindable(r)
	}
	return r.Header.Get(headerKey) != "" && rewindable(r)
}

// rewindable tells whether there is a body to send another time.
func rewindable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}
