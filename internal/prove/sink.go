package prove

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/simulate"
)

// sinks are the two SMTP providers of a run, relays of a simulator, with a ledger of what they really
// took. How they treat a message is written in the recipient's address, so that any single message can
// be told what will happen to it:
//
//	n17+drop@…   takes the message, then cuts the connection instead of answering (at the first try only)
//	n17+busy@…   refuses the first two tries with 451
//	n17+slow@…   answers after 300 ms
//	n17+stall@…  answers after 4 s, longer than the lease of a run (at the first two tries)
//	n17at5@…     must not come before the fifth millisecond of 1970; later names are of our time
//	n17+bad@…    refuses for good with 550 5.1.1
//	n17+here@…   the first sink refuses with 550 5.7.1, the other one takes it
type sinks struct {
	sim    *simulate.Server
	mu     sync.Mutex
	copies map[string]int // local part -> times taken
	total  int
	early  map[string]bool // taken before the time that the address names
}

// startSinks listens on free loopback ports.
func startSinks(ctx context.Context, seed uint64) (*sinks, error) {
	s := &sinks{copies: map[string]int{}, early: map[string]bool{}}
	var err error
	// The simulator's own ledger is bounded; a run wants to know all.
	s.sim, err = simulate.Start(context.WithoutCancel(ctx), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Seed: seed, Entries: 1000, Entered: s.enter})
	if err != nil {
		return nil, err
	}
	_, text, _ := net.SplitHostPort(s.sim.Relays()[0])
	first, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("read the first sink's port: %w", err)
	}
	for _, r := range []simulate.Rule{
		{Recipient: "*+drop@*", Fault: simulate.Lose, First: 1},
		{Recipient: "*+busy@*", Fault: simulate.Refuse, Error: "rcpt 451 4.3.0", First: 2},
		{Recipient: "*+slow@*", Fault: simulate.Slow, Delay: simulate.Span(300 * time.Millisecond)},
		{Recipient: "*+stall@*", Fault: simulate.Slow, Delay: simulate.Span(4 * time.Second), First: 2},
		{Recipient: "*+bad@*", Fault: simulate.Refuse, Error: "rcpt 550 5.1.1"},
		{Recipient: "*+here@*", Fault: simulate.Refuse, Error: "rcpt 550 5.7.1", Port: first},
	} {
		r.Type = simulate.SMTP
		if _, err := s.sim.Add(r); err != nil {
			return nil, fmt.Errorf("order %s: %w", r.Recipient, err)
		}
	}
	return s, nil
}

// enter counts what was taken; it is called before the answer leaves.
func (s *sinks) enter(e simulate.Entry) {
	if e.Outcome != simulate.Accepted {
		return
	}
	to, _, _ := strings.Cut(e.Recipient, "@")
	name, _, _ := strings.Cut(to, "+")
	_, at, _ := strings.Cut(name, "at")
	ms, err := strconv.ParseInt(at, 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && e.At.UnixMilli() < ms {
		s.early[to] = true
	}
	s.copies[to]++
	s.total++
}

// Copies is how many messages were taken in all.
func (s *sinks) Copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Ledger is how often each recipient's message was taken. The map is the caller's own.
func (s *sinks) Ledger() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.copies)
}

// Early lists what was taken before the time that its address names.
func (s *sinks) Early() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.early))
}
