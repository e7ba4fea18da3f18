package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/internal/door"
	"github.com/skerryhq/skerry/cmd/payments/internal/payment"
	paymentsv1 "github.com/skerryhq/skerry/cmd/payments/proto/payments/v1"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
)

// Config says what a [Service] is made of.
type Config struct {
	Dir         string // of the journal, if it is the embedded one
	Journal     string // URL of a journal in Cassandra; default: the embedded one in Dir
	HTTP, Admin string // addresses; port 0 picks one
	Shards      int
	AcceptClock bool
	Logger      *slog.Logger
}

// Service is a whole node: journal, host, doors.
type Service struct {
	journal       journal.Journal
	host          *entity.Host
	public, admin *door.Door
	broken        chan error
}

// Types are the entities that the service runs.
func Types() []entity.Definition { return []entity.Definition{payment.Payments} }

// Services are what it answers over gRPC and Connect, beside REST.
func Services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{paymentsv1.File_payments_v1_payments_proto.Services().ByName("Payments")}
}

// Start brings the parts up from the journal to the doors. What was up is stopped again if a later part
// fails. ctx covers the start only.
func Start(ctx context.Context, cfg Config) (s *Service, err error) {
	s = &Service{broken: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
			s = nil
		}
	}()
	if s.journal, err = openJournal(ctx, cfg); err != nil {
		return s, err
	}
	s.host, err = entity.Start(ctx, entity.Config{
		Journal: s.journal, Types: Types(), Shards: cfg.Shards, AcceptClock: cfg.AcceptClock, Logger: cfg.Logger,
	})
	if err != nil {
		return s, err
	}
	return s, s.openDoors(cfg)
}

// openJournal opens the journal that the config names. Users and passwords come from the environment: a URL ends in logs.
func openJournal(ctx context.Context, cfg Config) (journal.Journal, error) {
	if cfg.Journal == "" {
		j, err := pebble.Open(pebble.Config{Dir: cfg.Dir, Logger: cfg.Logger})
		if err != nil {
			return nil, err // not a typed nil
		}
		return j, nil
	}
	remote, err := cassandra.ParseURL(cfg.Journal, os.Getenv)
	if err != nil {
		return nil, err
	}
	remote.Logger = cfg.Logger
	j, err := cassandra.Open(ctx, remote)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// openDoors lets callers and operators in.
func (s *Service) openDoors(cfg Config) error {
	commands, err := gateway.New(gateway.Config{Caller: s.host, Types: Types(), Services: Services(), Logger: cfg.Logger})
	if err != nil {
		return err
	}
	operators := admin.New(admin.Entities(s.host), admin.Runtime("payments"), admin.Profiles())
	if s.public, err = door.Open(cfg.HTTP, commands, cfg.Logger, s.broken); err != nil {
		return err
	}
	s.admin, err = door.Open(cfg.Admin, operators, cfg.Logger, s.broken)
	return err
}

// Stop takes the parts down from the doors to the journal: no new requests, the ones
// under way answered, everything written. It waits for that until ctx ends. Only one Stop
// is allowed.
func (s *Service) Stop(ctx context.Context) error {
	var errs []error
	if s.public != nil {
		errs = append(errs, s.public.Close(ctx))
	}
	if s.admin != nil {
		errs = append(errs, s.admin.Close(ctx))
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
func (s *Service) HTTP() string  { return s.public.URL() }
func (s *Service) Admin() string { return s.admin.URL() }
