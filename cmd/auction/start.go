package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/breakeradmin"
	"github.com/skerryhq/skerry/cluster/admin"
	"github.com/skerryhq/skerry/cmd/auction/internal/auction"
	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	"github.com/skerryhq/skerry/cmd/auction/internal/page"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
	"github.com/skerryhq/skerry/cmd/internal/door"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/entity/gateway"
	"github.com/skerryhq/skerry/journal"
	"github.com/skerryhq/skerry/journal/cassandra"
	"github.com/skerryhq/skerry/journal/pebble"
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/sqlite"
	"github.com/skerryhq/skerry/readside/stream"
)

// Config says what a [Service] is made of.
type Config struct {
	Dir         string // of the journal, if it is the embedded one
	Journal     string // URL of a journal in Cassandra; default: the embedded one in Dir
	Read        string // file of the read model; default: catalogue.db in Dir
	HTTP, Admin string // addresses; port 0 picks one
	Shards      int
	AcceptClock bool
	Payments    Payments // who charges the winners; nobody if it is empty
	Logger      *slog.Logger
}

// Service is a whole node: journal, host, read model, doors. This file is the one to
// copy for a service of your own; only Types, Services, the read model and what is mounted beside
// the gateway are about auctions.
type Service struct {
	journal       journal.Journal
	host          *entity.Host
	tables        *sqlite.DB
	lots          *catalogue.Catalogue
	processors    *readside.Runner
	live          *stream.Stream
	breakers      *breaker.Group
	chargers      *chargers // nil if nobody is charged
	public, admin *door.Door
	broken        chan error
}

// Types are the entities that the service runs.
func Types() []entity.Definition { return []entity.Definition{auction.Lots, auction.Sales} }

// Services are what it answers over gRPC, beside REST.
func Services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		auctionv1.File_auction_v1_auction_proto.Services().ByName("Lots"),
		auctionv1.File_auction_v1_sale_proto.Services().ByName("Sales"),
	}
}

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
	for _, start := range []func(context.Context, Config) error{s.startHost, s.prepareCharges, s.startReadModel, s.openDoors} {
		if err := start(ctx, cfg); err != nil {
			return s, err
		}
	}
	return s, nil
}

// openJournal opens the journal that the config names. Users and passwords come from the environment: a URL ends in logs.
func openJournal(ctx context.Context, cfg Config) (journal.Journal, error) {
	if cfg.Journal == "" {
		return pebble.Open(pebble.Config{Dir: cfg.Dir, Logger: cfg.Logger})
	}
	remote, err := cassandra.ParseURL(cfg.Journal, os.Getenv)
	if err != nil {
		return nil, err
	}
	remote.Logger = cfg.Logger
	return cassandra.Open(ctx, remote)
}

func (s *Service) startHost(ctx context.Context, cfg Config) error {
	j, err := openJournal(ctx, cfg)
	if err != nil {
		return err
	}
	s.journal = j
	s.host, err = entity.Start(ctx, entity.Config{
		Journal: s.journal, Types: Types(), Shards: cfg.Shards, AcceptClock: cfg.AcceptClock, Logger: cfg.Logger,
	})
	return err
}

// errReadModel is wrapped when the file of the read model cannot be used.
var errReadModel = errors.New("the read model")

// startReadModel lets the tables, and the live stream, follow the log.
func (s *Service) startReadModel(ctx context.Context, cfg Config) (err error) {
	path := cmp.Or(cfg.Read, filepath.Join(cfg.Dir, "catalogue.db"))
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return err
	}
	if s.tables, err = sqlite.Open(ctx, sqlite.Config{Path: path, Steps: catalogue.Steps()}); err != nil {
		return fmt.Errorf("%w: %w", errReadModel, err)
	}
	feed := s.host.Feed()
	s.lots = catalogue.New(s.tables.Write(), s.tables.Read(), feed.History())
	s.processors, err = readside.Start(ctx, readside.Config{
		Source: feed, Processors: s.chargers.beside(s.lots.Processor(), s.tables.Write()), Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	live := catalogue.Live(feed)
	live.Logger = cfg.Logger
	s.live, err = stream.New(live)
	return err
}

// openDoors lets callers and operators in.
func (s *Service) openDoors(_ context.Context, cfg Config) error {
	commands, err := gateway.New(gateway.Config{Caller: s.host, Types: Types(), Services: Services(), Logger: cfg.Logger})
	if err != nil {
		return err
	}
	public := http.NewServeMux()
	public.Handle("/", commands)
	public.Handle("/v1/stream", s.live)
	s.lots.Mount(public, s.processors, s.host.Feed(), cfg.Logger)
	page.Mount(public)
	operators := admin.New(admin.Entities(s.host), admin.Processors(s.processors), breakeradmin.New(s.breakers), admin.Runtime("auction"), admin.Profiles())
	if s.public, err = door.Open(cfg.HTTP, public, cfg.Logger, s.broken); err != nil {
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
	stop := func(there bool, part func() error) {
		if there {
			errs = append(errs, part())
		}
	}
	stop(s.live != nil, func() error { return s.live.Stop(ctx) }) // else its clients would keep the door open
	stop(s.public != nil, func() error { return s.public.Close(ctx) })
	stop(s.admin != nil, func() error { return s.admin.Close(ctx) })
	stop(s.processors != nil, func() error { return s.processors.Stop(ctx) })
	stop(s.chargers != nil, func() error { return s.chargers.close() })
	stop(s.host != nil, func() error { return s.host.Stop(ctx) })
	stop(s.journal != nil, func() error { return s.journal.Close() })
	stop(s.lots != nil, func() error { return s.lots.Close() })
	stop(s.tables != nil, func() error { return s.tables.Close() })
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
