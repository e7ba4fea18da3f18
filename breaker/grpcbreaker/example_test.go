package grpcbreaker_test

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/skerryhq/skerry/breaker"
	"github.com/skerryhq/skerry/breaker/grpcbreaker"
)

// A connection's calls go through breakers, one for each method.
func ExampleNew() {
	group, err := breaker.NewGroup(breaker.GroupConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	breakers, err := grpcbreaker.New(grpcbreaker.Config{Breakers: group})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient("127.0.0.1:8080", append(breakers.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(conn.Close())
	// Output:
	// <nil>
}
