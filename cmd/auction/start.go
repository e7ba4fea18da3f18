package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/pebble"
)

// Config says what a [Service] is made of.
type Config struct {
	Dir         string // of the journal
	HTTP, Admin string // addresses; port 0 picks one
	Shards      int
	AcceptClock bool
	Logger      *slog.Logger
}

// Service is a whole node: journal, host, gateway, admin. This file is the one to
// copy for a service of your own; only Types and the name given to admin.Runtime are about auctions.
type Service struct {
	journal       journal.Journal
	host          *entity.Host
	public, admin *server
	broken        chan error
}

// Types are the entities that the service runs.
func Types() []entity.Definition { return []entity.Definition{auction.Lots} }

// Start brings the parts up from the journal to the doors, so that whoever is let in
// finds everything running. What was up is stopped again if a later part
// fails. ctx covers the start only.
func Start(ctx context.Context, cfg Config) (s *Service, err error) {
	s = &Service{broken: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
			s = nil
		}
	}()
	if s.journal, err = openJournal(cfg); err != nil {
		return s, err
	}
	s.host, err = entity.Start(ctx, entity.Config{
		Journal: s.journal, Types: Types(), Shards: cfg.Shards, AcceptClock: cfg.AcceptClock, Logger: cfg.Logger,
	})
	if err != nil {
		return s, err
	}
	public, err := gateway.New(gateway.Config{Caller: s.host, Types: Types(), Logger: cfg.Logger})
	if err != nil {
		return s, err
	}
	operators := admin.New(admin.Entities(s.host), admin.Runtime("auction"), admin.Profiles())
	if s.public, err = listen(cfg.HTTP, public, cfg.Logger, s.broken); err != nil {
		return s, err
	}
	s.admin, err = listen(cfg.Admin, operators, cfg.Logger, s.broken)
	return s, err
}

func openJournal(cfg Config) (journal.Journal, error) {
	j, err := pebble.Open(pebble.Config{Dir: cfg.Dir, Logger: cfg.Logger})
	if err != nil {
		return nil, err // and not j: a nil *pebble.Journal would make an interface that is not nil
	}
	return j, nil
}

// Stop takes the parts down from the doors to the journal: no new requests, the ones
// under way answered, everything written. It waits for that until ctx ends. Only one Stop
// is allowed.
func (s *Service) Stop(ctx context.Context) error {
	var errs []error
	for _, door := range []*server{s.public, s.admin} {
		if door != nil {
			errs = append(errs, door.close(ctx))
		}
	}
	if s.host != nil {
		errs = append(errs, s.host.Stop(ctx))
	}
	if s.journal != nil {
		errs = append(errs, s.journal.Close())
	}
	return errors.Join(errs...)
}

// Wait returns nil when ctx ends, or earlier with the reason why a door no longer works.
func (s *Service) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.broken:
		return err
	}
}

// HTTP and Admin are the URLs that the service can be reached at.
func (s *Service) HTTP() string  { return s.public.url }
func (s *Service) Admin() string { return s.admin.url }

// server is one door: a listener and what answers behind it.
type server struct {
	url     string
	http    *http.Server
	serving sync.WaitGroup
}

func listen(addr string, h http.Handler, log *slog.Logger, broken chan<- error) (*server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + listener.Addr().String(), http: gateway.Server(h, log)}
	s.serving.Go(func() {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			broken <- fmt.Errorf("%s no longer answers: %w", s.url, err)
		}
	})
	return s, nil
}

// close stops listening and waits for the requests under way; those that
// are not answered when ctx ends are cut off.
func (s *server) close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests to %s were cut off: %w", s.url, err), s.http.Close())
	}
	s.serving.Wait()
	return err
}
