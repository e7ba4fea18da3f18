// Package door is how a program lets callers in: a [Door] is a listener with what answers behind it, and
// [Check] keeps addresses that other machines reach from being opened by mistake.
//
//	d, err := door.Open("127.0.0.1:0", handler, log, broken)
//	fmt.Println(d.URL())
//	err = d.Close(ctx) // the requests under way are answered
package door
