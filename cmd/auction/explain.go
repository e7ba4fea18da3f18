package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/readside/sqlite"
)

// explain adds what to do to the errors that people meet when they start the service with these settings.
func (s Settings) explain(err error) error {
	var path *fs.PathError
	var remedy string
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "stop the program that listens there, or choose another address with -http, -admin, -gossip or -peer (port 0 picks a free one)"
	case errors.Is(err, syscall.EACCES) && !errors.As(err, &path), errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "choose another address with -http and -admin, such as 127.0.0.1:8080"
	case errors.Is(err, journal.ErrLocked):
		remedy = "stop the service that runs on these data, or choose another folder with -data"
	case errors.Is(err, sqlite.ErrInUse):
		remedy = "stop the service that has this read model, or choose another file with -read"
	case errors.Is(err, errReadModel):
		remedy = "choose another file with -read, or move this one away: without it, the read model is made anew from the journal"
	case errors.Is(err, journal.ErrFormat):
		remedy = "use the newer release, or choose another journal with -data or -journal"
	case errors.Is(err, cassandra.ErrSchema):
		remedy = "apply what skerry journal schema prints, or let the service create it: add ?create=1 to the URL of -journal, or ?dev=1 for a cluster of less than three nodes"
	case errors.Is(err, cassandra.ErrUnsafe):
		remedy = "correct what it names; for development, ?dev=1 behind the URL of -journal accepts few replicas"
	case errors.Is(err, cassandra.ErrSettings):
		remedy = "give -journal the option dc=NAME as all other nodes have it, or leave it out as they do"
	case errors.Is(err, journal.ErrCorrupt):
		remedy = "restore the journal from a copy, or choose another with -data or -journal"
	case errors.As(err, &path):
		remedy = s.fileRemedy(path.Path)
	default:
		return err
	}
	return fmt.Errorf("%w\n  remedy: %s", err, remedy)
}

// fileRemedy is what to do about a file that cannot be read, or a folder that cannot be written.
func (s Settings) fileRemedy(path string) string {
	switch path {
	case s.Keys:
		return "give -gossip-keys a file that this user can read: one key on each line, such as head -c 32 /dev/urandom | base64 prints"
	case s.Cert, s.Key, s.CA:
		return "give -peer-cert, -peer-key and -peer-ca files that this user can read: docs/cluster.md tells how to make them"
	}
	return "make " + path + " a folder that this user can write to, or choose another with -data"
}
