package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger is the provider: it answers calls late, refuses some, lets some hang
// for a while, and remembers every copy it accepted.
type ledger struct {
	l      net.Listener
	mu     sync.Mutex
	copies map[int64]int
	acked  map[int64]bool // messages whose client got its 202
	conns  map[net.Conn]bool
	off    bool
	hang   time.Duration
}

func newLedger(hang time.Duration) (*ledger, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for provider calls: %w", err)
	}
	p := &ledger{l: l, copies: map[int64]int{}, acked: map[int64]bool{}, conns: map[net.Conn]bool{}, hang: hang}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p, nil
}

func (p *ledger) serve(c net.Conn) {
	p.mu.Lock()
	p.conns[c] = true
	if p.off {
		fmt.Fprintln(c, "S")
	}
	p.mu.Unlock()
	sc := bufio.NewScanner(c)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		switch f[0] {
		case "A":
			p.mu.Lock()
			for _, s := range f[1:] {
				id, _ := strconv.ParseInt(s, 10, 64)
				p.acked[id] = true
			}
			p.mu.Unlock()
		case "C":
			p.answer(c, f[1])
		}
	}
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

func (p *ledger) answer(c net.Conn, key string) {
	result, wait := "ok", rand.N(30*time.Millisecond)
	if rand.IntN(50) == 0 {
		result = "no"
	}
	if rand.IntN(50) == 0 {
		wait = rand.N(p.hang)
	}
	if result == "ok" {
		id, _ := strconv.ParseInt(strings.Split(key, "/")[0], 10, 64)
		p.mu.Lock()
		p.copies[id]++
		p.mu.Unlock()
	}
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprintln(c, "R", key, result)
	})
}

// stop tells every process to accept nothing more.
func (p *ledger) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = true
	for c := range p.conns {
		fmt.Fprintln(c, "S")
	}
}
