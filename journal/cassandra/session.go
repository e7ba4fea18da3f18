package cassandra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gocql/gocql"
)

// connect opens a driver session. It repeats while no node can be reached, until
// ctx ends or patience does: a service may start before its database.
func connect(ctx context.Context, cfg Config, keyspace string) (*gocql.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for wait := connectFirst; ; wait = min(2*wait, connectMost) {
		session, err := createSession(cfg, keyspace)
		if err == nil {
			return session, nil
		}
		if !transient(err) {
			return nil, fmt.Errorf("journal/cassandra: connect to %s: %w", strings.Join(cfg.Hosts, ","), err)
		}
		if pause(ctx, wait) != nil {
			return nil, fmt.Errorf("journal/cassandra: connect to %s: %w (%w): check that the nodes run and take CQL there",
				strings.Join(cfg.Hosts, ","), err, context.Cause(ctx))
		}
	}
}

// createSession tries once. The driver's configuration is made anew: its policy serves one session.
func createSession(cfg Config, keyspace string) (*gocql.Session, error) {
	cluster, err := cfg.cluster(keyspace)
	if err != nil {
		return nil, err
	}
	cluster.PoolConfig.HostSelectionPolicy = newAvoiding(gocql.TokenAwareHostPolicy(gocql.RoundRobinHostPolicy()))
	return cluster.CreateSession()
}

const (
	openPatience   = 30 * time.Second
	connectFirst   = 50 * time.Millisecond
	connectMost    = 2 * time.Second
	connectTimeout = 5 * time.Second
	reconnectEvery = time.Second
)

// transient tells whether a failed connection may succeed when it is tried again.
func transient(err error) bool {
	for _, final := range []string{"authentic", "Provided username", "certificate", "Keyspace '", "no such host", "does not exist"} {
		if strings.Contains(err.Error(), final) {
			return false
		}
	}
	return true
}

// patiently repeats what may be repeated while the database has no time for it: many services start
// with it, or after an outage, and all at once.
func patiently(ctx context.Context, ask func(context.Context) error) error {
	return patientlyWhile(ctx, passing, ask)
}

// patientlyWhile is patiently with another judgement of which errors may pass.
func patientlyWhile(ctx context.Context, may func(error) bool, ask func(context.Context) error) error {
	patience, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for wait := connectFirst; ; wait = min(2*wait, connectMost) {
		err := ask(ctx)
		if err == nil || !may(err) || pause(patience, wait) != nil {
			return err
		}
	}
}

// pause waits; it returns early, with an error, when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cluster is the driver's configuration. It sets no retry policy and no
// speculation: an append must be sent once.
func (c Config) cluster(keyspace string) (*gocql.ClusterConfig, error) {
	port, err := c.port()
	if err != nil {
		return nil, err
	}
	cluster := gocql.NewCluster(c.Hosts...)
	cluster.Port = port
	cluster.Keyspace = keyspace
	cluster.Consistency = c.quorum()
	cluster.SerialConsistency = c.serial()
	cluster.ProtoVersion = 4
	cluster.Timeout = c.Timeout
	cluster.WriteTimeout = c.Timeout
	cluster.ConnectTimeout = connectTimeout
	cluster.WriteCoalesceWaitTime = 0 // a lonely append would wait for company for most of its time
	cluster.NumConns = c.Connections
	cluster.DefaultTimestamp = false // appends must have none, derived writes have ours
	cluster.ReconnectInterval = reconnectEvery
	cluster.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: connectFirst}
	cluster.ConvictionPolicy = lenient{}
	cluster.Logger = driverLog{c.Logger}
	if c.DataCenter != "" {
		// A data-centre-aware policy would fall through to other data centres.
		cluster.HostFilter = gocql.DataCentreHostFilter(c.DataCenter)
	}
	if c.Username != "" {
		cluster.Authenticator = gocql.PasswordAuthenticator{Username: c.Username, Password: string(c.Password)}
	}
	if c.TLS != nil {
		cluster.SslOpts = &gocql.SslOptions{Config: c.TLS.Clone(), EnableHostVerification: !c.TLS.InsecureSkipVerify}
	}
	return cluster, nil
}

// lenient never takes a node out of the driver's pool because connections to it failed: while there is none, each request has the
// driver try again, and goes to another node. By itself the driver removes the pool and marks the node down; a
// connection that was made just before marks it up a moment later, and then nobody makes the pool again: the node is
// up, without connections, for ever.
type lenient struct{}

// AddFailure implements gocql.ConvictionPolicy.
func (lenient) AddFailure(error, *gocql.HostInfo) bool { return false }

// Reset implements gocql.ConvictionPolicy.
func (lenient) Reset(*gocql.HostInfo) {}

// driverLog passes on what the driver says. It says much during an outage, so it is not for everybody.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Print(v ...any)                 { d.say(fmt.Sprint(v...)) }
func (d driverLog) Printf(format string, v ...any) { d.say(fmt.Sprintf(format, v...)) }
func (d driverLog) Println(v ...any)               { d.say(fmt.Sprintln(v...)) }
func (d driverLog) say(text string)                { d.log.Debug("driver: " + strings.TrimSpace(text)) }

// answered tells whether an error is the database's own answer: it got the request
// and said no, or that it does not know.
func answered(err error) bool {
	var answer gocql.RequestError
	return errors.As(err, &answer)
}
