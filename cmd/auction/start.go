package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

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
	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/stream"
)

// Config says what a [Service] is made of.
type Config struct {
	Dir         string // of the journal, if it is the embedded one
	Journal     string // URL of a journal in Cassandra; default: the embedded one in Dir
	Read        string // file of the read model, or URL of one in PostgreSQL; default: catalogue.db in Dir
	HTTP, Admin string // addresses; port 0 picks one
	Shards      int
	AcceptClock bool
	Payments    Payments // who charges the winners; nobody if it is empty
	Logger      *slog.Logger
	// Member makes the service a node of a cluster. Default: a single node.
	Member *Member
}

// Service is a whole node: stores, entities, read model, doors. This file is the one to
// copy for a service of your own; only Types, Services, the read model and what is mounted beside
// the gateway are about auctions.
type Service struct {
	stores        *stores
	ownsStores    bool
	entities      entities
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
func Start(ctx context.Context, cfg Config) (*Service, error) {
	opened, err := openStores(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := startOn(ctx, cfg, opened)
	if err != nil {
		return nil, errors.Join(err, opened.close())
	}
	s.ownsStores = true
	return s, nil
}

// startOn starts a service on stores that stay the caller's.
func startOn(ctx context.Context, cfg Config, on *stores) (s *Service, err error) {
	s = &Service{stores: on, broken: make(chan error, 2)}
	for _, start := range []func(context.Context, Config) error{s.startEntities, s.prepareCharges, s.startReadModel, s.openDoors} {
		if err := start(ctx, cfg); err != nil {
			return nil, errors.Join(err, s.abandon(ctx))
		}
	}
	return s, nil
}

// abandonPatience bounds the stop of what was up when a later part failed.
const abandonPatience = 10 * time.Second

func (s *Service) abandon(ctx context.Context) error {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), abandonPatience)
	defer done()
	return s.Stop(ctx)
}

func (s *Service) startEntities(ctx context.Context, cfg Config) (err error) {
	host := entity.Config{
		Journal: s.stores.journal, Types: Types(), Shards: cfg.Shards, AcceptClock: cfg.AcceptClock, Logger: cfg.Logger,
	}
	if cfg.Member == nil && cfg.Journal != "" {
		if err := mustBeAlone(ctx, s.stores.journal); err != nil {
			return err
		}
	}
	s.entities, err = startEntities(ctx, host, cfg.Member)
	return err
}

// startReadModel lets the tables, and the live stream, follow the log: the tables the shards that this node has, unless
// a member is told otherwise, for each node writes the rows of its own; the stream all of them.
func (s *Service) startReadModel(ctx context.Context, cfg Config) (err error) {
	s.lots = catalogue.New(s.stores.tables.Write(), s.stores.tables.Read(), s.entities.rows.History())
	s.processors, err = readside.Start(ctx, readside.Config{
		Source: s.entities.rows, Processors: s.chargers.beside(s.lots.Processor(), s.stores.tables.Write()), Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	cfg.Member.assign(s.processors, s.entities.rows.Shards())
	live := catalogue.Live(s.entities.all)
	live.Logger = cfg.Logger
	s.live, err = stream.New(live)
	return err
}

// openDoors lets callers and operators in.
func (s *Service) openDoors(_ context.Context, cfg Config) error {
	commands, err := gateway.New(gateway.Config{Caller: s.entities.caller, Types: Types(), Services: Services(), Logger: cfg.Logger})
	if err != nil {
		return err
	}
	public := http.NewServeMux()
	public.Handle("/", commands)
	public.Handle("/v1/stream", s.live)
	s.lots.Mount(public, s.processors, s.entities.host.Feed(), cfg.Logger)
	page.Mount(public)
	mountHealth(public, s.entities.health, admin.HealthConfig{Terse: true}) // whoever probes may not reach the other door
	if s.entities.member != nil {
		public.Handle("/v1/endpoints", admin.Endpoints(s.entities.member))
	}
	if s.public, err = door.Open(cfg.HTTP, public, cfg.Logger, s.broken); err != nil {
		return err
	}
	if err = s.entities.answersAt(s.public.URL(), cfg.Member); err != nil {
		return err
	}
	s.admin, err = door.Open(cfg.Admin, s.operators(), cfg.Logger, s.broken)
	return err
}

// operators is what they see and may do.
func (s *Service) operators() http.Handler {
	sections := []admin.Section{admin.Entities(s.entities.host), admin.Processors(s.processors), breakeradmin.New(s.breakers), admin.Runtime("auction"), admin.Profiles()}
	if s.entities.member != nil {
		sections = append(sections, admin.Cluster(s.entities.member))
	}
	mux := http.NewServeMux()
	mux.Handle("/", admin.New(sections...))
	mountHealth(mux, s.entities.health, admin.HealthConfig{})
	return mux
}

func mountHealth(mux *http.ServeMux, of admin.Prober, cfg admin.HealthConfig) {
	health := admin.Health(of, cfg)
	mux.Handle("/livez", health)
	mux.Handle("/readyz", health)
}

// Stop takes the parts down from the public door to the journal. A node of a cluster first lets the others have its shards, and
// answers meanwhile. Then: no new requests, the ones under way answered, everything written. It waits for all that
// until ctx ends. Only one Stop is allowed.
func (s *Service) Stop(ctx context.Context) error {
	var errs []error
	stop := func(there bool, part func() error) {
		if there {
			errs = append(errs, part())
		}
	}
	s.entities.handOver(ctx)
	stop(s.live != nil, func() error { return s.live.Stop(ctx) }) // else its clients would keep the door open
	stop(s.public != nil, func() error { return s.public.Close(ctx) })
	stop(s.processors != nil, func() error { return s.processors.Stop(ctx) })
	stop(s.chargers != nil, func() error { return s.chargers.close() })
	stop(s.entities.stop != nil, func() error { return s.entities.stop(ctx) })
	stop(s.admin != nil, func() error { return s.admin.Close(ctx) }) // operators see it to the end
	stop(s.lots != nil, func() error { return s.lots.Close() })
	stop(s.ownsStores, s.stores.close)
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
