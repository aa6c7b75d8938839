// Package freeport finds ports for servers that a test or a trial starts, or starts again, by number. It takes none of
// those that the system gives to connections and to listeners on port 0: what is free there at one moment is somebody else's at the next.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
)

// The range lies below the ephemeral ports of Linux (32768, ip(7)) and of macOS (49152).
const first, last = 20_000, 32_000

// On answers n different ports of loopback on which nobody listens now.
func On(n int) ([]int, error) {
	var out []int
	for range 100 * n {
		port := first + rand.IntN(last-first)
		if slices.Contains(out, port) {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		if out = append(out, port); len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("find a free port: none of those tried is free")
}

// Addrs answers n such ports as host:port.
func Addrs(n int) ([]string, error) {
	ports, err := On(n)
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i, port := range ports {
		out[i] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return out, nil
}
