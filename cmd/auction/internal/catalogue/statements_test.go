package catalogue_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/skerryhq/skerry/cmd/auction/internal/catalogue"
	auctionv1 "github.com/skerryhq/skerry/cmd/auction/proto/auction/v1"
)

// While one question that was never asked before waits for a connection, each other one keeps to its own deadline.
func TestANewQuestionDoesNotTakeAwayTheDeadlinesOfOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t.Context, t)
	h.openToday()
	defer h.close()
	db := openTables(t, t.TempDir())
	t.Cleanup(func() { _ = db.Close() })
	c := catalogue.New(db.Write(), db.Read(), h.host.Feed().History())
	defer func() { _ = c.Close() }()
	for range db.Read().Stats().MaxOpenConnections { // slow searches
		conn, err := db.Read().Conn(t.Context())
		h.must(err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	stop, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, _, err := c.ListLots(stop, &auctionv1.ListLots{Sort: "price"})
		first <- err
	}()
	for db.Read().Stats().WaitCount == 0 {
		runtime.Gosched()
	}
	late, expire := context.WithCancel(t.Context())
	expire()
	second := make(chan error, 1)
	go func() {
		_, _, err := c.ListLots(late, &auctionv1.ListLots{})
		second <- err
	}()
	select {
	case err := <-second:
		if err == nil {
			t.Error("a question whose time was over is answered")
		}
	case <-time.After(20 * time.Second):
		t.Error("a question whose time was over waits for another one")
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("a question is answered without a connection")
	}
}
