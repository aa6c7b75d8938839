package freeport

import (
	"net"
	"testing"
)

// TestAddrs: the addresses differ, can be listened on, and are none that the system gives to others.
func TestAddrs(t *testing.T) {
	t.Parallel()
	addrs, err := Addrs(20)
	if err != nil || len(addrs) != 20 {
		t.Fatalf("%q %v", addrs, err)
	}
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr) // also one that comes twice fails here
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if port := l.Addr().(*net.TCPAddr).Port; port < first || port >= last {
			t.Errorf("port %d", port)
		}
	}
}
