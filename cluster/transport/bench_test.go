package transport_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cluster/transport"
	"github.com/skerryhq/skerry/entity"
	"github.com/skerryhq/skerry/journal"
)

// answering replies to each command as an entity's node does.
type answering struct{ resp *entity.Response }

func (a answering) Deliver(in *transport.Incoming) { in.Answer(transport.Answer{Response: a.resp}) }

func (answering) Accept(context.Context, *transport.Stream) error { return nil }

func BenchmarkRoundTrips(b *testing.B) {
	memory := transport.NewMemory()
	for name, listen := range map[string]func(transport.Config) (*transport.Endpoint, error){
		"tcp": transport.Listen, "memory": memory.Listen,
	} {
		for _, callers := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				asks, answers := twoNodes(b, listen, transport.Config{}, transport.Config{})
				answers.Serve(answering{&entity.Response{
					Payload: make([]byte, 100), Receipt: entity.Receipt{Version: 7, Token: journal.Token{History: "h"}.With(3, 1000)},
				}})
				roundTrips(b, asks, answers.Self(), callers)
			})
		}
	}
}

// twoNodes starts two nodes of a cluster.
func twoNodes(tb testing.TB, listen func(transport.Config) (*transport.Endpoint, error), one, other transport.Config) (asks, answers *transport.Endpoint) {
	tb.Helper()
	start := func(node string, cfg transport.Config) *transport.Endpoint {
		cfg.Node, cfg.Cluster, cfg.Shards = node, "c", 8
		n, err := listen(cfg)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = n.Close() })
		return n
	}
	return start("asks", one), start("answers", other)
}

func roundTrips(b *testing.B, asks *transport.Endpoint, to transport.Peer, callers int) {
	payload := make([]byte, 100)
	keys := entity.NewClientKeys()
	lot := journal.Entity{Type: "lot", ID: "lot-4711"}
	b.ReportAllocs()
	var work sync.WaitGroup
	each := b.N/callers + 1
	began := time.Now()
	for range callers {
		work.Go(func() {
			for range each {
				key := keys.Open(lot, began)
				keys.Close(lot, key)
				a := transport.Ask(context.Background(), asks, to, &transport.Envelope{
					Request:   entity.Request{Type: lot.Type, ID: lot.ID, Command: "auction.v1.PlaceBid", Payload: payload, Key: key},
					Remaining: 5 * time.Second,
				})
				if a.Err != nil {
					b.Error(a.Err)
					return
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(each*callers)/time.Since(began).Seconds(), "calls/s")
}
