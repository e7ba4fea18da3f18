package readside_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/skerryhq/skerry/readside"
	"github.com/skerryhq/skerry/readside/readsidetest"
)

// BenchmarkCatchUp is a processor that is behind: one upsert per event, commands of one event, fifty to a record.
func BenchmarkCatchUp(b *testing.B) { catchUp(b, addUp) }

func catchUp(b *testing.B, handle func(context.Context, *sql.Tx, readside.Event[*wrapperspb.Int64Value]) error) {
	catchUpIn(b, openFile(b), handle)
}

func catchUpIn(b *testing.B, db rows, handle func(context.Context, *sql.Tx, readside.Event[*wrapperspb.Int64Value]) error) {
	log := newLog(16)
	for left := b.N; left > 0; {
		var commands []readsidetest.Command
		for range min(left, 800) {
			commands = append(commands, readsidetest.Command{Type: "account", ID: fmt.Sprint("account-", left%10_000), Events: events(1)})
			left--
		}
		log.StoreAll(commands...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	r := start(b, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(handle))}})
	await(b, r, "balances", log.Token())
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkLive is the time from one committed event to its visible row, one at a time.
func BenchmarkLive(b *testing.B) {
	log, db := newLog(16), openFile(b)
	r := start(b, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
	await(b, r, "balances", log.Store("account", "ann", events(1)...))
	b.ReportAllocs()
	for b.Loop() {
		await(b, r, "balances", log.Store("account", "ann", events(1)...))
	}
}

// BenchmarkSteady sends 1,000 events a second and reports the median and the 99th percentile of the
// time until their rows are visible.
func BenchmarkSteady(b *testing.B) {
	log, db := newLog(16), openFile(b)
	r := start(b, readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}})
	lags := make(chan time.Duration, b.N)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := range b.N {
		<-tick.C
		began, token := time.Now(), log.Store("account", fmt.Sprint("account-", n%1000), events(1)...)
		go func() {
			await(b, r, "balances", token)
			lags <- time.Since(began)
		}()
	}
	all := make([]time.Duration, b.N)
	for i := range all {
		all[i] = <-lags
	}
	reportLag(b, all)
}

// BenchmarkPostgresLive is BenchmarkLive on PostgreSQL, BenchmarkPostgresAbroad the same for one who waits on another
// node than the one that follows the shard.
func BenchmarkPostgresLive(b *testing.B)   { postgresLive(b, false) }
func BenchmarkPostgresAbroad(b *testing.B) { postgresLive(b, true) }

func postgresLive(b *testing.B, abroad bool) {
	log, db := newLog(16), openDatabase(b)
	cfg := readside.Config{Source: log, Processors: []readside.Processor{readside.SQL("balances", db.Write(), readside.On(addUp))}}
	asked := start(b, cfg)
	if abroad {
		asked = start(b, cfg)
		asked.Assign([]uint32{})
	}
	await(b, asked, "balances", log.Store("account", "ann", events(1)...))
	var lags []time.Duration
	for b.Loop() {
		began := time.Now()
		await(b, asked, "balances", log.Store("account", "ann", events(1)...))
		lags = append(lags, time.Since(began))
	}
	reportLag(b, lags)
}

// BenchmarkPostgresCatchUp is BenchmarkCatchUp on PostgreSQL.
func BenchmarkPostgresCatchUp(b *testing.B) { catchUpIn(b, openDatabase(b), addUp) }

func reportLag(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
}

func events(n int) (all []proto.Message) {
	for i := range n {
		all = append(all, payment(int64(i+1)))
	}
	return all
}

// BenchmarkCatchUpByText is BenchmarkCatchUp with a statement that is parsed once per event.
func BenchmarkCatchUpByText(b *testing.B) {
	catchUp(b, func(ctx context.Context, tx *sql.Tx, ev readside.Event[*wrapperspb.Int64Value]) error {
		_, err := tx.ExecContext(ctx, upsertText, ev.EntityID, ev.Msg.GetValue(), int64(ev.Version))
		return err
	})
}
