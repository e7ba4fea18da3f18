package entity_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	cassandraNode.Stop()
	if code == 0 {
		// The first dead letter of an actor system starts a goroutine that ends by itself after one second.
		time.Sleep(1200 * time.Millisecond)
		// Cassandra's driver lets what it does about a node's events end by itself.
		nodes := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleNodeEvent")
		schema := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleSchemaEvent") // it waits a minute for nodes that are gone
		if err := goleak.Find(nodes, schema); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
