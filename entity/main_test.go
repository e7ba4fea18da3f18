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
		// Cassandra's driver lets what it does about a node's events end by itself.
		nodes := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleNodeEvent")
		schema := goleak.IgnoreAnyFunction("github.com/gocql/gocql.(*Session).handleSchemaEvent") // it waits a minute for nodes that are gone
		// The first dead letter of an actor system starts a goroutine that ends by itself after one second.
		err := goleak.Find(nodes, schema)
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
			err = goleak.Find(nodes, schema)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
