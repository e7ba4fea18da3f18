//go:build !linux

package main

// wireMain is for Linux, as network namespaces are.
func wireMain() {}
